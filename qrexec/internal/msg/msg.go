// Package msg reads whole qrexec messages from streams and exchanges hellos. It knows no
// message's meaning; package wire does. Bodies are read piece by piece by the stream below,
// so no transport's buffer bounds them.
package msg

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"qubist/qrexec/wire"
)

// ReadHeader reads one header. io.EOF means the stream ended between messages.
func ReadHeader(r io.Reader) (wire.Header, error) {
	var b [wire.HeaderLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return wire.Header{}, err
	}
	return wire.ParseHeader(b), nil
}

// ReadBody reads n bytes; the caller has checked n against the limit of its channel.
func ReadBody(r io.Reader, n uint32) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("reading a body of %d bytes: %w", n, err)
	}
	return b, nil
}

// ReadHello reads the peer's hello and returns the version it names, unjudged.
func ReadHello(r io.Reader) (uint32, error) {
	h, err := ReadHeader(r)
	if err != nil {
		return 0, fmt.Errorf("reading hello: %w", err)
	}
	if err := wire.CheckHello(h); err != nil {
		return 0, err
	}
	b, err := ReadBody(r, h.Len)
	if err != nil {
		return 0, err
	}
	return wire.ParseHello(b)
}

// Bound makes reads and writes of c fail once ctx ends, until release is called. Release
// restores c unless ctx has ended.
func Bound(ctx context.Context, c net.Conn) (release func()) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}
