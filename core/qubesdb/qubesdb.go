// Package qubesdb is the client of a QubesDB daemon on this machine: of a VM's database in
// dom0, or of the VM's own inside it. What a VM's database holds was, or may have been,
// written by the VM: in dom0 every value is untrusted.
package qubesdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"qubist/core/qubesdb/wire"
)

// GuestDir is where a VM's own sockets are.
const GuestDir = "/var/run/qubes"

// Limits of what a call keeps, in entries or events; beyond them it fails.
const (
	maxEntries = 1 << 16
	maxEvents  = 1 << 16
)

var (
	// ErrNotExist: there is no such entry.
	ErrNotExist = errors.New("no such entry")
	// ErrRefused: the daemon answered that the request is wrong, or that the socket is
	// read-only.
	ErrRefused = errors.New("refused by the daemon")
	// ErrPath: the path cannot be asked for; nothing was sent.
	ErrPath = errors.New("a path must begin with / and have at most 63 characters")
	// ErrConnect: no daemon serves.
	ErrConnect = errors.New("no connection to the daemon")
)

// Entry is one path with its value.
type Entry struct{ Path, Value string }

// Client talks to one daemon. It connects at the first call and again after the connection
// broke; the call that notices fails, and watches are lost. Not for concurrent use.
type Client struct {
	base   string
	conn   net.Conn
	in     *bufio.Reader
	events []string
}

// New is a client of the daemon for VM name with its sockets in dir; name "" is the database
// of this domain itself. Nothing is connected yet.
func New(dir, name string) *Client {
	base := "qubesdb"
	if name != "" {
		base += "." + name
	}
	return &Client{base: filepath.Join(dir, base)}
}

// Connect connects to the read-write socket or, if that fails, to the read-only one. It does
// nothing when there is a connection.
func (c *Client) Connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.base+".sock")
	if err != nil {
		var roErr error
		if conn, roErr = d.DialContext(ctx, "unix", c.base+".ro.sock"); roErr != nil {
			return fmt.Errorf("%w: %w", ErrConnect, err)
		}
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	return nil
}

// Close ends the connection; the next call would open another.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn, c.in, c.events = nil, nil, nil
	}
}

// Read returns the value of an entry, or ErrNotExist.
func (c *Client) Read(ctx context.Context, path string) (string, error) {
	var value string
	err := c.call(ctx, wire.Read, path, "", func() error {
		_, data, err := c.answer(wire.RespRead, path)
		value = data
		return err
	})
	return value, err
}

// Write stores an entry. The value has at most wire.MaxValue bytes and no NUL.
func (c *Client) Write(ctx context.Context, path, value string) error {
	if len(value) > wire.MaxValue {
		return fmt.Errorf("writing %s: the value has %d bytes, limit %d", path, len(value), wire.MaxValue)
	}
	return c.simple(ctx, wire.Write, path, value)
}

// Remove removes an entry, or all below a path that ends with '/'. None there is a success.
func (c *Client) Remove(ctx context.Context, path string) error {
	return ignoreMissing(c.simple(ctx, wire.Rm, path, ""))
}

// List returns the paths that begin with prefix, in order.
func (c *Client) List(ctx context.Context, prefix string) ([]string, error) {
	es, err := c.dump(ctx, wire.List, wire.RespList, prefix)
	paths := make([]string, len(es))
	for i, e := range es {
		paths[i] = e.Path
	}
	return paths, err
}

// MultiRead returns the entries whose paths begin with prefix, in order of path.
func (c *Client) MultiRead(ctx context.Context, prefix string) ([]Entry, error) {
	return c.dump(ctx, wire.MultiRead, wire.RespMultiRead, prefix)
}

// Watch asks for an event whenever path, or with a '/' at its end anything below it,
// changes.
func (c *Client) Watch(ctx context.Context, path string) error {
	return c.simple(ctx, wire.Watch, path, "")
}

// Unwatch takes one Watch back. None there is a success.
func (c *Client) Unwatch(ctx context.Context, path string) error {
	return ignoreMissing(c.simple(ctx, wire.Unwatch, path, ""))
}

// Next waits for an event and returns the changed path. Unlike the other calls it fails when
// there is no connection, as there are no watches then. A cancelled ctx ends the connection.
func (c *Client) Next(ctx context.Context) (string, error) {
	if len(c.events) == 0 {
		if c.conn == nil {
			return "", fmt.Errorf("waiting for a change: %w", ErrConnect)
		}
		if err := c.guard(ctx, func() error {
			h, _, err := c.receive()
			switch {
			case err != nil:
				return err
			case h.Type != wire.RespWatch:
				return errAnswer
			}
			c.events = append(c.events, h.Path)
			return nil
		}); err != nil {
			return "", fmt.Errorf("waiting for a change: %w", err)
		}
	}
	path := c.events[0]
	c.events = c.events[1:]
	return path, nil
}

var errAnswer = errors.New("the daemon's answer does not fit the question")

func ignoreMissing(err error) error {
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// simple is a call that is answered by OK.
func (c *Client) simple(ctx context.Context, t wire.Type, path, data string) error {
	return c.call(ctx, t, path, data, func() error {
		_, _, err := c.answer(wire.RespOK, path)
		return err
	})
}

func (c *Client) dump(ctx context.Context, t, resp wire.Type, prefix string) ([]Entry, error) {
	var out []Entry
	err := c.call(ctx, t, prefix, "", func() error {
		for {
			h, data, err := c.answer(resp, "")
			if err != nil || h.Path == "" {
				return err
			}
			if len(out) >= maxEntries || !strings.HasPrefix(h.Path, prefix) {
				return errAnswer
			}
			out = append(out, Entry{h.Path, data})
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// call sends a request and lets read take the answer.
func (c *Client) call(ctx context.Context, t wire.Type, path, data string, read func() error) error {
	what := fmt.Sprintf("%v %s", t, path)
	if len(path) > wire.MaxPath || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("%s: %w", what, ErrPath)
	}
	if err := c.Connect(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err := c.guard(ctx, func() error {
		if _, err := c.conn.Write(wire.Append(nil, t, path, data)); err != nil {
			return err
		}
		return read()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// guard runs one exchange. If it is interrupted, nobody knows what comes next: the
// connection ends.
func (c *Client) guard(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, woken := c.conn, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0))
		close(woken)
	})
	err := f()
	if !stop() {
		<-woken
		conn.SetDeadline(time.Time{})
	}
	if err == nil || errors.Is(err, ErrNotExist) || errors.Is(err, ErrRefused) {
		return err
	}
	c.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// answer receives what is no event. Its type is want, or an error is returned; its path is
// path, unless that is "".
func (c *Client) answer(want wire.Type, path string) (wire.Header, string, error) {
	for {
		h, data, err := c.receive()
		if err != nil {
			return h, "", err
		}
		switch {
		case h.Type == wire.RespWatch:
			if len(c.events) >= maxEvents {
				return h, "", fmt.Errorf("more than %d events wait", maxEvents)
			}
			c.events = append(c.events, h.Path)
			continue
		case h.Type == wire.RespError:
			return h, "", ErrRefused
		case h.Type == wire.RespNoEnt && want != wire.RespList && want != wire.RespMultiRead:
			return h, "", ErrNotExist
		case h.Type != want || path != "" && h.Path != path:
			return h, "", errAnswer
		}
		return h, data, nil
	}
}

// receive reads one message.
func (c *Client) receive() (wire.Header, string, error) {
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return wire.Header{}, "", err
	}
	h, err := wire.ParseHeader(&b)
	if err != nil && h.Type != wire.RespError { // an error repeats what was wrong
		return h, "", err
	}
	if h.Len > wire.MaxValue {
		return h, "", err
	}
	data := make([]byte, h.Len)
	_, err = io.ReadFull(c.in, data)
	return h, string(data), err
}
