// Package cli holds what qrexec-client and qrexec-client-vm have in common on the command
// line's side: exit codes of errors, the standard streams, and a local program that takes
// their place.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/wire"
)

// Streams are the local ends of a call.
type Streams struct {
	Stdin       io.Reader
	Stdout      io.Writer
	CloseStdout func()
}

// Standard are the process's own streams.
func Standard() Streams {
	return Streams{Stdin: os.Stdin, Stdout: os.Stdout, CloseStdout: func() { os.Stdout.Close() }}
}

// OneSocket uses standard input, which must be a socket, for both directions.
func OneSocket() Streams {
	return Streams{Stdin: os.Stdin, Stdout: os.NewFile(0, "stdin"), CloseStdout: func() { unix.Shutdown(0, unix.SHUT_WR) }}
}

// Program is a local program whose streams are the call's.
type Program struct {
	Streams
	cmd  *exec.Cmd
	io   *proc.Stdio
	usr1 chan os.Signal
	done chan struct{}
}

// Start runs argv with its standard input and output on sockets. Its environment names the
// streams it would have had: SAVED_FD_0 and SAVED_FD_1, with PASS_LOCAL_STDERR also
// SAVED_FD_2 (spec qrexec.md §13). By SIGUSR1 to us, QREXEC_AGENT_PID, it asks to write to
// its input's socket.
func Start(argv []string) (*Program, error) {
	fail := func(err error) (*Program, error) { return nil, fmt.Errorf("starting %q: %w", argv[0], err) }
	in, inChild, err := proc.SocketPair()
	if err != nil {
		return fail(err)
	}
	defer inChild.Close()
	out, outChild, err := proc.SocketPair()
	if err != nil {
		in.Close()
		return fail(err)
	}
	defer outChild.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inChild, outChild, os.Stderr
	cmd.ExtraFiles = []*os.File{os.Stdin, os.Stdout}
	cmd.Env = append(os.Environ(), "SAVED_FD_0=3", "SAVED_FD_1=4", fmt.Sprintf("QREXEC_AGENT_PID=%d", os.Getpid()))
	if os.Getenv("PASS_LOCAL_STDERR") != "" {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.Stderr)
		cmd.Env = append(cmd.Env, "SAVED_FD_2=5")
	}
	p := &Program{cmd: cmd, io: proc.NewStdio(in, out), usr1: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(p.usr1, syscall.SIGUSR1)
	if err := cmd.Start(); err != nil {
		signal.Stop(p.usr1)
		p.io.Close()
		return fail(err)
	}
	go func() {
		defer close(p.done)
		if _, ok := <-p.usr1; ok {
			p.io.Both()
		}
	}()
	end := p.io.Input()
	p.Streams = Streams{Stdin: p.io, Stdout: end, CloseStdout: func() { end.Close() }}
	return p, nil
}

// Wait ends the program's streams and returns its exit code.
func (p *Program) Wait() int {
	signal.Stop(p.usr1)
	close(p.usr1)
	<-p.done
	p.io.Close()
	err := p.cmd.Wait()
	if st, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal())
	}
	if err != nil && p.cmd.ProcessState.ExitCode() < 0 {
		return wire.ExitProblem
	}
	return p.cmd.ProcessState.ExitCode()
}

// ExitCode is the status that a call's outcome gives: the service's code, 255 when the peer
// vanished, 1 when it broke the protocol, 127 when there is no such service here, 125
// otherwise.
func ExitCode(code int, err error) int {
	switch {
	case err == nil:
		return code & 0xff
	case errors.Is(err, data.ErrLost):
		return wire.ExitLost
	case errors.Is(err, proc.ErrNotFound):
		return wire.ExitNotFound
	case errors.Is(err, ErrHello):
		return wire.ExitProblem
	case errors.Is(err, wire.ErrFatal):
		return 1
	}
	return wire.ExitProblem
}

// ErrHello marks a protocol error before the call began.
var ErrHello = data.ErrHello

// IsTerminal says whether f is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
