// Package usock holds what the drivers built on Unix stream sockets share: a connection
// with the errors the vchan interface promises, and waiting for a socket to appear. It
// knows no names and no protocol.
package usock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"qubist/core/vchan"
)

// The pause between attempts to connect grows from minPause to maxPause: a server that
// comes after d is found at most about d late, and a long wait costs nothing.
const (
	minPause = time.Millisecond
	maxPause = 50 * time.Millisecond
)

// MaxPath is the longest path of a Unix socket in bytes.
const MaxPath = 107

// CheckPath refuses a path that the kernel would refuse with less explanation.
func CheckPath(path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("socket path %q has %d bytes, limit %d", path, len(path), MaxPath)
	}
	return nil
}

// Conn is a Unix stream connection as a vchan.Conn.
type Conn struct{ *net.UnixConn }

// Read reads; a peer that is gone is io.EOF, however it went.
func (c Conn) Read(b []byte) (int, error) {
	n, err := c.UnixConn.Read(b)
	if err != nil && err != io.EOF {
		err = readError(err)
	}
	return n, err
}

// Write writes all of b.
func (c Conn) Write(b []byte) (int, error) {
	n, err := c.UnixConn.Write(b)
	if errors.Is(err, net.ErrClosed) {
		err = vchan.ErrClosed
	}
	return n, err
}

// Close closes the connection. What was written is with the kernel already and reaches
// the peer.
func (c Conn) Close() error {
	if err := c.UnixConn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func readError(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return vchan.ErrClosed
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return io.EOF
	}
	return err
}

// Absent reports whether err says that nobody serves the socket now.
func Absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// Dial connects to path. While nobody serves it, it tries again until ctx ends.
func Dial(ctx context.Context, path string) (Conn, error) {
	if err := CheckPath(path); err != nil {
		return Conn{}, err
	}
	var d net.Dialer
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		c, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return Conn{c.(*net.UnixConn)}, nil
		}
		if ctx.Err() != nil {
			return Conn{}, ctx.Err()
		}
		if !Absent(err) {
			return Conn{}, fmt.Errorf("connecting: %w", err)
		}
		if err := Sleep(ctx, pause); err != nil {
			return Conn{}, err
		}
	}
}

// Sleep waits for d or for the end of ctx, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
