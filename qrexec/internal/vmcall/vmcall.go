// Package vmcall makes a call from inside a VM: it asks the VM's agent, and if the call is
// allowed it serves the data vchan and moves the bytes (spec qrexec.md §12, §14).
package vmcall

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
	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

// ErrRefused means that policy, the user or an error in dom0 refused the call.
var ErrRefused = errors.New("request refused")

const (
	// maxName is what target and source are cut to.
	maxName = wire.NameLen - 1
	// connectLimit bounds the wait for the service's side.
	connectLimit = 300 * time.Second
)

// Call is one outgoing call.
type Call struct {
	Driver  vchan.Driver
	Socket  string // the agent's
	Target  string // cut to 63 bytes
	Source  string // cut to 63 bytes; empty for this VM
	Service string // service[+arg]
	Prefix  []byte // sent before the input
	Stderr  io.Writer

	FilterStdout, FilterStderr bool
}

// Open gives the local ends of a call; it is called once, after the call was allowed.
type Open func() (stdin io.Reader, stdout io.Writer, closeStdout func(), err error)

// Run makes the call and returns the service's exit code.
func (c Call) Run(ctx context.Context, open Open) (int, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return 0, fmt.Errorf("connecting to the agent: %w", err)
	}
	defer conn.Close() // its end tells the agent that the call is over
	e, err := c.ask(ctx, conn)
	if err != nil {
		return 0, err
	}
	link, err := c.accept(ctx, e)
	if err != nil {
		return 0, err
	}
	stdin, stdout, closeStdout, err := open()
	if err != nil {
		link.Close()
		return 0, err
	}
	if c.FilterStdout {
		stdout = &data.Filter{W: stdout}
	}
	if c.FilterStderr {
		c.Stderr = &data.Filter{W: c.Stderr}
	}
	return link.Call(ctx, data.Caller{Prefix: c.Prefix, Stdin: stdin, Stdout: stdout, Stderr: c.Stderr, CloseStdout: closeStdout})
}

// ask sends the request and waits for the agent's answer, which may take as long as a user
// needs to answer a question.
func (c Call) ask(ctx context.Context, conn net.Conn) (wire.Exec, error) {
	id, err := wire.MakeIdent("SOCKET")
	if err != nil {
		return wire.Exec{}, err
	}
	tr := wire.Trigger{Ident: id, Target: cut(c.Target), Source: cut(c.Source), Service: c.Service}
	b, err := wire.AppendTrigger(nil, wire.Version, tr)
	if err != nil {
		return wire.Exec{}, err
	}
	defer msg.Bound(ctx, conn)()
	if _, err := conn.Write(b); err != nil {
		return wire.Exec{}, fmt.Errorf("asking the agent: %w", err)
	}
	var answer [8]byte
	switch _, err := io.ReadFull(conn, answer[:]); {
	case ctx.Err() != nil:
		return wire.Exec{}, ctx.Err()
	case err != nil:
		return wire.Exec{}, ErrRefused
	}
	return wire.ParsePair(answer[:])
}

func cut(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	return s
}

// accept serves the data vchan to the service's side.
func (c Call) accept(ctx context.Context, e wire.Exec) (*data.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	l, err := c.Driver.Listen(ctx, qube.DomID(e.Domain), vchan.Port(e.Port))
	if err != nil {
		return nil, fmt.Errorf("serving the data vchan: %w", err)
	}
	defer l.Close()
	conn, err := l.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for the service: %w", err)
	}
	return data.Open(ctx, conn)
}
