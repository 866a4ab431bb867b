// Package data speaks the protocol of a data vchan: one call between the side that runs a
// service and the side that called it. It starts no processes and opens no vchans; it moves
// bytes between a connected vchan and the ends it is given (spec qrexec.md §4 and §7).
//
// Each direction has its own goroutine and blocks on its own: a local end that does not read
// slows its peer down by the transport's flow control, nothing is queued without bound.
package data

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

// readBuffer holds two full messages, so that one read of the transport often brings both.
const readBuffer = 2 * (wire.MaxChunkV3 + wire.HeaderLen)

var buffers = sync.Pool{New: func() any { return new([wire.HeaderLen + wire.MaxChunkV3]byte) }}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}

// ErrLost means that the peer closed before the call was over.
var ErrLost = errors.New("the data vchan closed early")

// ErrHello is wrapped by the errors of Open.
var ErrHello = errors.New("data vchan hello")

// Link is a data vchan after its hello.
type Link struct {
	conn  net.Conn
	r     *bufio.Reader
	chunk int

	wmu     sync.Mutex
	inEnded bool // client side: STDIN EOF was sent, or input is over
}

// Open exchanges hellos on conn: ours first, then the peer's. On an error conn is closed.
func Open(ctx context.Context, conn net.Conn) (*Link, error) {
	release := msg.Bound(ctx, conn)
	defer release()
	l := &Link{conn: conn, r: readers.Get().(*bufio.Reader)}
	l.r.Reset(conn)
	if err := l.hello(); err != nil {
		l.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrHello, err)
	}
	return l, nil
}

func (l *Link) hello() error {
	if _, err := l.conn.Write(wire.AppendHello(nil, wire.Version)); err != nil {
		return err
	}
	peer, err := msg.ReadHello(l.r)
	if err != nil {
		return err
	}
	version, err := wire.Negotiate(peer)
	l.chunk = wire.MaxChunk(version)
	return err
}

// Close closes the vchan.
func (l *Link) Close() error { return l.conn.Close() }

// recycle gives the read buffer back; nobody reads any more.
func (l *Link) recycle() {
	l.r.Reset(nil)
	readers.Put(l.r)
	l.r = nil
}

// send writes one message whose payload stands in buf after the space for its header.
func (l *Link) send(t wire.Type, buf []byte, n int) error {
	wire.PutHeader(buf, wire.Header{Type: t, Len: uint32(n)})
	l.wmu.Lock()
	defer l.wmu.Unlock()
	_, err := l.conn.Write(buf[:wire.HeaderLen+n])
	return err
}

func (l *Link) sendEOF(t wire.Type) error {
	var b [wire.HeaderLen]byte
	return l.send(t, b[:], 0)
}

// copyOut sends everything src gives as messages of type t, then its end. Read errors of src
// count as its end; errors of the vchan are returned.
func (l *Link) copyOut(t wire.Type, src io.Reader) error {
	buf := buffers.Get().(*[wire.HeaderLen + wire.MaxChunkV3]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(buf[wire.HeaderLen : wire.HeaderLen+l.chunk])
		if n > 0 {
			if err := l.send(t, buf[:], n); err != nil {
				return err
			}
		}
		if err != nil {
			return l.sendEOF(t)
		}
	}
}

// next reads the header of a data message and checks what both roles check. io.EOF means the
// peer closed.
func (l *Link) next() (wire.Header, error) {
	h, err := msg.ReadHeader(l.r)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return h, io.EOF // a truncated message and a reset are not reported otherwise
	case err != nil:
		return h, err
	}
	if h.Type < wire.DataStdin || h.Type > wire.DataExitCode {
		return h, fmt.Errorf("%w: %v on a data vchan", wire.ErrFatal, h.Type)
	}
	if h.Len > uint32(l.chunk) {
		return h, fmt.Errorf("%w: %v of %d bytes, limit %d", wire.ErrFatal, h.Type, h.Len, l.chunk)
	}
	return h, nil
}

// body passes a payload of n bytes to w, straight from the read buffer. A nil w discards.
// Once w fails the rest is discarded and werr tells.
func (l *Link) body(w io.Writer, n int) (werr, err error) {
	for n > 0 {
		if l.r.Buffered() == 0 {
			if _, err := l.r.Peek(1); err != nil {
				return werr, eof(err)
			}
		}
		piece, _ := l.r.Peek(min(n, l.r.Buffered()))
		if w != nil && werr == nil {
			_, werr = w.Write(piece)
		}
		l.r.Discard(len(piece))
		n -= len(piece)
	}
	return werr, nil
}

func eof(err error) error {
	if errors.Is(err, syscall.ECONNRESET) {
		return io.EOF
	}
	return err
}

// payload reads a short payload whole.
func (l *Link) payload(n uint32) ([]byte, error) {
	b, err := msg.ReadBody(l.r, n)
	if err != nil && !errors.Is(err, wire.ErrFatal) {
		return nil, io.EOF
	}
	return b, err
}

// Fail is what a service side sends when its service cannot run: for a call both ends and
// the code, for JUST_EXEC (plain) the code alone. note, if not empty, goes to stderr. It
// closes the link.
func (l *Link) Fail(code int, plain bool, note string) error {
	defer l.recycle()
	var b []byte
	if !plain {
		b = wire.Append(b, wire.DataStdout, nil)
		if note != "" {
			b = wire.Append(b, wire.DataStderr, []byte(note))
		}
		b = wire.Append(b, wire.DataStderr, nil)
	}
	_, err := l.conn.Write(wire.AppendExitCode(b, code))
	return errors.Join(err, l.conn.Close())
}

// FailDom0 is Fail for a service in dom0, which closes stderr first.
func (l *Link) FailDom0(code int) error {
	defer l.recycle()
	b := wire.Append(nil, wire.DataStderr, nil)
	b = wire.Append(b, wire.DataStdout, nil)
	_, err := l.conn.Write(wire.AppendExitCode(b, code))
	return errors.Join(err, l.conn.Close())
}
