package proc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"qubist/qrexec/internal/data"
)

// connectLimit bounds connecting to a socket service.
const connectLimit = 30 * time.Second

// maxSocketPath is the longest path a socket address holds.
const maxSocketPath = 107

// Connect connects to a socket service.
func (f Found) Connect(ctx context.Context) (data.SocketConn, error) {
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
