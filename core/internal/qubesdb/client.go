package qubesdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"qubist/core/qubesdb/wire"
)

// client is one local connection.
type client struct {
	s        *Server
	conn     net.Conn
	in       *bufio.Reader
	out      *outbox
	readOnly bool
	uid      uint32
	watches  map[string]int // what it has in s.watches; guarded by s.mu
	watching int            // the sum of watches
}

// accept takes clients from one socket until ctx ends.
func (s *Server) accept(ctx context.Context, l *net.UnixListener, readOnly bool) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accepting clients: %w", err)
			}
			// Out of descriptors or memory: others will let go of theirs.
			s.cfg.Log.Warn("accepting a client", "err", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		c := s.newClient(conn, peerUID(conn), readOnly)
		if !s.admit(ctx, c) {
			conn.Close()
			continue
		}
		s.wg.Go(func() { c.serve(ctx) })
	}
}

func (s *Server) newClient(conn net.Conn, uid uint32, readOnly bool) *client {
	return &client{
		s: s, conn: conn, in: bufio.NewReader(conn), out: newOutbox(conn, s.cfg.Stall, maxEvents),
		uid: uid, readOnly: readOnly, watches: map[string]int{},
	}
}

// peerUID is the user at the other end; nobody's number when the kernel does not say.
func peerUID(conn *net.UnixConn) uint32 {
	uid := ^uint32(0)
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				uid = cred.Uid
			}
		})
	}
	return uid
}

// trusted users may have all connections there are.
func trusted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// admit counts a client in, unless there are too many.
func (s *Server) admit(ctx context.Context, c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	same, others := 0, 0
	for o := range s.clients {
		if o.uid == c.uid {
			same++
		}
		if !trusted(o.uid) {
			others++
		}
	}
	if len(s.clients) >= MaxClients || !trusted(c.uid) && (same >= MaxPerUser || others >= maxOtherUsers) || ctx.Err() != nil {
		s.cfg.Log.Warn("too many clients, turning one away", "uid", c.uid, "clients", len(s.clients), "of_user", same)
		return false
	}
	s.clients[c] = struct{}{}
	return true
}

// cut ends the connection at once. The caller may hold s.mu.
func (c *client) cut(why string) {
	c.s.cfg.Log.Warn("cutting off a client", "uid", c.uid, "reason", why)
	c.conn.Close()
}

// serve is the life of the connection: its requests in order, then what is left to send.
func (c *client) serve(ctx context.Context) {
	written := make(chan struct{})
	c.s.wg.Go(func() {
		defer close(written)
		defer c.conn.Close() // ends the reader too
		if err := c.out.run(); errors.Is(err, os.ErrDeadlineExceeded) {
			c.cut("it does not read")
		}
	})
	defer func() {
		c.s.forget(c)
		c.out.finish()
		<-written
		c.s.mu.Lock()
		delete(c.s.clients, c)
		c.s.mu.Unlock()
	}()
	select {
	case <-c.s.synced:
	case <-ctx.Done():
		return
	}
	for c.out.waitRoom(written) {
		if err := c.request(); err != nil {
			return
		}
	}
}

// forget removes a client's watches.
func (s *Server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range c.watches {
		delete(s.watches[path], c)
		if len(s.watches[path]) == 0 {
			delete(s.watches, path)
		}
	}
	clear(c.watches)
	c.watching = 0
}

// errLeave: the protocol ends the connection after the answers that are due.
var errLeave = errors.New("connection is to be closed")

// request reads and answers one message. An error ends the connection.
func (c *client) request() error {
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return err
	}
	h, err := wire.ParseHeader(&b)
	refused := err != nil || !h.Type.Request() || c.readOnly && (h.Type == wire.Write || h.Type == wire.Rm) || h.Type != wire.Read && h.Type != wire.Write && h.Len > 0
	switch {
	case refused:
		if _, err := io.CopyN(io.Discard, c.in, int64(h.Len)); err != nil {
			return err
		}
		c.answer(wire.RespError, h.Path, "")
		return nil
	case h.Type == wire.Read && h.Len > 0:
		return errLeave
	}
	data := make([]byte, h.Len)
	if _, err := io.ReadFull(c.in, data); err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.execute(h, string(data))
}

// answer queues one message. The limit cannot be reached: waitRoom saw to it.
func (c *client) answer(t wire.Type, path, data string) {
	c.send(message{typ: t, path: path, data: data})
}

func (c *client) send(m message) {
	if !c.out.put(m) {
		c.cut("it does not read its answers")
	}
}

// execute does what a valid request asks. The caller holds s.mu.
func (c *client) execute(h wire.Header, data string) error {
	s := c.s
	switch h.Type {
	case wire.Read:
		if val, ok := s.db.get(h.Path); ok {
			c.answer(wire.RespRead, h.Path, val)
		} else {
			c.answer(wire.RespNoEnt, h.Path, "")
		}
	case wire.Write:
		return c.write(h.Path, data)
	case wire.Rm:
		if !s.db.remove(h.Path) {
			c.answer(wire.RespNoEnt, h.Path, "")
			return nil
		}
		s.forward(wire.Rm, h.Path, "")
		c.answer(wire.RespOK, h.Path, "")
		s.changed(h.Path)
	case wire.List:
		c.send(message{typ: wire.RespList, dump: s.db.list(h.Path)})
	case wire.MultiRead:
		c.send(message{typ: wire.RespMultiRead, dump: s.db.list(h.Path), descending: h.Path == ""})
	case wire.Watch:
		c.watch(h.Path)
	case wire.Unwatch:
		c.unwatch(h.Path)
	}
	return nil
}

func (c *client) write(path, data string) error {
	s := c.s
	switch {
	case !wire.ValidValue(data):
		c.answer(wire.RespError, path, "")
		return nil
	case !wire.ValidKey(path):
		c.answer(wire.RespError, path, "")
		return errLeave
	case !s.db.set(path, data, s.maxFor(true)):
		s.cfg.Log.Warn("the database is full, refusing an entry", "path", path)
		c.answer(wire.RespError, path, "")
		return nil
	}
	s.forward(wire.Write, path, data)
	c.answer(wire.RespOK, path, "")
	s.changed(path)
	return nil
}

func (c *client) watch(path string) {
	if c.watching >= MaxWatches {
		c.answer(wire.RespError, path, "")
		return
	}
	c.setWatch(path, c.watches[path]+1)
	c.watching++
	c.answer(wire.RespOK, path, "")
}

func (c *client) unwatch(path string) {
	if c.watches[path] == 0 {
		c.answer(wire.RespNoEnt, path, "")
		return
	}
	c.setWatch(path, c.watches[path]-1)
	c.watching--
	c.answer(wire.RespOK, path, "")
}

// setWatch records that the client watches path n times. The caller holds s.mu.
func (c *client) setWatch(path string, n int) {
	all := c.s.watches[path]
	if n == 0 {
		delete(c.watches, path)
		if delete(all, c); len(all) == 0 {
			delete(c.s.watches, path)
		}
		return
	}
	if all == nil {
		all = map[*client]int{}
		c.s.watches[strings.Clone(path)] = all
	}
	c.watches[path], all[c] = n, n
}
