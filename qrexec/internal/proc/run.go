package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is something to run.
type Program struct {
	// Exactly one of the two: a shell command, or a path with at most one argument.
	Shell string
	Path  string
	Args  []string

	Env []string // added last

	// Account to change to, with a login shell around the program; nil runs it as we are.
	// Needs root.
	Account *Account

	// Null gives the program /dev/null for all three streams.
	Null bool
}

// Process is a running child. Its streams are ours to close; closing them does not end it.
type Process struct {
	Stdin  *os.File // a Unix socket
	Stdout *os.File // another one
	Stderr *os.File // a pipe

	cmd  *exec.Cmd
	done chan struct{}
	code int
}

// Done is closed when the process was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Code is the exit code, 128 + signal for a violent end. Only after Done.
func (p *Process) Code() int { return p.code }

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process and everything in its session's process group.
func (p *Process) Kill() { syscall.Kill(-p.Pid(), syscall.SIGKILL) }

// loginWrapper runs $0 with its arguments after the profile was read. No text of a caller is
// ever part of a script: it arrives as positional parameters.
const loginWrapper = `exec "$0" "$@"`

// Start runs the program. A missing file is reported as ErrNotFound.
func Start(pr Program) (*Process, error) {
	cmd := pr.command()
	p := &Process{cmd: cmd, done: make(chan struct{})}
	child, err := p.streams(pr.Null)
	defer func() {
		for _, f := range child {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = child[0], child[1], child[2]
	if err := cmd.Start(); err != nil {
		p.CloseStreams()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		return nil, fmt.Errorf("starting a program: %w", err)
	}
	go p.reap()
	return p, nil
}

func (pr Program) command() *exec.Cmd {
	cmd := &exec.Cmd{Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	env := CleanEnv(os.Environ())
	switch a := pr.Account; {
	case a == nil && pr.Path == "":
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", pr.Shell}
	case a == nil:
		cmd.Path, cmd.Args = pr.Path, append([]string{pr.Path}, pr.Args...)
	case pr.Path == "":
		cmd.Path, cmd.Args = a.Shell, []string{"-" + filepath.Base(a.Shell), "-c", pr.Shell}
	default:
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-lc", loginWrapper, pr.Path}, pr.Args...)
	}
	if a := pr.Account; a != nil {
		cmd.SysProcAttr.Credential = a.credential()
		env = append(env, a.loginEnv()...)
		if st, err := os.Stat(a.Home); err == nil && st.IsDir() {
			cmd.Dir = a.Home
		}
	} else if wd, err := os.Getwd(); err == nil {
		cmd.Dir = wd
	}
	cmd.Env = append(env, pr.Env...)
	return cmd
}

// CleanEnv drops the variables of qrexec itself but the two a service may use.
func CleanEnv(env []string) []string {
	var out []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "QREXEC") || name == "QREXEC_SERVICE_PATH" || name == "QREXEC_AGENT_PID" {
			out = append(out, e)
		}
	}
	return out
}

// streams makes our ends and returns the child's.
func (p *Process) streams(null bool) ([]*os.File, error) {
	if null {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		return []*os.File{f, f, f}, nil
	}
	in, inChild, err := SocketPair()
	if err != nil {
		return nil, err
	}
	p.Stdin = in
	out, outChild, err := SocketPair()
	if err != nil {
		in.Close()
		return []*os.File{inChild}, err
	}
	p.Stdout = out
	er, erChild, err := os.Pipe()
	if err != nil {
		in.Close()
		out.Close()
		return []*os.File{inChild, outChild}, err
	}
	p.Stderr = er
	return []*os.File{inChild, outChild, erChild}, nil
}

// CloseStreams closes what is left of our ends.
func (p *Process) CloseStreams() {
	for _, f := range []*os.File{p.Stdin, p.Stdout, p.Stderr} {
		if f != nil {
			f.Close()
		}
	}
}

func (p *Process) reap() {
	defer close(p.done)
	p.cmd.Wait()
	p.code = 125
	if st, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		if st.Signaled() {
			p.code = 128 + int(st.Signal())
		} else {
			p.code = st.ExitStatus()
		}
	}
}

// SocketPair gives two connected stream sockets, ours for the poller, the child's blocking.
func SocketPair() (ours, childs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair"), nil
}
