package mem

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"qubist/core/vchan"
)

// bufferSize is how many bytes a writer can be ahead of its reader.
const bufferSize = 64 << 10

// conn is one end: it reads from in and writes to out, which are the other end's out and in.
type conn struct {
	in, out       *half
	local, remote addr
}

type addr string

func (addr) Network() string  { return "vchan" }
func (a addr) String() string { return string(a) }

func pipe(n name) (server, client *conn) {
	a, b := newHalf(), newHalf()
	s := addr(fmt.Sprintf("server %d of %d port %d", n.server, n.client, n.port))
	c := addr(fmt.Sprintf("client %d of %d port %d", n.client, n.server, n.port))
	return &conn{a, b, s, c}, &conn{b, a, c, s}
}

func (c *conn) Read(b []byte) (int, error)         { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error)        { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr                { return c.local }
func (c *conn) RemoteAddr() net.Addr               { return c.remote }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.setDeadline(&c.in.reader, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.writer, t) }

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) Close() error {
	c.in.closeReader()
	c.out.closeWriter()
	return nil
}

// half is one direction: a bounded buffer with two users.
type half struct {
	mu             sync.Mutex
	changed        *sync.Cond
	buf            []byte
	reader, writer end
}

// end is the state of one user of a half.
type end struct {
	closed  bool
	expired bool
	timer   *time.Timer
	set     int // counts setDeadline, so that a late timer does no harm
}

func newHalf() *half {
	h := &half{}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.reader.closed:
			return 0, vchan.ErrClosed
		case h.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = h.buf[n:]
			h.changed.Broadcast()
			return n, nil
		case h.writer.closed:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	for {
		switch {
		case h.writer.closed:
			return done, vchan.ErrClosed
		case h.writer.expired:
			return done, os.ErrDeadlineExceeded
		case h.reader.closed:
			return done, io.ErrClosedPipe
		case done == len(b):
			return done, nil
		}
		if room := bufferSize - len(h.buf); room > 0 {
			n := min(room, len(b)-done)
			h.buf = append(h.buf, b[done:done+n]...)
			done += n
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

func (h *half) closeReader() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reader.close()
	h.buf = nil
	h.changed.Broadcast()
}

func (h *half) closeWriter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writer.close()
	h.changed.Broadcast()
}

func (e *end) close() {
	e.closed = true
	e.set++
	if e.timer != nil {
		e.timer.Stop()
	}
}

func (h *half) setDeadline(e *end, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.closed {
		return vchan.ErrClosed
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	e.set++
	set := e.set
	e.expired = false
	if !t.IsZero() {
		if wait := time.Until(t); wait <= 0 {
			e.expired = true
		} else {
			e.timer = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				if e.set == set {
					e.expired = true
					h.changed.Broadcast()
				}
			})
		}
	}
	h.changed.Broadcast()
	return nil
}
