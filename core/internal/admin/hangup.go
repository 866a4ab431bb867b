package admin

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// hangupPoll is how often a quiet stream looks whether its reader is gone.
const hangupPoll = 2 * time.Second

// waitHangup returns when the peer closed its connection completely, or ctx ends. A peer
// that only closed its writing side, as every client does, goes on listening.
func waitHangup(ctx context.Context, conn net.Conn) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		<-ctx.Done()
		return
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		<-ctx.Done()
		return
	}
	t := time.NewTicker(hangupPoll)
	defer t.Stop()
	for {
		gone := false
		err := raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd)}}
			n, err := unix.Poll(fds, 0)
			gone = err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		})
		if err != nil || gone {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
