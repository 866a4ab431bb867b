package qubesdb

import (
	"net"
	"sync"
	"time"

	"qubist/core/qubesdb/wire"
)

const (
	// chunk is how much is encoded and written at once, in bytes.
	chunk = 64 << 10
	// lowWater is how much may wait, in bytes, while more requests are taken.
	lowWater = 64 << 10
)

// message is one or more messages waiting to be sent.
type message struct {
	typ        wire.Type
	path, data string
	times      int     // the same message so often
	dump       []entry // instead: one message of typ for each entry, then an end marker
	descending bool    // the order of dump
	ended      bool    // the dump's end marker too is sent
}

// outbox holds what one connection has still to be sent. It never blocks who puts something
// in, and is bounded: what does not fit is the connection's end. A dump counts as nothing,
// because it is a view of entries; there is at most one of them for each request taken.
type outbox struct {
	conn  net.Conn
	stall time.Duration // how long one write may take, 0: for ever

	mu    sync.Mutex
	queue []message
	cost  int           // bytes waiting, without dumps
	dumps int           // dumps waiting
	limit int           // of cost
	over  bool          // nothing more is put in; what waits is still sent
	work  chan struct{} // something was put in, or over was set
	room  chan struct{} // something was sent
}

func newOutbox(conn net.Conn, stall time.Duration, limit int) *outbox {
	return &outbox{conn: conn, stall: stall, limit: limit, work: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds a message. It reports false when there is no room.
func (o *outbox) put(m message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return true // nobody listens any more
	}
	if m.dump != nil || m.typ == wire.RespList || m.typ == wire.RespMultiRead {
		o.dumps++
	} else {
		m.times = max(m.times, 1)
		o.cost += m.times * (wire.HeaderSize + len(m.data))
		if o.cost > o.limit {
			o.over = true
			o.queue = nil
			return false
		}
	}
	o.queue = append(o.queue, m)
	poke(o.work)
	return true
}

// finish says that nothing will follow.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	poke(o.work)
}

// waitRoom returns when little enough waits to take one more request, and false when done is
// closed first.
func (o *outbox) waitRoom(done <-chan struct{}) bool {
	for {
		o.mu.Lock()
		ok := o.cost <= lowWater && o.dumps == 0
		o.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-o.room:
		case <-done:
			return false
		}
	}
}

// run sends until finish, an error, or a peer that does not take a chunk in time.
func (o *outbox) run() error {
	var buf []byte
	for {
		var over bool
		buf, over = o.encode(buf[:0])
		switch {
		case len(buf) > 0:
			if o.stall > 0 {
				o.conn.SetWriteDeadline(time.Now().Add(o.stall))
			}
			if _, err := o.conn.Write(buf); err != nil {
				return err
			}
			poke(o.room)
		case over:
			return nil
		default:
			<-o.work
		}
	}
}

// encode takes about a chunk of what waits; over means that nothing will follow it.
func (o *outbox) encode(b []byte) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := 0
	for sent < len(o.queue) && len(b) < chunk {
		m := &o.queue[sent]
		if m.times == 0 {
			if b = m.appendDump(b); m.ended {
				o.dumps--
				sent++
			}
			continue
		}
		b = wire.Append(b, m.typ, m.path, m.data)
		o.cost -= wire.HeaderSize + len(m.data)
		if m.times--; m.times == 0 {
			sent++
		}
	}
	rest := copy(o.queue, o.queue[sent:])
	clear(o.queue[rest:])
	o.queue = o.queue[:rest]
	return b, o.over
}

// appendDump takes about a chunk of a dump.
func (m *message) appendDump(b []byte) []byte {
	for len(m.dump) > 0 && len(b) < chunk {
		var e entry
		if last := len(m.dump) - 1; m.descending {
			e, m.dump = m.dump[last], m.dump[:last]
		} else {
			e, m.dump = m.dump[0], m.dump[1:]
		}
		if m.typ == wire.RespList {
			e.val = ""
		}
		b = wire.Append(b, m.typ, e.key, e.val)
	}
	if len(m.dump) == 0 && len(b) < chunk {
		b = wire.Append(b, m.typ, "", "")
		m.ended = true
	}
	return b
}
