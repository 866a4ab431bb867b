package qubesdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"qubist/core/qubesdb/wire"
	"qubist/core/vchan"
)

// peer is the daemon at the other end of the link, as long as it is connected. All fields
// but in are guarded by Server.mu.
type peer struct {
	s       *Server
	conn    vchan.Conn
	in      *bufio.Reader
	out     *outbox
	synced  bool // it has its copy: changes are forwarded
	waiting bool // for the rest of the copy we asked for
	// The changes we sent that are not answered yet, in order, and how many of them write
	// a path. Only dom0's side keeps them: there, its own write wins over one that crosses it.
	sent   []string
	writes map[string]int
}

// errPeer: the other side broke the protocol.
var errPeer = errors.New("protocol error")

const (
	// relinkPause follows a link that ended in peace.
	relinkPause = 10 * time.Millisecond
	// flushLimit is how long a last answer to the peer may take.
	flushLimit = time.Second
)

// keepLink connects to the other side again and again until ctx ends. offer is dom0's first
// listener. A peer that breaks the protocol, or comes and goes, waits Config.Pause.
func (s *Server) keepLink(ctx context.Context, offer vchan.Listener) {
	for {
		conn, err := s.connect(ctx, offer)
		offer = nil
		pause := s.cfg.Pause
		if err == nil {
			began := time.Now()
			err = s.serveLink(ctx, conn)
			if !errors.Is(err, errPeer) && time.Since(began) >= s.cfg.Pause {
				pause = relinkPause
			}
		}
		if ctx.Err() != nil {
			return
		}
		s.cfg.Log.Info("no link to the other side's daemon", "reason", err)
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func (s *Server) connect(ctx context.Context, offer vchan.Listener) (vchan.Conn, error) {
	if s.inVM() {
		return s.cfg.Driver.Dial(ctx, s.cfg.Remote, vchan.PortQubesDB)
	}
	if offer == nil {
		var err error
		if offer, err = s.cfg.Driver.Listen(ctx, s.cfg.Remote, vchan.PortQubesDB); err != nil {
			return nil, err
		}
	}
	defer offer.Close()
	return offer.Accept(ctx)
}

// serveLink is the life of one connection to the peer.
func (s *Server) serveLink(ctx context.Context, conn vchan.Conn) error {
	p := &peer{s: s, conn: conn, in: bufio.NewReaderSize(conn, chunk), out: newOutbox(conn, 0, maxChanges), writes: map[string]int{}}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	written := make(chan struct{})
	s.wg.Go(func() {
		defer close(written)
		defer conn.Close() // ends the reader too
		_ = p.out.run()    // an error is a peer that is gone, or that we dropped
	})
	s.mu.Lock()
	s.peer = p
	if s.inVM() {
		p.waiting, p.synced = true, false
		p.out.put(message{typ: wire.MultiRead})
	}
	s.mu.Unlock()
	var err error
	for err == nil {
		err = p.message()
	}
	s.mu.Lock()
	s.peer = nil
	s.mu.Unlock()
	p.out.finish()
	conn.SetWriteDeadline(time.Now().Add(flushLimit))
	<-written
	return err
}

// message reads and obeys one message of the peer. An error ends the connection.
func (p *peer) message() error {
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(p.in, b[:]); err != nil {
		return err
	}
	h, err := wire.ParseHeader(&b)
	if err != nil {
		return fmt.Errorf("%w: %w", errPeer, err)
	}
	if !h.Type.Peer() {
		return fmt.Errorf("%w: %v on the link", errPeer, h.Type)
	}
	if h.Len > 0 && (h.Type == wire.RespOK || h.Type == wire.RespError) {
		return fmt.Errorf("%w: %v with data", errPeer, h.Type)
	}
	data := make([]byte, h.Len)
	if _, err := io.ReadFull(p.in, data); err != nil {
		return err
	}
	p.s.mu.Lock()
	err = p.obey(h, string(data))
	complete := p.s.inVM() && p.synced
	p.s.mu.Unlock()
	if complete {
		p.s.ready()
	}
	return err
}

// obey does what a valid message asks. The caller holds s.mu.
func (p *peer) obey(h wire.Header, data string) error {
	switch h.Type {
	case wire.Write:
		return p.write(h.Path, data)
	case wire.Rm:
		return p.remove(h.Path, data)
	case wire.MultiRead:
		return p.copy(h.Path, data)
	case wire.RespMultiRead:
		return p.entry(h.Path, data)
	}
	p.answered() // OK or ERROR; which is of no interest
	return nil
}

func (p *peer) answer(t wire.Type, path string) {
	p.send(message{typ: t, path: path})
}

func (p *peer) send(m message) {
	if !p.out.put(m) {
		p.drop("too much waits for the other side's daemon")
	}
}

// drop ends the link. A transport may flush before it closes: nobody waits for that.
func (p *peer) drop(why string) {
	p.s.cfg.Log.Warn("dropping the link", "reason", why)
	p.s.wg.Go(func() { p.conn.Close() })
}

// forward sends a local change. The caller holds s.mu.
func (p *peer) forward(t wire.Type, path, data string) {
	if !p.s.inVM() {
		if len(p.sent) >= maxInFlight {
			p.drop("the other side's daemon does not answer")
			return
		}
		key := ""
		if t == wire.Write {
			key = path
			p.writes[key]++
		}
		p.sent = append(p.sent, key)
	}
	p.send(message{typ: t, path: path, data: data})
}

// answered notes that the oldest change was answered. Answers nobody asked for are allowed.
func (p *peer) answered() {
	if len(p.sent) == 0 {
		return
	}
	key := p.sent[0]
	if p.sent = p.sent[1:]; len(p.sent) == 0 {
		p.sent = nil
	}
	if key == "" {
		return
	}
	if p.writes[key]--; p.writes[key] == 0 {
		delete(p.writes, key)
	}
}

func (p *peer) write(path, data string) error {
	s := p.s
	switch {
	case !wire.ValidValue(data):
		p.answer(wire.RespError, path)
		return nil
	case !wire.ValidKey(path):
		p.answer(wire.RespError, path)
		return fmt.Errorf("%w: WRITE of a path that no entry can have", errPeer)
	case p.writes[path] > 0: // it crosses ours, which the peer is about to store
		p.answer(wire.RespOK, path)
		return nil
	case !s.db.set(path, data, s.maxFor(false)):
		p.answer(wire.RespError, path)
		return nil
	}
	p.answer(wire.RespOK, path)
	s.changed(path)
	return nil
}

func (p *peer) remove(path, data string) error {
	switch {
	case data != "":
		p.answer(wire.RespError, path)
		return nil
	case !p.s.db.remove(path):
		p.answer(wire.RespNoEnt, path)
		return fmt.Errorf("%w: RM of a missing entry", errPeer)
	}
	p.answer(wire.RespOK, path)
	p.s.changed(path)
	return nil
}

// copy gives the VM what dom0 has.
func (p *peer) copy(path, data string) error {
	if p.synced || p.s.inVM() {
		p.answer(wire.RespError, path)
		return fmt.Errorf("%w: MULTIREAD out of turn", errPeer)
	}
	p.synced = true
	if data != "" {
		p.answer(wire.RespError, path)
		return nil
	}
	p.send(message{typ: wire.RespMultiRead, dump: p.s.db.list(path), descending: path == ""})
	return nil
}

// entry takes one entry of the copy we asked for, or its end.
func (p *peer) entry(path, data string) error {
	s := p.s
	switch {
	case !p.waiting:
		return fmt.Errorf("%w: an entry that was not asked for", errPeer)
	case path == "":
		p.waiting, p.synced = false, true
		return nil
	case !wire.ValidKey(path) || !wire.ValidValue(data):
		return fmt.Errorf("%w: an entry that cannot be", errPeer)
	case !s.db.set(path, data, s.maxFor(false)):
		return fmt.Errorf("%w: more entries than there can be", errPeer)
	}
	s.changed(path)
	return nil
}
