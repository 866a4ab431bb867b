package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"qubist/core/vchan"
	"qubist/gui/wire"
)

const (
	// handshakeTime bounds the exchange of versions.
	handshakeTime = 20 * time.Second
	// retryTime is the pause after the port could not be offered.
	retryTime = time.Second
	// maxBacklog is how many bytes may wait for a daemon that does not read; beyond it the
	// link is given up. A new one gets every window anew.
	maxBacklog = 16 << 20
	// pauseBacklog is how many may wait before changes of pixels are held back.
	pauseBacklog = 64 << 10
)

var errBacklog = errors.New("the daemon does not read")

// link is the connection with one daemon.
type link struct {
	conn    net.Conn
	version wire.Version
	screen  wire.XConf
	in      chan command
	dead    chan struct{} // closed once nothing more will come
	joined  sync.WaitGroup

	// expected answers, oldest first; owned by the session.
	expected []expectation

	mu   sync.Mutex
	wake sync.Cond // of out, err
	out  []byte
	err  error // why the link ended
}

// command is a message of the daemon for a window.
type command struct {
	window uint32
	body   any // a type of package wire
}

// acceptLinks offers the GUI port again and again and hands over each daemon that
// connects, one at a time.
func acceptLinks(ctx context.Context, c Config, links chan<- *link) error {
	for ctx.Err() == nil {
		l, err := acceptLink(ctx, c)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.Log.Warn("no daemon", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryTime):
			}
			continue
		}
		select {
		case links <- l:
			<-l.dead
		case <-ctx.Done():
			l.close()
		}
	}
	return ctx.Err()
}

func acceptLink(ctx context.Context, c Config) (*link, error) {
	listener, err := c.Vchan.Listen(ctx, c.Daemon, vchan.PortGUI)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	conn, err := listener.Accept(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	l, err := handshake(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting the daemon: %w", err)
	}
	l.joined.Add(2)
	go l.read()
	go l.write()
	return l, nil
}

// handshake is §1.1 seen from the agent.
func handshake(conn net.Conn) (*link, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(wire.Current.Append(nil)); err != nil {
		return nil, err
	}
	var b [wire.VersionSize + wire.XConfSize]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return nil, err
	}
	answer, err := wire.ParseVersion(b[:wire.VersionSize])
	if err != nil {
		return nil, err
	}
	if err := wire.Current.CheckAnswer(answer); err != nil {
		return nil, err
	}
	screen, err := wire.ParseXConf(b[wire.VersionSize:])
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	l := &link{conn: conn, version: answer, screen: screen, in: make(chan command, 256), dead: make(chan struct{})}
	l.wake.L = &l.mu
	return l, nil
}

// send queues one message; it never blocks.
func send[M wire.Message](l *link, window uint32, m M) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.out = wire.Append(l.out, window, m)
	if len(l.out) > maxBacklog {
		l.fail(errBacklog)
	}
	l.wake.Signal()
}

// busy reports whether the daemon is behind with reading.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out) > pauseBacklog
}

// fail ends the link; mu is held.
func (l *link) fail(err error) {
	if l.err == nil {
		l.err = err
		l.out = nil
		l.joined.Go(func() { l.conn.Close() }) // may flush for a while
	}
	l.wake.Broadcast()
}

func (l *link) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(err)
}

func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// close ends the link and waits for its goroutines.
func (l *link) close() {
	l.end(net.ErrClosed)
	for open := true; open; { // the reader may be waiting to deliver
		select {
		case <-l.in:
		case <-l.dead:
			open = false
		}
	}
	l.joined.Wait()
}

func (l *link) write() {
	defer l.joined.Done()
	for {
		l.mu.Lock()
		for len(l.out) == 0 && l.err == nil {
			l.wake.Wait()
		}
		out, err := l.out, l.err
		l.out = nil
		l.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := l.conn.Write(out); err != nil {
			l.end(err)
			return
		}
	}
}

func (l *link) read() {
	defer l.joined.Done()
	defer close(l.dead)
	head := make([]byte, wire.HeaderSize)
	for {
		if _, err := io.ReadFull(l.conn, head); err != nil {
			l.end(err)
			return
		}
		c, err := readBody(l.conn, head)
		if err != nil {
			l.end(err)
			return
		}
		if c.body != nil {
			l.in <- c
		}
	}
}

// readBody reads what follows a header. Numbers that are unknown are skipped.
func readBody(r io.Reader, head []byte) (command, error) {
	h, err := wire.ParseHeader(head)
	if err != nil {
		return command{}, err
	}
	n, known, err := h.BodyFromDaemon()
	if err != nil {
		return command{}, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil || !known {
		return command{}, err
	}
	m, err := parse(h.Type, body)
	return command{h.Window, m}, err
}

// parse turns a message of the daemon into its checked type.
func parse(t wire.Type, body []byte) (any, error) {
	switch t {
	case wire.TypeKeypress:
		return wire.ParseKeypress(body)
	case wire.TypeButton:
		return wire.ParseButton(body)
	case wire.TypeMotion:
		return wire.ParseMotion(body)
	case wire.TypeCrossing:
		return wire.ParseCrossing(body)
	case wire.TypeFocus:
		return wire.ParseFocus(body)
	case wire.TypeKeymapNotify:
		return wire.ParseKeymapNotify(body)
	case wire.TypeMap:
		return wire.ParseMap(body)
	case wire.TypeConfigure:
		return wire.ParseConfigure(body)
	case wire.TypeWindowFlags:
		return wire.ParseWindowFlags(body)
	case wire.TypeDestroy:
		return wire.Destroy{}, nil
	case wire.TypeClose:
		return wire.Close{}, nil
	case wire.TypeWindowDumpAck:
		return wire.WindowDumpAck{}, nil
	case wire.TypeClipboardReq:
		return wire.ClipboardReq{}, nil
	case wire.TypeClipboardData:
		return wire.ParseClipboardData(body)
	}
	return nil, fmt.Errorf("%w: %d", wire.ErrType, uint32(t))
}
