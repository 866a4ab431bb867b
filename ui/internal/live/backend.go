package live

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"qubist/core/adminclient"
	"qubist/core/safetext"
	"qubist/ui/internal/action"
)

// Backend carries out actions: Admin API calls through the client, the rest through the
// programs that belong beside this one.
type Backend struct {
	*adminclient.Client
	Root string // --root for the programs; "" for their default
}

var _ action.Backend = Backend{}

// Run starts a command in a running qube as its default user.
func (b Backend) Run(ctx context.Context, vm, command string) error {
	code, err := adminclient.RunCommand(ctx, adminclient.Run{VM: vm, Command: command, Root: b.Root, NoWait: true})
	if err == nil && code != 0 {
		err = fmt.Errorf("qrexec-client ended with status %d", code)
	}
	return err
}

// Disposable hands the whole life of a disposable to qvm-run, in a session of its own: it
// outlives the console, and the disposable ends with the command either way.
func (b Backend) Disposable(ctx context.Context, template, command string) error {
	args := []string{"--dispvm=" + template, "--", command}
	return b.program(ctx, true, "qvm-run", args...)
}

// Screenshot has qubist-screenshot write the desktop's picture to file.
func (b Backend) Screenshot(ctx context.Context, file string) error {
	var args []string
	if b.Root != "" {
		args = append(args, "--root", b.Root)
	}
	return b.program(ctx, false, "qubist-screenshot", append(args, file)...)
}

// Beside finds a program of ours: in the running program's directory, else in PATH.
func Beside(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		p := filepath.Join(filepath.Dir(self), name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", name, err)
	}
	return p, nil
}

// program runs one of ours to its end; detached, it goes on when ctx ends first.
func (b Backend) program(ctx context.Context, detached bool, name string, args ...string) error {
	bin, err := Beside(name)
	if err != nil {
		return err
	}
	said := &tail{}
	c := exec.Command(bin, args...)
	c.Stdout, c.Stderr = said, said
	if b.Root != "" {
		c.Env = append(os.Environ(), "QUBIST_ROOT="+b.Root)
	}
	if detached {
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		// A pipe to us would end the program with us: it gets none.
		c.Stdout, c.Stderr = nil, nil
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		if !detached {
			_ = c.Process.Kill()
			<-done
		}
		return ctx.Err()
	}
	if err != nil {
		if text := said.text(); text != "" {
			return fmt.Errorf("%s: %s", name, text)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// tail keeps the last bytes a program wrote.
type tail struct{ b []byte }

// tailBytes bounds it.
const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - tailBytes; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

// text is the last line that is not empty.
func (t *tail) text() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return safetext.Name(strings.TrimSpace(lines[len(lines)-1]), maxValue)
}
