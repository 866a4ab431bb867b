package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"qubist/core/adminclient"
	"qubist/core/paths"
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

// Exit statuses of qrexec calls (spec qrexec.md, JUST_EXEC).
const (
	statusRefused  = 125 // the call was not made
	statusNotFound = 127 // there is no such command
	statusLost     = 255 // the qube went away
)

// callError is what a call's exit status says, "" when the command itself gave it.
func callError(code int) string {
	switch code {
	case statusRefused:
		return "the qube could not be reached or could not run the command (status 125)"
	case statusNotFound:
		return "there is no such command in the qube (status 127)"
	case statusLost:
		return "the connection to the qube was lost (status 255)"
	}
	return ""
}

// Run starts a command in a running qube as its default user.
func (b Backend) Run(ctx context.Context, vm, command string) error {
	var said bytes.Buffer
	code, err := adminclient.RunCommand(ctx, adminclient.Run{VM: vm, Command: command, Root: b.Root, NoWait: true, WaitSession: true, Stderr: &limited{&said}})
	if err != nil || code == 0 {
		return err
	}
	if text := lastLine(said.Bytes()); text != "" {
		return errors.New(text)
	}
	if text := callError(code); text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("qrexec-client ended with status %d", code)
}

// limited keeps the first tailBytes and swallows the rest.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), max(tailBytes-l.b.Len(), 0))])
	return len(p), nil
}

// Disposable hands the whole life of a disposable to qvm run, in a session of its own: it
// outlives the console, and the disposable ends with the command either way.
func (b Backend) Disposable(ctx context.Context, template, command string) error {
	return b.program(ctx, true, "qvm", "run", "--dispvm="+template, "--", command)
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

// program runs one of ours to its end; detached, in a session of its own, it goes on when ctx
// or the console ends first. What it says on its standard error is the error; a detached one
// that says nothing ended with the status of what it ran.
func (b Backend) program(ctx context.Context, detached bool, name string, args ...string) error {
	bin, err := Beside(name)
	if err != nil {
		return err
	}
	// A file, not a pipe: a pipe would break when the console ends.
	said, err := os.CreateTemp("", "qubist-")
	if err != nil {
		return err
	}
	defer said.Close()
	_ = os.Remove(said.Name())
	c := exec.Command(bin, args...)
	c.Stderr = said
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: detached}
	if b.Root != "" {
		c.Env = append(os.Environ(), paths.Default+"="+b.Root)
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }() // ends with the program, which may outlive us
	select {
	case err = <-done:
	case <-ctx.Done():
		if !detached {
			_ = c.Process.Kill()
			<-done
		}
		return ctx.Err()
	}
	if err == nil {
		return nil
	}
	if text := lastLine(tail(said)); text != "" {
		return errors.New(text)
	}
	var exit *exec.ExitError
	if detached && errors.As(err, &exit) {
		if text := callError(exit.ExitCode()); text != "" {
			return errors.New(text)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// tailBytes bounds what is read of a program's last words.
const tailBytes = 2000

// tail is the end of f.
func tail(f *os.File) []byte {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	b := make([]byte, tailBytes)
	n, _ := f.ReadAt(b, max(size-tailBytes, 0))
	return b[:n]
}

// lastLine is the last line of b that is not empty, fit to show.
func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return safetext.Name(strings.TrimSpace(lines[len(lines)-1]), maxValue)
}
