package data

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"qubist/qrexec/rpcname"
)

// SocketConn is a connection to a socket service.
type SocketConn interface {
	net.Conn
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// awaitHangup waits until c's peer, which has ended its output, takes no input either; false
// if c was closed before.
func awaitHangup(c SocketConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	// The poller wakes us at each change of the socket's state.
	return raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(p, 0)
		return err == nil && n == 1 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	}) == nil
}

// FromSocket makes a service of a connection: it writes the descriptor (the call's text and
// a NUL) first, unless configured otherwise. On an error the connection is closed.
func FromSocket(c SocketConn, conf rpcname.Config, text string) (Service, error) {
	if !conf.SkipDescriptor {
		if _, err := c.Write(append([]byte(text), 0)); err != nil {
			c.Close()
			return Service{}, fmt.Errorf("writing the service descriptor: %w", err)
		}
	}
	return Service{
		Stdin: writeHalf{c}, Stdout: c, Deaf: func() bool { return awaitHangup(c) },
		ExitOnClientEOF: conf.ExitOnClientEOF, ExitOnServiceEOF: conf.ExitOnServiceEOF,
	}, nil
}

// writeHalf is an end whose Close passes on the end of input.
type writeHalf struct{ SocketConn }

func (w writeHalf) Close() error { return w.SocketConn.CloseWrite() }
