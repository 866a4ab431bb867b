// Package request is the client's side of a qrexec-daemon's local socket: connect, exchange
// hellos, ask for a command and learn the port. It opens no vchans (spec qrexec.md §11).
package request

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

// ErrNoDaemon means that no daemon serves the name, so the VM does not run (or its agent has
// not said hello).
var ErrNoDaemon = errors.New("no qrexec-daemon")

// Dial connects to the daemon of vm (name, domain number or "uuid:…") and exchanges hellos.
func Dial(ctx context.Context, dir, vm string) (net.Conn, error) {
	if vm == "" || strings.ContainsAny(vm, "/\x00") {
		return nil, fmt.Errorf("invalid VM name %q", vm)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(dir, "qrexec."+vm))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w for %q: %w", ErrNoDaemon, vm, err)
		}
		return nil, fmt.Errorf("connecting to the daemon of %q: %w", vm, err)
	}
	defer msg.Bound(ctx, c)()
	if err := hello(c); err != nil {
		c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("greeting the daemon of %q: %w", vm, err)
	}
	return c, nil
}

func hello(c net.Conn) error {
	if _, err := c.Write(wire.AppendHello(nil, wire.ClientVersion)); err != nil {
		return err
	}
	v, err := msg.ReadHello(c)
	if err == nil && v < wire.MinClient {
		err = fmt.Errorf("%w: it speaks version %d", wire.ErrFatal, v)
	}
	return err
}

// Exec asks for a command (type t) on behalf of domain caller and returns the daemon's
// domain and the port it chose. The daemon closes c when the call is over.
func Exec(ctx context.Context, c net.Conn, t wire.Type, caller uint32, command string) (wire.Exec, error) {
	defer msg.Bound(ctx, c)()
	e, err := exec(c, t, caller, command)
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	if err != nil {
		return e, fmt.Errorf("asking the daemon for a port: %w", err)
	}
	return e, nil
}

// Connect answers a VM's pending request id through its daemon: the service is at e. With a
// zero port the daemon chooses one, which is returned.
func Connect(ctx context.Context, c net.Conn, e wire.Exec, id wire.Ident) (wire.Exec, error) {
	defer msg.Bound(ctx, c)()
	_, err := c.Write(wire.AppendConnect(nil, e, id))
	if err == nil && e.Port == 0 {
		e, err = answer(c, wire.ServiceConnect)
	}
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	if err != nil {
		return e, fmt.Errorf("answering request %q: %w", id.String(), err)
	}
	return e, nil
}

func exec(c net.Conn, t wire.Type, caller uint32, command string) (wire.Exec, error) {
	b := wire.AppendExec(nil, t, wire.Exec{Domain: caller, Command: command})
	if len(b)-wire.HeaderLen > wire.MaxCommand {
		return wire.Exec{}, fmt.Errorf("command of %d bytes is too long", len(command))
	}
	if _, err := c.Write(b); err != nil {
		return wire.Exec{}, err
	}
	return answer(c, t)
}

// answer reads the port that the daemon chose.
func answer(c net.Conn, t wire.Type) (wire.Exec, error) {
	h, err := msg.ReadHeader(c)
	if err != nil {
		return wire.Exec{}, err
	}
	if h.Type != t || h.Len != 8 {
		return wire.Exec{}, fmt.Errorf("%w: answer %v of %d bytes", wire.ErrFatal, h.Type, h.Len)
	}
	b, err := msg.ReadBody(c, h.Len)
	if err != nil {
		return wire.Exec{}, err
	}
	return wire.ParsePair(b)
}
