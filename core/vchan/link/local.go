package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"qubist/core/vchan"
	"qubist/core/vchan/internal/usock"
	"qubist/core/vchan/wire"
)

// muxSocket is the listening mux socket.
type muxSocket struct {
	*net.UnixListener
	path string
	self os.FileInfo
	once sync.Once
}

// listenMux creates the mux socket, for the owner and the group of its directory (which
// is created 0750), in place of one that a predecessor left.
func listenMux(path string) (*muxSocket, error) {
	if err := usock.CheckPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("creating the vchan directory: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale mux socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("creating the mux socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("creating the mux socket: %w", err)
	}
	self, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("creating the mux socket: %w", err)
	}
	return &muxSocket{UnixListener: l, path: path, self: self}, nil
}

// Close stops listening and removes the socket, unless a successor took its name.
func (m *muxSocket) Close() {
	m.once.Do(func() {
		if now, err := os.Lstat(m.path); err == nil && os.SameFile(m.self, now) {
			os.Remove(m.path)
		}
		m.UnixListener.Close()
	})
}

// acceptLocal serves the programs of this domain until the socket is closed.
func (l *Link) acceptLocal(ctx context.Context, sock *muxSocket) {
	places := make(chan struct{}, MaxLocal)
	for {
		c, err := sock.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, most likely
			l.log.warn("accepting on the mux socket", "reason", err)
			if usock.Sleep(ctx, retryPause) != nil {
				return
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			c.Close() // the program tries again
			continue
		}
		l.handlers.Go(func() {
			defer func() { <-places }()
			l.serveLocal(ctx, usock.Conn{UnixConn: c})
		})
	}
}

// serveLocal answers one program's request. It owns c.
func (l *Link) serveLocal(ctx context.Context, c usock.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	stream, answer, err := l.answerLocal(ctx, c)
	if err == nil {
		_, err = c.Write([]byte{byte(answer)})
	}
	if stream == nil {
		return
	}
	if err != nil {
		stream.Close()
		return
	}
	splice(c, stream)
}

// answerLocal reads a request and does what it asks. With the answer OK to a dial comes
// the stream. An error means that there is nobody to answer any more.
func (l *Link) answerLocal(ctx context.Context, c usock.Conn) (*yamux.Stream, wire.Answer, error) {
	r, err := readRequest(c)
	if err != nil {
		return nil, 0, err
	}
	vm := uint32(l.cfg.VM)
	switch {
	case r.Op == wire.OpGrant && l.cfg.Dom0 && r.Client == vm:
		if !l.grants.add(grant{r.Server, r.Port}) {
			l.log.warn("too many grants wait", "limit", MaxGrants)
			return nil, wire.Denied, nil
		}
		return nil, wire.OK, nil
	case r.Op == wire.OpDial && l.cfg.Dom0 && r.Server == vm,
		r.Op == wire.OpDial && !l.cfg.Dom0 && r.Client == vm:
		return l.dialOut(ctx, c, r)
	}
	return nil, wire.Denied, nil
}

// dialOut opens a stream to the peer and waits for its answer, over as many sessions as
// it takes, until the program that asks gives up.
func (l *Link) dialOut(ctx context.Context, c usock.Conn, r wire.Request) (*yamux.Stream, wire.Answer, error) {
	ctx, quiet := watch(ctx, c)
	stream, answer, err := l.dialPeer(ctx, r)
	if !quiet() {
		err = errors.New("connection closed before the answer")
	}
	if err != nil && stream != nil {
		stream.Close()
		stream = nil
	}
	return stream, answer, err
}

func (l *Link) dialPeer(ctx context.Context, r wire.Request) (*yamux.Stream, wire.Answer, error) {
	for {
		session, err := l.waitSession(ctx)
		if errors.Is(err, vchan.ErrGone) {
			return nil, wire.Gone, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if session.NumStreams() < MaxOpen {
			stream, answer, err := openStream(ctx, session, r)
			if err == nil {
				return stream, answer, nil
			}
		}
		if err := usock.Sleep(ctx, retryPause); err != nil {
			return nil, 0, err
		}
	}
}

// openStream makes one attempt at r. The stream is not nil only if the answer is OK.
func openStream(ctx context.Context, session *yamux.Session, r wire.Request) (*yamux.Stream, wire.Answer, error) {
	stream, err := session.OpenStream()
	if err != nil {
		return nil, 0, err
	}
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(past) })
	answer, err := ask(stream, r)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil || answer != wire.OK {
		stream.Close()
		return nil, answer, err
	}
	return stream, answer, nil
}

// ask sends r and reads the answer.
func ask(c io.ReadWriter, r wire.Request) (wire.Answer, error) {
	if _, err := c.Write(r.Append(nil)); err != nil {
		return 0, err
	}
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, err
	}
	return wire.ParseAnswer(b[0])
}

// requester is where a request comes from.
type requester interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
}

// readRequest reads the request that opens c.
func readRequest(c requester) (wire.Request, error) {
	c.SetReadDeadline(time.Now().Add(RequestLimit))
	defer c.SetReadDeadline(time.Time{})
	var b [wire.RequestSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return wire.Request{}, err
	}
	return wire.ParseRequest(b)
}

// watch returns a context that ends when c's peer closes, or says anything, before it was
// answered. quiet ends the watch and reports whether the peer did neither.
func watch(ctx context.Context, c requester) (watched context.Context, quiet func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		var t net.Error
		if errors.As(err, &t) && t.Timeout() {
			done <- err
			return
		}
		cancel()
		done <- nil
	}()
	return ctx, func() bool {
		c.SetReadDeadline(past)
		timeout := <-done
		c.SetReadDeadline(time.Time{})
		cancel()
		return timeout != nil
	}
}
