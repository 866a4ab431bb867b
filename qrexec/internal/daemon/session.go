package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"qubist/core/vchan"
	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

// outQueue is how many messages may wait for an agent that does not read.
const outQueue = 64

// session is one connection of the agent.
type session struct {
	d       *Daemon
	conn    vchan.Conn
	version uint32
	out     chan []byte
	ctx     context.Context // ends with the session
	cancel  context.CancelCauseFunc

	mu      sync.Mutex // after Daemon.mu
	pending []wire.Ident
	clients map[net.Conn]struct{}
}

// hello answers the agent's hello with the version it named and returns the one to use.
func (d *Daemon) hello(ctx context.Context, conn vchan.Conn) (uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	defer msg.Bound(ctx, conn)()
	peer, err := msg.ReadHello(conn)
	if err != nil {
		return 0, err
	}
	version, err := wire.Negotiate(peer)
	if err != nil {
		return 0, err
	}
	_, err = conn.Write(wire.AppendHello(nil, peer))
	return version, err
}

// session serves one connection until it ends: io.EOF when the agent went away.
func (d *Daemon) session(ctx context.Context, conn vchan.Conn, version uint32, first bool) error {
	s := &session{d: d, conn: conn, version: version, out: make(chan []byte, outQueue), clients: map[net.Conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	d.mu.Lock()
	d.epoch++
	d.mu.Unlock()
	sock, err := d.listen()
	if err != nil {
		conn.Close()
		return err
	}
	d.cfg.Log.Info("agent connected", "version", version)
	if first && d.cfg.Ready != nil {
		d.cfg.Ready()
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.cancel(s.read()) })
	wg.Go(func() { s.cancel(s.write()) })
	wg.Go(func() { s.serveLocal(sock.l) })
	<-s.ctx.Done()
	sock.remove()
	d.mu.Lock()
	d.ports.orphan()
	d.mu.Unlock()
	s.mu.Lock()
	for c := range s.clients {
		c.Close()
	}
	s.mu.Unlock()
	conn.Close()
	wg.Wait()
	return context.Cause(s.ctx)
}

// read handles the agent's messages. Any error but a close by the agent is its fault.
func (s *session) read() error {
	for {
		h, err := msg.ReadHeader(s.conn)
		if err != nil {
			return io.EOF // however a transport reports that its peer is gone
		}
		if err := wire.CheckAgent(h, s.version); err != nil {
			return err
		}
		body, err := msg.ReadBody(s.conn, h.Len)
		if err != nil {
			return io.EOF
		}
		if h.Type == wire.ConnectionTerminated {
			err = s.terminated(body)
		} else {
			err = s.trigger(h.Type, body)
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) terminated(body []byte) error {
	e, err := wire.ParsePair(body)
	if err != nil {
		return err
	}
	if err := wire.CheckPort(e.Port, false); err != nil {
		return err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.ports.release(e)
	return nil
}

// write sends what is queued.
func (s *session) write() error {
	for {
		select {
		case <-s.ctx.Done():
			return nil
		case b := <-s.out:
			if _, err := s.conn.Write(b); err != nil {
				return io.EOF
			}
		}
	}
}

// send queues a message for the agent; it waits for an agent that does not read.
func (s *session) send(b []byte) error {
	select {
	case s.out <- b:
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("sending to the agent: %w", context.Cause(s.ctx))
	}
}

// trigger starts a request, or refuses it.
func (s *session) trigger(t wire.Type, body []byte) error {
	tr, err := wire.ParseTrigger(t, body)
	if errors.Is(err, wire.ErrFatal) {
		return err
	}
	if err == nil {
		select {
		case s.d.slots <- struct{}{}:
		default:
			err = errors.New("too many requests at once")
		}
	}
	if err != nil {
		s.d.cfg.Log.Warn("request refused", "reason", err)
		return s.send(wire.Append(nil, wire.ServiceRefused, tr.Ident[:]))
	}
	s.mu.Lock()
	s.pending = append(s.pending, tr.Ident)
	s.mu.Unlock()
	s.d.wg.Go(func() {
		defer func() { <-s.d.slots }()
		s.request(tr)
	})
	return nil
}

// take ends the wait of one request with that ident; false if there is none.
func (s *session) take(id wire.Ident) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.pending, id)
	if i < 0 {
		return false
	}
	s.pending = slices.Delete(s.pending, i, i+1)
	return true
}

// refuse tells the agent no, unless the request was answered.
func (s *session) refuse(id wire.Ident) {
	if s.take(id) {
		s.send(wire.Append(nil, wire.ServiceRefused, id[:]))
	}
}

// serviceConnect tells the agent where a request's service is.
func (s *session) serviceConnect(id wire.Ident, e wire.Exec) error {
	return s.sendConnect(id, wire.AppendConnect(nil, e, id))
}

// sendConnect sends a finished SERVICE_CONNECT message if the request still waits.
func (s *session) sendConnect(id wire.Ident, m []byte) error {
	if !s.take(id) {
		return fmt.Errorf("no pending request %q", id.String())
	}
	return s.send(m)
}

// alloc takes a port for a peer; over is called when the agent reports the end.
func (s *session) alloc(peer uint32, over func()) (uint32, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	p, ok := s.d.ports.alloc(peer, s.d.epoch, over)
	if !ok {
		return 0, errors.New("no free data port")
	}
	return p, nil
}
