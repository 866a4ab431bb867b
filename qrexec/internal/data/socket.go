package data

import (
	"fmt"
	"net"

	"qubist/qrexec/rpcname"
)

// SocketConn is a connection to a socket service.
type SocketConn interface {
	net.Conn
	CloseWrite() error
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
		Stdin: writeHalf{c}, Stdout: c,
		ExitOnClientEOF: conf.ExitOnClientEOF, ExitOnServiceEOF: conf.ExitOnServiceEOF,
	}, nil
}

// writeHalf is an end whose Close passes on the end of input.
type writeHalf struct{ SocketConn }

func (w writeHalf) Close() error { return w.SocketConn.CloseWrite() }
