package prompt

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// UntilHangup derives a context that ends when the peer of conn has closed it entirely; a
// half-closed peer still waits for its answer. Until stop is called, which must happen, it
// owns conn's read side: nobody else may read.
func UntilHangup(parent context.Context, conn *net.UnixConn) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	raw, err := conn.SyscallConn()
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		cancel() // the connection is closed already
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		hung := false
		// The poller wakes this at every new event of the socket; it looks without reading.
		_ = raw.Read(func(fd uintptr) bool {
			p := []unix.PollFd{{Fd: int32(fd)}}
			_, err := unix.Poll(p, 0)
			hung = err == nil && p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
			return hung
		})
		if hung {
			cancel()
		}
	}()
	return ctx, func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		<-done
		cancel()
	}
}
