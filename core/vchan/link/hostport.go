package link

import (
	"context"
	"fmt"
	"net"
	"time"

	"qubist/core/vchan"
	"qubist/core/vchan/internal/usock"
)

// The patience of HostPort with a socket that nobody serves.
const (
	// StartLimit is how long QEMU may take to create its socket after we began.
	StartLimit = 60 * time.Second
	// AwayLimit is how long the socket may be away afterwards until the VM counts as gone.
	AwayLimit = 5 * time.Second
)

// HostPort returns an Open for dom0: it connects to the Unix socket that is the host end
// of QEMU's virtio-serial port. A socket that nobody serves for StartLimit at first, or
// for AwayLimit later, is vchan.ErrGone.
func HostPort(path string) func(context.Context) (Port, error) {
	limit := StartLimit
	return func(ctx context.Context) (Port, error) {
		wait, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		c, err := usock.Dial(wait, path)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if wait.Err() != nil {
			return nil, fmt.Errorf("no QEMU at the port's socket: %w", vchan.ErrGone)
		}
		if err != nil {
			return nil, fmt.Errorf("opening the port: %w", err)
		}
		limit = AwayLimit
		return c.UnixConn, nil
	}
}

var _ Port = (*net.UnixConn)(nil)
