// Package xconn is a connection to the local X server: xgb over our own Unix socket. It adds
// what xgb lacks: the Xauthority cookie of a given file, descriptors passed to MIT-SHM
// AttachFd, an event queue that never blocks the reader, ids that are used again, and an
// orderly end when the server dies: every pending and later request then fails with an
// error, nothing panics or hangs, and Lost is closed. It knows nothing of windows.
package xconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/BurntSushi/xgb"
	"github.com/BurntSushi/xgb/shm"
	"github.com/BurntSushi/xgb/xproto"
)

// ErrLost is wrapped by Err once the X server is gone.
var ErrLost = errors.New("x server connection lost")

// reuseAfter is how many freed ids wait before the oldest is handed out again, so that
// events still on their way to a dead resource do not meet its successor.
const reuseAfter = 1024

// closeTime bounds how long Close waits for the server.
const closeTime = 2 * time.Second

// Conn is one client's connection. X may be used with every xgb package; extensions must
// be initialised by the caller. All methods may be called concurrently.
type Conn struct {
	X      *xgb.Conn
	Screen xproto.ScreenInfo
	// ScreenNumber is the screen's number in the display's name.
	ScreenNumber int

	stream *stream
	wake   chan struct{}
	pumped chan struct{}
	close  sync.Once

	attachMu sync.Mutex // one AttachFd at a time

	mu     sync.Mutex
	events []Event
	freed  []uint32
}

// Event is an X event or, when Error is set, the failure of an unchecked request.
type Event struct {
	xgb.Event
	Error xgb.Error
}

// Dial connects to display (":7", "unix:7.0"; remote displays are refused) with the cookie
// that the file authority holds for it. An empty or cookie-less authority connects without
// one. ctx bounds the connection's set-up only.
func Dial(ctx context.Context, display, authority string) (*Conn, error) {
	number, screen, err := parseDisplay(display)
	if err != nil {
		return nil, err
	}
	auth, err := readCookie(authority, number)
	if err != nil {
		return nil, err
	}
	u, err := dialSocket(ctx, number)
	if err != nil {
		return nil, fmt.Errorf("connecting to display %q: %w", display, err)
	}
	xgb.Logger.SetOutput(io.Discard) // what it has to say arrives as errors
	s := newStream(u, setupRequest(auth))
	stop := context.AfterFunc(ctx, func() { u.Close() })
	x, err := xgb.NewConnNet(s)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		u.Close()
		return nil, fmt.Errorf("connecting to display %q: %w", display, err)
	}
	c := &Conn{X: x, stream: s, wake: make(chan struct{}, 1), pumped: make(chan struct{})}
	go c.pump()
	roots := xproto.Setup(x).Roots
	if screen >= len(roots) {
		c.Close()
		return nil, fmt.Errorf("display %q has no screen %d", display, screen)
	}
	c.Screen, c.ScreenNumber = roots[screen], screen
	return c, nil
}

func dialSocket(ctx context.Context, number int) (*net.UnixConn, error) {
	var d net.Dialer
	path := fmt.Sprintf("/tmp/.X11-unix/X%d", number)
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		var abstract error
		if conn, abstract = d.DialContext(ctx, "unix", "@"+path); abstract != nil {
			return nil, err
		}
	}
	return conn.(*net.UnixConn), nil
}

// pump moves events out of xgb's bounded queue, so that a caller waiting for a reply
// cannot dam up the events that lie before it.
func (c *Conn) pump() {
	defer close(c.pumped)
	for {
		ev, xerr := c.X.WaitForEvent()
		if ev == nil && xerr == nil {
			return
		}
		if ev == nil && c.Err() != nil {
			continue // made up by stream to release a waiting request
		}
		c.mu.Lock()
		c.events = append(c.events, Event{ev, xerr})
		c.mu.Unlock()
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// Wake has a value whenever events may have arrived since the last Poll returned none.
func (c *Conn) Wake() <-chan struct{} { return c.wake }

// Poll appends the waiting events to buf and returns it.
func (c *Conn) Poll(buf []Event) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	buf = append(buf, c.events...)
	clear(c.events)
	c.events = c.events[:0]
	return buf
}

// Lost is closed when the X server is gone; Err then says why.
func (c *Conn) Lost() <-chan struct{} { return c.stream.lost }

// Err is nil while the connection works.
func (c *Conn) Err() error {
	select {
	case <-c.stream.lost:
		return fmt.Errorf("%w: %w", ErrLost, c.stream.err)
	default:
		return nil
	}
}

// Close ends the connection; the server frees everything this client made. It may be
// called twice. No other method may be called after it.
func (c *Conn) Close() {
	c.close.Do(func() {
		// What was requested so far shall still happen, unless the server hangs.
		if c.stream.SetReadDeadline(time.Now().Add(closeTime)) == nil {
			_ = c.Sync()
		}
		c.stream.quiesce()
		c.X.Close()
		<-c.pumped
	})
}

// NewID returns an unused resource id of any type.
func (c *Conn) NewID() (uint32, error) {
	c.mu.Lock()
	if len(c.freed) > reuseAfter {
		id := c.freed[0]
		c.freed = c.freed[1:]
		c.mu.Unlock()
		return id, nil
	}
	c.mu.Unlock()
	id, err := c.X.NewId()
	if err != nil {
		return 0, fmt.Errorf("allocating an x id: %w", err)
	}
	return id, nil
}

// FreeID gives back an id whose resource was destroyed by an earlier request.
func (c *Conn) FreeID(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.freed = append(c.freed, id)
}

// AttachFd attaches the memory behind fd as a MIT-SHM segment; the extension must have
// been initialised. The server maps the whole file; fd stays the caller's.
func (c *Conn) AttachFd(fd int, readOnly bool) (shm.Seg, error) {
	id, err := c.NewID()
	if err != nil {
		return 0, err
	}
	c.X.ExtLock.RLock()
	opcode, ok := c.X.Extensions["MIT-SHM"]
	c.X.ExtLock.RUnlock()
	if !ok {
		return 0, errors.New("attaching shared memory: MIT-SHM is not initialised")
	}
	c.attachMu.Lock()
	defer c.attachMu.Unlock()
	c.stream.queueFd(opcode, fd)
	if err := shm.AttachFdChecked(c.X, shm.Seg(id), readOnly).Check(); err != nil {
		return 0, fmt.Errorf("attaching shared memory: %w", err)
	}
	return shm.Seg(id), nil
}

// Atom interns name.
func (c *Conn) Atom(name string) (xproto.Atom, error) {
	r, err := xproto.InternAtom(c.X, false, uint16(len(name)), name).Reply()
	if err != nil {
		return 0, fmt.Errorf("interning atom %s: %w", name, err)
	}
	return r.Atom, nil
}

// Sync returns after the server has handled every earlier request.
func (c *Conn) Sync() error {
	if _, err := xproto.GetInputFocus(c.X).Reply(); err != nil {
		return fmt.Errorf("waiting for the x server: %w", err)
	}
	return nil
}

// Extend returns the full number of the request that the 16-bit sequence number of a
// recent event or cookie stands for, counted from the start of the connection.
func (c *Conn) Extend(sequence uint16) uint64 { return c.stream.extend(sequence) }
