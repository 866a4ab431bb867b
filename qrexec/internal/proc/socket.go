package proc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// connectLimit bounds connecting to a socket service.
const connectLimit = 30 * time.Second

// maxSocketPath is the longest path a socket address holds.
const maxSocketPath = 107

// Conn is a connection to a socket service.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Connect connects to a socket service.
func (f Found) Connect(ctx context.Context) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	var d net.Dialer
	if f.Unix == "" {
		c, err := d.DialContext(ctx, "tcp", f.TCP.String())
		if err != nil {
			return nil, fmt.Errorf("connecting to a service: %w", err)
		}
		return c.(*net.TCPConn), nil
	}
	path := f.Unix
	if len(path) > maxSocketPath {
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("connecting to a service: %w", err)
		}
		defer dir.Close()
		path = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connecting to a service: %w", err)
	}
	return c.(*net.UnixConn), nil
}

// WriteEnd is the writing half of a Conn as an end whose Close passes on the end of input.
type WriteEnd struct{ Conn }

// Close shuts the connection down for writing.
func (w WriteEnd) Close() error { return w.Conn.CloseWrite() }
