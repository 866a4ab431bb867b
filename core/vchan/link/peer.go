package link

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/yamux"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/internal/usock"
	"qubist/core/vchan/socket"
	"qubist/core/vchan/wire"
)

// serveStream answers the peer's request on a stream it opened. It owns the stream.
func (l *Link) serveStream(ctx context.Context, stream *yamux.Stream) {
	defer stream.Close()
	r, err := readRequest(stream)
	if errors.Is(err, wire.ErrRequest) {
		l.log.warn("peer's request refused", "reason", err)
		stream.Write([]byte{byte(wire.Denied)})
		return
	}
	if err != nil {
		return
	}
	c, answer, err := l.answerPeer(ctx, stream, r)
	if err != nil {
		// Nobody waits for an answer, or the time is over; the stream's end says so.
		return
	}
	if answer == wire.Denied {
		l.log.warn("peer's dial denied", "server", r.Server, "client", r.Client, "port", r.Port)
	}
	if _, err := stream.Write([]byte{byte(answer)}); err != nil || answer != wire.OK {
		if c.UnixConn != nil {
			c.Close()
		}
		return
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	splice(c, stream)
}

// answerPeer decides about the peer's request and, with the answer OK, gives the
// connection it asked for. An error means that the peer is to get no answer.
func (l *Link) answerPeer(ctx context.Context, stream *yamux.Stream, r wire.Request) (c usock.Conn, a wire.Answer, err error) {
	if !l.mayAsk(r) {
		return c, wire.Denied, nil
	}
	select {
	case l.pending <- struct{}{}:
		defer func() { <-l.pending }()
	default:
		return c, wire.Denied, nil
	}
	ctx, cancel := context.WithTimeout(ctx, WaitLimit)
	defer cancel()
	ctx, quiet := watch(ctx, stream)
	if l.cfg.Dom0 && r.Server != 0 {
		c, a, err = l.dialOther(ctx, r)
	} else {
		c, err = usock.Dial(ctx, socket.Path(l.cfg.Dir, qube.DomID(r.Server), qube.DomID(r.Client), vchan.Port(r.Port)))
	}
	if !quiet() && err == nil {
		err = errors.New("stream closed before the answer")
		if c.UnixConn != nil {
			c.Close()
		}
	}
	return c, a, err
}

// mayAsk holds the rules between domains. The peer's identity is that of the port: in
// dom0 it is the VM, whatever the request says.
func (l *Link) mayAsk(r wire.Request) bool {
	vm := uint32(l.cfg.VM)
	switch {
	case r.Op != wire.OpDial:
		return false
	case !l.cfg.Dom0:
		return r.Server == vm // dom0 says who the client is
	case r.Client != vm:
		return false
	case r.Server == 0:
		return true
	}
	return l.grants.take(grant{r.Server, r.Port})
}

// dialOther passes the VM's request on to the multiplexer of another VM.
func (l *Link) dialOther(ctx context.Context, r wire.Request) (usock.Conn, wire.Answer, error) {
	short, cancel := context.WithTimeout(ctx, MuxLimit)
	defer cancel()
	c, err := usock.Dial(short, l.cfg.OtherMux(qube.DomID(r.Server)))
	if err != nil {
		if ctx.Err() != nil {
			return usock.Conn{}, 0, ctx.Err()
		}
		return usock.Conn{}, wire.Gone, nil
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(past) })
	answer, err := ask(c, r)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil || answer != wire.OK {
		c.Close()
		return usock.Conn{}, answer, err
	}
	c.SetDeadline(time.Time{})
	return c, answer, nil
}
