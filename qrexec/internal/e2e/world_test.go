package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qubist/core/vchan/socket"
	"qubist/qrexec/client"
)

// world is an instance with VMs that are only their agents, over the socket transport.
type world struct {
	t    *testing.T
	dir  string
	user string

	mu      sync.Mutex
	answers func(q map[string]string) string // of the policy socket
	asked   int
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: shortDir(t), user: "root"}
	if os.Geteuid() != 0 {
		w.user = os.Getenv("USER")
	}
	for _, d := range []string{"v", "run", "etc/qubes-rpc"} {
		mkdir(t, w.dir, d)
	}
	w.servePolicy()
	return w
}

func (w *world) env(domid int) []string {
	return append(os.Environ(), "QUBIST_ROOT="+w.dir, "QUBIST_VCHAN=socket", "VCHAN_SOCKET_DIR="+filepath.Join(w.dir, "v"),
		fmt.Sprintf("VCHAN_DOMAIN=%d", domid), fmt.Sprintf("QREXEC_SERVICE_PATH=%s/rpc%d", w.dir, domid), "QUBES_RPC_CONFIG_PATH="+w.dir+"/conf")
}

// program starts one of ours; it is ended with the test.
func (w *world) program(domid int, name string, args ...string) *exec.Cmd {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Env = w.env(domid)
	if name == "qrexec-daemon" || name == "qrexec-client" {
		cmd.Env = w.env(0)
		for i, e := range cmd.Env {
			if strings.HasPrefix(e, "QREXEC_SERVICE_PATH=") {
				cmd.Env[i] = "QREXEC_SERVICE_PATH="
			}
		}
	}
	log, err := os.OpenFile(filepath.Join(w.dir, fmt.Sprintf("%s.%d.log", name, domid)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { log.Close() })
	cmd.Stderr = log
	return cmd
}

func (w *world) start(cmd *exec.Cmd) *exec.Cmd {
	w.t.Helper()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if w.t.Failed() {
			if f, ok := cmd.Stderr.(*os.File); ok {
				b, _ := os.ReadFile(f.Name())
				w.t.Logf("%s:\n%s", f.Name(), b)
			}
		}
	})
	return cmd
}

func (w *world) agentSocket(domid int) string { return fmt.Sprintf("%s/agent%d", w.dir, domid) }

func (w *world) agent(domid int) *exec.Cmd {
	return w.start(w.program(domid, "qrexec-agent", "--no-fork-server", "--agent-socket="+w.agentSocket(domid)))
}

func uuid(domid int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", domid) }

// daemon starts a VM's daemon and waits until it is ready.
func (w *world) daemon(domid int, name string) *exec.Cmd {
	w.t.Helper()
	r, p, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	cmd := w.program(domid, "qrexec-daemon", "--root", w.dir, "--ready-fd", "3", "-u", uuid(domid), "--", fmt.Sprint(domid), name, w.user)
	cmd.ExtraFiles = []*os.File{p}
	w.start(cmd)
	p.Close()
	r.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, 6)
	if _, err := r.Read(b); err != nil || string(b) != "READY\n" {
		w.t.Fatalf("daemon of %s is not ready: %q, %v", name, b, err)
	}
	return cmd
}

// vm starts agent and daemon.
func (w *world) vm(domid int, name string) { w.agent(domid); w.daemon(domid, name) }

// service installs a script in a VM, or in dom0 for domain 0.
func (w *world) service(domid int, name, script string) {
	dir := filepath.Join(w.dir, fmt.Sprintf("rpc%d", domid))
	if domid == 0 {
		dir = filepath.Join(w.dir, "etc/qubes-rpc")
	}
	mkdir(w.t, dir)
	write(w.t, filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n", 0o755)
}

// allow makes policy allow everything to target.
func (w *world) allow(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = func(q map[string]string) string {
		return "user=DEFAULT\nresult=allow\ntarget=" + target + "\nautostart=True\nrequested_target=" + q["intended_target"] + "\n"
	}
}

func (w *world) servePolicy() {
	l, err := net.Listen("unix", filepath.Join(w.dir, "run", "policy.sock"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	w.answers = func(map[string]string) string { return "result=deny\n" }
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.answer(c)
		}
	}()
}

func (w *world) answer(c net.Conn) {
	defer c.Close()
	var q []byte
	b := make([]byte, 4096)
	for !bytes.HasSuffix(q, []byte("\n\n")) {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		q = append(q, b[:n]...)
	}
	kv := map[string]string{}
	for line := range strings.SplitSeq(string(q), "\n") {
		k, v, _ := strings.Cut(line, "=")
		kv[k] = v
	}
	w.mu.Lock()
	answer := w.answers
	w.asked++
	w.mu.Unlock()
	fmt.Fprint(c, answer(kv))
}

// run runs one of our programs to its end.
func (w *world) run(stdin string, domid int, name string, args ...string) (out string, code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	cmd := w.program(domid, name, args...)
	c := exec.CommandContext(ctx, cmd.Path, args...)
	c.Env, c.Stderr = cmd.Env, nil
	c.Stdin = strings.NewReader(stdin)
	b, err := c.Output()
	if ctx.Err() != nil {
		w.t.Errorf("%s %q did not end", name, args)
	} else if _, exit := err.(*exec.ExitError); err != nil && !exit {
		w.t.Error(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

func (w *world) client(stdin, vm, command string) (string, int) {
	w.t.Helper()
	return w.run(stdin, 0, "qrexec-client", "--root", w.dir, "-w", "60", "-d", vm, command)
}

func (w *world) clientVM(stdin string, domid int, args ...string) (string, int) {
	w.t.Helper()
	return w.run(stdin, domid, "qrexec-client-vm", append([]string{"--agent-socket=" + w.agentSocket(domid)}, args...)...)
}

// options are those of the Go client.
func (w *world) options(vm, command string) client.Options {
	return client.Options{Driver: socket.New(filepath.Join(w.dir, "v"), 0), SocketDir: filepath.Join(w.dir, "run"), VM: vm, Command: command}
}

func terminate(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s did not end on SIGTERM", cmd.Path)
	}
	return cmd.ProcessState.ExitCode()
}
