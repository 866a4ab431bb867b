// Package client runs commands and services in VMs from dom0: the Go form of qrexec-client.
// It asks no policy; whoever can open the daemons' sockets may do everything
// (spec qrexec.md §11, §14).
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/request"
	"qubist/qrexec/wire"
)

// DefaultTimeout is how long the VM may take to connect to the data vchan.
const DefaultTimeout = 10 * time.Second

// closeGrace is how long the VM may still connect after its daemon said that the call is
// over: a short call can end before we have looked.
const closeGrace = time.Second

var (
	// ErrNoDaemon means that the VM does not run, or its agent has not said hello.
	ErrNoDaemon = request.ErrNoDaemon
	// ErrLost means that the VM's side closed before the exit code came.
	ErrLost = data.ErrLost
	// ErrProtocol means that the VM's side broke the protocol.
	ErrProtocol = wire.ErrFatal
)

// Options describe one call.
type Options struct {
	Driver    vchan.Driver
	SocketDir string // where the daemons' sockets are (paths.QrexecDir)
	VM        string // name, domain number or "uuid:…"

	// Command is "user:command" or "user:QUBESRPC service[+arg] source". The user DEFAULT
	// means the VM's default user.
	Command string

	Prefix []byte // sent before Stdin
	Stdin  io.Reader
	Stdout io.Writer // nil throws output away
	Stderr io.Writer

	// CloseStdout, if not nil, is called once when the command's output has ended.
	CloseStdout func()

	Timeout time.Duration // 0 means DefaultTimeout

	// FilterStdout and FilterStderr replace what could steer a terminal by '_'.
	FilterStdout, FilterStderr bool
}

// Run runs a command and returns its exit code. An error that wraps ErrLost or ErrProtocol
// came after the command was asked for; any other means it may not have run.
//
// Run returns while a Read of Stdin may still be under way, unless Stdin has a working
// SetReadDeadline method; what that Read brings is lost.
func Run(ctx context.Context, o Options) (int, error) {
	return run(ctx, wire.ExecCmdline, o)
}

// JustExec starts a command without its streams and returns once the VM says that it did.
// The code is not 0 if the VM could not start it.
func JustExec(ctx context.Context, o Options) (int, error) {
	return run(ctx, wire.JustExec, o)
}

func run(ctx context.Context, t wire.Type, o Options) (int, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	limit, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	conn, err := request.Dial(limit, o.SocketDir, o.VM)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	// The caller is dom0 (0): other domains' requests come through their own daemons.
	e, err := request.Exec(limit, conn, t, 0, o.Command)
	if err != nil {
		return 0, err
	}
	link, err := accept(limit, o.Driver, e, conn)
	if err != nil {
		return 0, fmt.Errorf("waiting for %q to connect: %w", o.VM, err)
	}
	if o.FilterStdout && o.Stdout != nil {
		o.Stdout = &data.Filter{W: o.Stdout}
	}
	if o.FilterStderr && o.Stderr != nil {
		o.Stderr = &data.Filter{W: o.Stderr}
	}
	return link.Call(ctx, data.Caller{
		Prefix: o.Prefix, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, CloseStdout: o.CloseStdout,
	})
}

// accept waits for the VM on the port its daemon named, or for the daemon to give up.
func accept(ctx context.Context, d vchan.Driver, e wire.Exec, daemon net.Conn) (*data.Link, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := make(chan struct{})
	defer func() { cancel(nil); daemon.SetReadDeadline(time.Unix(1, 0)); <-watch }()
	go func() {
		defer close(watch)
		var b [1]byte
		if _, err := daemon.Read(b[:]); ctx.Err() == nil && err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(closeGrace):
				cancel(errors.New("the VM ended the call before it connected"))
			}
		}
	}()
	l, err := d.Listen(ctx, qube.DomID(e.Domain), vchan.Port(e.Port))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c, err := l.Accept(ctx)
	if err == nil {
		var link *data.Link
		if link, err = data.Open(ctx, c); err == nil {
			return link, nil
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return nil, err
}
