package adminclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Run describes one command in a qube. User "" means the qube's default user. Command is
// what qrexec-client takes: a shell command, or "QUBESRPC service source…". Nil streams are
// the null device; NoWait returns as soon as the command was started. WaitSession lets the
// qube's qubes.WaitForSession end first, for commands that open windows; a qube that has no
// such service is not waited for.
type Run struct {
	VM, User, Command string
	Root              string // instance (--root); "" for the default
	Prefix            string // sent before Stdin; at most 100 KiB
	Stdin             io.Reader
	Stdout, Stderr    io.Writer
	NoWait            bool
	WaitSession       bool
}

// RunCommand runs qrexec-client, the one beside the running program or else in PATH, and
// returns the command's exit status. An error means the command could not be run at all.
func RunCommand(ctx context.Context, r Run) (int, error) {
	bin, err := beside("qrexec-client")
	if err != nil {
		return 0, err
	}
	if r.WaitSession {
		wait := Run{VM: r.VM, User: r.User, Command: "QUBESRPC qubes.WaitForSession dom0", Root: r.Root}
		if code, err := wait.execute(ctx, bin); err != nil || code == statusProblem {
			return code, err
		}
	}
	return r.execute(ctx, bin)
}

// statusProblem is qrexec-client's status when the qube could not be reached.
const statusProblem = 125

func (r Run) execute(ctx context.Context, bin string) (int, error) {
	args := []string{}
	if r.Root != "" {
		args = append(args, "--root", r.Root)
	}
	if r.NoWait {
		args = append(args, "-e")
	}
	user := r.User
	if user == "" {
		user = "DEFAULT"
	}
	if r.Prefix != "" {
		args = append(args, "-p", r.Prefix)
	}
	args = append(args, "-d", r.VM, user+":"+r.Command)
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.Stdin, r.Stdout, r.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case err != nil:
		return 0, fmt.Errorf("running qrexec-client: %w", err)
	}
	return 0, nil
}

// beside finds a program of ours: in the running program's directory, else in PATH.
func beside(name string) (string, error) {
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
