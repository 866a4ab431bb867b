package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

// caller is a local program's wish for a call. Agent.mu guards all but conn and s.
type caller struct {
	conn      net.Conn
	s         *session
	gone      bool // it closed before dom0 answered
	connected bool
	peer      wire.Exec // where its call is, once connected
}

// serveCallers accepts local programs until the listener is closed.
func (a *Agent) serveCallers(l net.Listener) {
	defer context.AfterFunc(a.ctx, func() { l.Close() })()
	free := make(chan struct{}, maxCallers)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case free <- struct{}{}:
			a.wg.Go(func() {
				defer func() { <-free }()
				if err := a.call(c); err != nil {
					a.cfg.Log.Info("local request dropped", "reason", err)
				}
			})
		default:
			c.Close()
		}
	}
}

// call serves one local program for as long as its socket is open.
func (a *Agent) call(conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(a.ctx, func() { conn.Close() })()
	h, err := msg.ReadHeader(conn)
	if err != nil {
		return err
	}
	if err := wire.CheckLocalTrigger(h); err != nil {
		return err
	}
	body, err := msg.ReadBody(conn, h.Len)
	if err != nil {
		return err
	}
	tr, err := wire.ParseLocalTrigger(body)
	if err != nil {
		return err
	}
	c := &caller{conn: conn}
	id, err := a.register(c)
	if err != nil {
		return err
	}
	b, err := tr.AppendFor(nil, c.s.version, id)
	if err != nil {
		a.drop(id)
		return err
	}
	c.s.send(b)
	io.Copy(io.Discard, conn)
	a.ended(id, c)
	return nil
}

// register gives a caller its ident under the current session, waiting for one.
func (a *Agent) register(c *caller) (wire.Ident, error) {
	ctx, cancel := context.WithTimeout(a.ctx, awayLimit)
	defer cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.current == nil {
		if a.back == nil {
			a.back = make(chan struct{})
		}
		back := a.back
		a.mu.Unlock()
		select {
		case <-back:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if ctx.Err() != nil {
			return wire.Ident{}, errors.New("dom0 is not connected")
		}
	}
	c.s = a.current
	id, err := wire.MakeIdent(fmt.Sprintf("SOCKET%d", a.nextID))
	if err != nil {
		return id, err
	}
	a.nextID++
	a.callers[id] = c
	return id, nil
}

func (a *Agent) drop(id wire.Ident) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.callers, id)
}

// ended is called when a caller's socket closed: its call is over, or dom0's answer will
// come too late.
func (a *Agent) ended(id wire.Ident, c *caller) {
	a.mu.Lock()
	c.gone = true
	over := c.connected
	if over {
		delete(a.callers, id)
	}
	a.mu.Unlock()
	if over {
		c.s.terminated(c.peer)
	}
}

// connected passes dom0's answer on. A caller that is gone counts as a call that ended.
func (s *session) connected(id wire.Ident, e wire.Exec) {
	s.a.mu.Lock()
	c := s.a.callers[id]
	if c == nil || c.s != s || c.connected {
		s.a.mu.Unlock()
		s.a.cfg.Log.Warn("dom0 connected an unknown request")
		return
	}
	c.connected, c.peer = true, e
	gone := c.gone
	if gone {
		delete(s.a.callers, id)
	}
	s.a.mu.Unlock()
	if gone {
		s.terminated(e)
		return
	}
	if _, err := c.conn.Write(wire.AppendPair(nil, e)); err != nil {
		c.conn.Close() // ended follows
	}
}

func (s *session) refused(id wire.Ident) {
	s.a.mu.Lock()
	c := s.a.callers[id]
	if c != nil && c.s == s && !c.connected {
		delete(s.a.callers, id)
	} else {
		c = nil
	}
	s.a.mu.Unlock()
	if c == nil {
		s.a.cfg.Log.Warn("dom0 refused an unknown request")
		return
	}
	c.conn.Close()
}

// forget refuses what a session that is over left unanswered.
func (a *Agent) forget(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, c := range a.callers {
		if c.s == s && !c.connected {
			delete(a.callers, id)
			c.conn.Close()
		}
	}
}
