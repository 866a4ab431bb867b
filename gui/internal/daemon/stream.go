package daemon

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"qubist/gui/wire"
)

// chunkSize is how much is read from the agent at once, in bytes.
const chunkSize = 32 << 10

// chunk is a piece of the agent's stream.
type chunk struct {
	data []byte
	err  error
}

// reader reads ahead of the session by at most one chunk.
type reader struct {
	conn   net.Conn
	chunks chan chunk
	free   chan []byte
	quit   chan struct{}
	done   chan struct{}
}

func newReader(conn net.Conn) *reader {
	r := &reader{conn: conn, chunks: make(chan chunk), free: make(chan []byte, 2), quit: make(chan struct{}), done: make(chan struct{})}
	r.free <- make([]byte, chunkSize)
	r.free <- make([]byte, chunkSize)
	return r
}

func (r *reader) run() {
	defer close(r.done)
	for {
		var b []byte
		select {
		case b = <-r.free:
		case <-r.quit:
			return
		}
		n, err := r.conn.Read(b)
		if n > 0 {
			err = nil // it comes again
		}
		select {
		case r.chunks <- chunk{b[:n], err}:
		case <-r.quit:
			return
		}
		if err != nil {
			return
		}
	}
}

// giveBack lets the reader use a chunk's memory again.
func (r *reader) giveBack(c chunk) { r.free <- c.data[:cap(c.data)] }

// stop ends run; the connection must have been closed.
func (r *reader) stop() {
	close(r.quit)
	<-r.done
}

// errQueue: the agent does not read what it is sent.
var errQueue = errors.New("the window agent has stopped reading")

// queue sends to the agent without ever making the session wait.
type queue struct {
	conn   net.Conn
	failed chan struct{} // closed once err is set
	err    error
	done   chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	bytes   []byte
	closed  bool
}

func newQueue(conn net.Conn) *queue {
	q := &queue{conn: conn, failed: make(chan struct{}), done: make(chan struct{})}
	q.changed.L = &q.mu
	return q
}

// add queues b, of which a copy is taken. It fails when more than wire.MaxQueue bytes wait.
func (q *queue) add(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.bytes)+len(b) > wire.MaxQueue {
		return fmt.Errorf("%w: %d bytes wait", errQueue, len(q.bytes))
	}
	q.bytes = append(q.bytes, b...)
	q.changed.Signal()
	return nil
}

func (q *queue) run() {
	defer close(q.done)
	var sending []byte
	for {
		q.mu.Lock()
		for len(q.bytes) == 0 && !q.closed {
			q.changed.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		sending, q.bytes = q.bytes, sending[:0]
		q.mu.Unlock()
		if _, err := q.conn.Write(sending); err != nil {
			q.err = fmt.Errorf("writing to the window agent: %w", err)
			close(q.failed)
			return
		}
		if cap(sending) > 4*chunkSize {
			sending = nil
		}
	}
}

// stop ends run; the connection must have been closed.
func (q *queue) stop() {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	<-q.done
}
