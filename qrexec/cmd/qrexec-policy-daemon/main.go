// Command qrexec-policy-daemon decides qrexec calls for the daemons of one instance.
//
//	qrexec-policy-daemon [--root DIR] [--ready-fd N] [--policy-dir DIR] [--runtime-policy-dir DIR]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"qubist/core/adminclient"
	"qubist/core/paths"
	"qubist/qrexec/internal/policyd"
	"qubist/qrexec/policy"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(log); err != nil {
		log.Error("policy daemon ends", "error", err)
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	root := flag.String("root", "", "directory of the `instance`")
	readyFD := flag.Int("ready-fd", -1, "write READY to this `descriptor` once serving")
	permanent := flag.String("policy-dir", "", "permanent policy `directory` instead of the instance's")
	runtime := flag.String("runtime-policy-dir", "", "runtime policy `directory` instead of the instance's")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	p, err := paths.New(*root)
	if err != nil {
		return err
	}
	dirs, err := policyDirs(p, *permanent, *runtime)
	if err != nil {
		return err
	}
	d, err := policyd.New(policyd.Config{
		FS: os.DirFS("/"), Dirs: dirs, AgentSocket: p.PolicyAgentSocket(), RuleInQuestions: true, Log: log, Now: time.Now,
		System: func(ctx context.Context) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			return adminclient.New(p.QubesdInternalSocket()).Call(ctx, "internal.GetSystemInfo", "dom0", "", nil)
		},
		RunInQube: func(ctx context.Context, vm, command string, stdin []byte) ([]byte, error) {
			return runInQube(ctx, *root, vm, command, stdin)
		},
	})
	if err != nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	sockets, err := listen(p)
	if err != nil {
		return err
	}
	if err := ready(*readyFD); err != nil {
		return err
	}
	return d.Serve(ctx, sockets)
}

// policyDirs are the policy directories below the root directory. The runtime one lives on
// a file system that is empty after a boot, so it is made here.
func policyDirs(p paths.Paths, permanent, runtime string) (policy.Dirs, error) {
	if permanent == "" {
		permanent = p.PolicyDir()
	}
	if runtime == "" {
		runtime = p.RuntimePolicyDir()
		if err := os.MkdirAll(runtime, 0o755); err != nil {
			return policy.Dirs{}, fmt.Errorf("making the runtime policy directory: %w", err)
		}
	}
	d := policy.Dirs{Runtime: runtime, Permanent: permanent, Legacy: p.LegacyPolicyDir()}
	for _, dir := range []*string{&d.Runtime, &d.Permanent, &d.Legacy} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return policy.Dirs{}, fmt.Errorf("resolving %q: %w", *dir, err)
		}
		*dir = strings.TrimPrefix(abs, "/")
	}
	return d, nil
}

func listen(p paths.Paths) (policyd.Sockets, error) {
	var s policyd.Sockets
	var err error
	if s.Policy, err = policyd.Listen(p.PolicySocket()); err != nil {
		return s, err
	}
	services := p.RPCDirs()[0]
	if s.EvalSimple, err = policyd.Listen(filepath.Join(services, "policy.EvalSimple")); err != nil {
		return s, err
	}
	s.EvalGUI, err = policyd.Listen(filepath.Join(services, "policy.EvalGUI"))
	return s, err
}

// runInQube calls a service of another GuiVM.
func runInQube(ctx context.Context, root, vm, command string, stdin []byte) ([]byte, error) {
	var out bytes.Buffer
	status, err := adminclient.RunCommand(ctx, adminclient.Run{
		VM: vm, Command: command, Root: root, Stdin: bytes.NewReader(stdin), Stdout: &limited{buf: &out},
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("qrexec-client ended with status %d", status)
	}
	return out.Bytes(), err
}

// limited keeps the first bytes of an answer and drops the rest, which then is no valid
// answer any more.
type limited struct{ buf *bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	const most = 4096
	if room := most - l.buf.Len(); room > 0 {
		l.buf.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func ready(fd int) error {
	if fd < 0 {
		return nil
	}
	f := os.NewFile(uintptr(fd), "ready")
	if f == nil {
		return fmt.Errorf("descriptor %d for --ready-fd is not valid", fd)
	}
	defer f.Close()
	if _, err := f.WriteString("READY\n"); err != nil {
		return fmt.Errorf("telling that the daemon is ready: %w", err)
	}
	return nil
}
