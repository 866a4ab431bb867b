package link

import (
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/yamux"

	"qubist/core/vchan/internal/usock"
	"qubist/core/vchan/wire"
)

// chunks are the buffers of splices. One is the largest payload of a frame.
var chunks = sync.Pool{New: func() any { return new([wire.MaxPayload]byte) }}

// splice joins a local connection and a stream until either end closes, and closes both.
// Whatever one end wrote before it closed reaches the other; what is on its way to an end
// that closed is dropped.
func splice(c usock.Conn, stream *yamux.Stream) {
	var out sync.WaitGroup
	out.Go(func() {
		if pump(stream, c) == errSource {
			// The program is gone: nothing from the peer matters any more.
			stream.Close()
			stream.SetReadDeadline(past)
			c.Close()
		}
		// If it is the stream that failed, what it still holds is for the program.
	})
	pump(c, stream)
	c.Close()
	stream.Close() // also wakes a write that waits for window
	out.Wait()
}

// The ways in which a pump ends.
var (
	errSource = errors.New("source ended")
	errSink   = errors.New("sink failed")
)

// pump copies until the source ends or the sink fails, in pieces that fit a frame.
func pump(to io.Writer, from io.Reader) error {
	chunk := chunks.Get().(*[wire.MaxPayload]byte)
	defer chunks.Put(chunk)
	for {
		n, err := from.Read(chunk[:])
		if n > 0 {
			if _, err := to.Write(chunk[:n]); err != nil {
				return errSink
			}
		}
		// A stream gives data together with the error of announcing window: more may follow.
		if err != nil && n == 0 {
			return errSource
		}
	}
}
