package agent

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"qubist/core/vchan"
	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

const (
	outQueue   = 64
	helloLimit = 60 * time.Second
)

// session is one connection of dom0's daemon.
type session struct {
	a       *Agent
	conn    vchan.Conn
	version uint32
	out     chan []byte
	ctx     context.Context // ends with the session
	cancel  context.CancelCauseFunc
}

// serve greets dom0 and handles its messages until it goes away (nil) or errs.
func (a *Agent) serve(ctx context.Context, conn vchan.Conn) error {
	s := &session{a: a, conn: conn, out: make(chan []byte, outQueue)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	if err := s.hello(); err != nil {
		conn.Close()
		return fmt.Errorf("dom0's hello: %w", err)
	}
	a.cfg.Log.Info("dom0 connected", "version", s.version)
	a.mu.Lock()
	a.current = s
	if a.back != nil {
		close(a.back)
		a.back = nil
	}
	a.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { s.cancel(s.read()) })
	wg.Go(func() { s.cancel(s.write()) })
	<-s.ctx.Done()
	a.mu.Lock()
	a.current = nil
	a.mu.Unlock()
	conn.Close()
	wg.Wait()
	a.forget(s)
	if err := context.Cause(s.ctx); err != io.EOF {
		return err
	}
	return nil
}

func (s *session) hello() error {
	ctx, cancel := context.WithTimeout(s.ctx, helloLimit)
	defer cancel()
	defer msg.Bound(ctx, s.conn)()
	if _, err := s.conn.Write(wire.AppendHello(nil, wire.Version)); err != nil {
		return err
	}
	peer, err := msg.ReadHello(s.conn)
	if err != nil {
		return err
	}
	s.version, err = wire.Negotiate(peer)
	return err
}

func (s *session) read() error {
	for {
		h, err := msg.ReadHeader(s.conn)
		if err != nil {
			return io.EOF // however a transport reports that its peer is gone
		}
		if h.Len > wire.MaxControl {
			return fmt.Errorf("%w: %v of %d bytes", wire.ErrFatal, h.Type, h.Len)
		}
		body, err := msg.ReadBody(s.conn, h.Len)
		if err != nil {
			return io.EOF
		}
		if err := s.handle(h.Type, body); err != nil {
			return err
		}
	}
}

func (s *session) handle(t wire.Type, body []byte) error {
	switch t {
	case wire.ExecCmdline, wire.JustExec:
		e, err := wire.ParseExec(body)
		if err != nil {
			return err
		}
		s.a.wg.Go(func() {
			defer s.terminated(e)
			s.a.exec(e, t == wire.JustExec)
		})
	case wire.ServiceConnect:
		e, id, err := wire.ParseConnect(body)
		if err != nil {
			return err
		}
		s.connected(id, e)
	case wire.ServiceRefused:
		id, err := wire.ParseRefused(body)
		if err != nil {
			return err
		}
		s.refused(id)
	default:
		return fmt.Errorf("%w: dom0 sent %v", wire.ErrFatal, t)
	}
	return nil
}

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

// send queues a message; nothing happens once the session is over.
func (s *session) send(b []byte) {
	select {
	case s.out <- b:
	case <-s.ctx.Done():
	}
}

// terminated reports the end of a connection to the daemon that made it. Another daemon, or
// the same one after it lost us, has given the port a new meaning.
func (s *session) terminated(e wire.Exec) {
	s.send(wire.AppendExecShort(nil, wire.ConnectionTerminated, e))
}
