package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"qubist/core/vchan/internal/usock"
	"qubist/core/vchan/wire"
)

// servePort runs one session after the other over port until the port fails, and returns
// why it did.
func (l *Link) servePort(ctx context.Context, port Port) error {
	stop := context.AfterFunc(ctx, func() { port.Close() })
	defer stop()
	p := newPlink(port)
	for {
		if err := p.handshake(); errors.Is(err, errAgain) {
			continue
		} else if err != nil {
			return err
		}
		begun := time.Now()
		l.log.info("session begins")
		conn := &muxConn{plink: p, fromClient: !l.cfg.Dom0}
		reason := l.serveSession(ctx, conn)
		if conn.broken != nil {
			return conn.broken
		}
		l.log.warn("session ended", "reason", reason)
		if err := usock.Sleep(ctx, time.Until(begun.Add(sessionPause))); err != nil {
			return err
		}
	}
}

// serveSession runs yamux over conn until either side ends it, and returns why. The port
// is usable again afterwards unless conn.broken says otherwise.
func (l *Link) serveSession(ctx context.Context, conn *muxConn) error {
	start := yamux.Server
	if l.cfg.Dom0 {
		start = yamux.Client
	}
	session, err := start(conn, yamuxConfig())
	if err != nil {
		return fmt.Errorf("starting yamux: %w", err)
	}
	l.publish(session, false)
	err = l.acceptStreams(ctx, session)
	l.publish(nil, false)
	session.Close() // returns when yamux's goroutines have ended
	conn.port.SetReadDeadline(time.Time{})
	conn.port.SetWriteDeadline(time.Time{})
	if conn.refused != nil {
		return conn.refused
	}
	return err
}

// acceptStreams serves what the peer opens until the session ends.
func (l *Link) acceptStreams(ctx context.Context, session *yamux.Session) error {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return err
		}
		if n := session.NumStreams(); n > MaxStreams {
			return fmt.Errorf("peer keeps %d streams, limit %d", n, MaxStreams)
		}
		l.handlers.Go(func() { l.serveStream(ctx, stream) })
	}
}

// yamuxConfig has no timeouts of its own: a paused VM answers nothing for hours and must
// find its sessions when it goes on. That a VM is gone or rebooted shows at the port.
func yamuxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.EnableKeepAlive = false
	c.ConnectionWriteTimeout = 10 * 365 * 24 * time.Hour
	c.StreamOpenTimeout = 0
	c.StreamCloseTimeout = CloseLimit
	c.MaxStreamWindowSize = StreamWindow
	c.LogOutput = io.Discard // its text follows what the peer sends; we log one line
	return c
}

// muxConn is the port as yamux sees it for one session. Reads pass on only frames with
// good headers; writes join a header with its payload, which halves the exits of the VM.
// Close interrupts and leaves the port open.
type muxConn struct {
	*plink
	fromClient bool // the peer is the yamux client
	pass       int  // bytes of the current frame not yet passed on; yamux's reader only

	joined [wire.HeaderSize + wire.MaxPayload]byte // yamux's writer only
	header int                                     // bytes of a header held back in joined

	mu      sync.Mutex
	broken  error // why the port is of no more use
	refused error // why a frame was not passed on
}

func (c *muxConn) Read(b []byte) (int, error) {
	if c.pass == 0 {
		h, err := c.r.Peek(wire.HeaderSize)
		if err != nil {
			return 0, c.fail(err)
		}
		payload, err := wire.CheckHeader([wire.HeaderSize]byte(h), c.fromClient)
		if err != nil {
			c.refused = err // read after yamux's reader has ended
			return 0, err
		}
		c.pass = wire.HeaderSize + payload
	}
	n, err := c.r.Read(b[:min(len(b), c.pass)])
	c.pass -= n
	return n, c.fail(err)
}

func (c *muxConn) Write(b []byte) (int, error) {
	if c.header == 0 && len(b) == wire.HeaderSize {
		if n := wire.Payload([wire.HeaderSize]byte(b)); n > 0 && n <= wire.MaxPayload {
			c.header = copy(c.joined[:], b)
			return len(b), nil
		}
	}
	out := b
	if c.header > 0 {
		out = c.joined[:c.header+copy(c.joined[c.header:], b)]
		c.header = 0
	}
	if _, err := c.port.Write(out); errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err // interrupted by Close
	} else if err != nil {
		// The peer is gone, but what it sent before is still to be read: the session
		// ends when the reader gets to the end. In case it does not, it ends anyway.
		c.fail(err)
		c.port.SetReadDeadline(time.Now().Add(DrainLimit))
	}
	return len(b), nil
}

// fail notes an error of the port itself; an interruption by Close is none.
func (c *muxConn) fail(err error) error {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.mu.Lock()
		if c.broken == nil {
			c.broken = err
		}
		c.mu.Unlock()
	}
	return err
}

func (c *muxConn) Close() error {
	return errors.Join(c.port.SetReadDeadline(past), c.port.SetWriteDeadline(past))
}
