// Package virtio is the vchan transport of QEMU guests and of dom0 towards them: offers are
// Unix sockets of the own domain, as in the socket driver, and dialling goes through the
// multiplexer of package link. It does not reach the virtio-serial port itself.
package virtio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/internal/usock"
	"qubist/core/vchan/socket"
	"qubist/core/vchan/wire"
)

// retryPause is the pause before a multiplexer that ended without an answer is asked again.
const retryPause = 50 * time.Millisecond

// past interrupts whatever waits on a connection.
var past = time.Unix(1, 0)

// Driver speaks for one domain.
type Driver struct {
	*socket.Driver
	mux func(server qube.DomID) string
}

var (
	_ vchan.Driver  = (*Driver)(nil)
	_ vchan.Granter = (*Driver)(nil)
)

// New returns the driver of the domain local, whose offers are sockets in dir. mux gives
// the mux socket that reaches a domain: in dom0 each VM has its own, in a VM there is one.
func New(dir string, local qube.DomID, mux func(qube.DomID) string) *Driver {
	return &Driver{socket.New(dir, local), mux}
}

// Dial asks the multiplexer for (server, local, port). A multiplexer that is not there, or
// ends before it answers, is waited for.
func (d *Driver) Dial(ctx context.Context, server qube.DomID, port vchan.Port) (vchan.Conn, error) {
	r := wire.Request{Op: wire.OpDial, Server: uint32(server), Client: uint32(d.Local()), Port: uint32(port)}
	c, err := d.request(ctx, d.mux(server), r)
	if err != nil {
		return nil, fmt.Errorf("dialling domain %d port %d: %w", server, port, err)
	}
	return c, nil
}

// Grant lets vm dial (server, vm, port) once. Only dom0's programs may ask that.
func (d *Driver) Grant(ctx context.Context, vm, server qube.DomID, port vchan.Port) error {
	r := wire.Request{Op: wire.OpGrant, Server: uint32(server), Client: uint32(vm), Port: uint32(port)}
	c, err := d.request(ctx, d.mux(vm), r)
	if err != nil {
		return fmt.Errorf("granting domain %d port %d of domain %d: %w", vm, port, server, err)
	}
	return c.Close()
}

// request puts r to the multiplexer at path until it gets an answer or ctx ends.
func (d *Driver) request(ctx context.Context, path string, r wire.Request) (vchan.Conn, error) {
	for {
		c, err := usock.Dial(ctx, path)
		if err != nil {
			return nil, err
		}
		answer, err := ask(ctx, c, r)
		if err == nil && answer == wire.OK {
			return c, nil
		}
		c.Close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil && answer == wire.Gone:
			return nil, vchan.ErrGone
		case err == nil:
			return nil, vchan.ErrDenied
		case errors.Is(err, errAnswer):
			return nil, err
		}
		if err := usock.Sleep(ctx, retryPause); err != nil {
			return nil, err
		}
	}
}

// errAnswer: the multiplexer does not speak our protocol.
var errAnswer = errors.New("unknown answer of the multiplexer")

func ask(ctx context.Context, c usock.Conn, r wire.Request) (wire.Answer, error) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.SetDeadline(past)
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken
			c.SetDeadline(time.Time{})
		}
	}()
	if _, err := c.Write(r.Append(nil)); err != nil {
		return 0, err
	}
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, err
	}
	a, err := wire.ParseAnswer(b[0])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errAnswer, err)
	}
	return a, nil
}
