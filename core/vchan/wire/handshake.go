package wire

import "bytes"

// magic begins every handshake frame. Its first byte is no yamux version.
var magic = [8]byte{0xF5, 'q', 'b', 'i', 's', 't', 'm', '1'}

// Kind tells the handshake frames apart.
type Kind byte

// The handshake frames.
const (
	SYN Kind = 1 // "here I am"; the peer's epoch is zero
	ACK Kind = 2 // "I heard you"; yamux follows
)

// Epoch is the random name of one side's attempt at a session.
type Epoch [16]byte

// FrameSize is the length of a handshake frame in bytes.
const FrameSize = len(magic) + 1 + 2*len(Epoch{})

// Frame is a handshake frame.
type Frame struct {
	Kind      Kind
	Own, Peer Epoch // as the sender sees it
}

// Append appends the frame's bytes to b.
func (f Frame) Append(b []byte) []byte {
	b = append(b, magic[:]...)
	b = append(b, byte(f.Kind))
	b = append(b, f.Own[:]...)
	return append(b, f.Peer[:]...)
}

// Scan looks for the first whole handshake frame in b, whatever surrounds it. It returns
// the frame, or ok false if there is none, and how many bytes of b are of no more use: all
// up to and with the frame, or all but a tail that may be the beginning of one.
func Scan(b []byte) (f Frame, used int, ok bool) {
	for used < len(b) {
		at := bytes.IndexByte(b[used:], magic[0])
		if at < 0 {
			return Frame{}, len(b), false
		}
		used += at
		rest := b[used:]
		if !bytes.HasPrefix(rest, magic[:min(len(rest), len(magic))]) {
			used++
			continue
		}
		if len(rest) < FrameSize {
			return Frame{}, used, false
		}
		if f, ok = parseFrame(rest[:FrameSize]); ok {
			return f, used + FrameSize, true
		}
		used++
	}
	return Frame{}, used, false
}

// parseFrame takes FrameSize bytes that begin with the magic.
func parseFrame(b []byte) (Frame, bool) {
	f := Frame{Kind: Kind(b[len(magic)])}
	rest := b[len(magic)+1:]
	copy(f.Own[:], rest)
	copy(f.Peer[:], rest[len(f.Own):])
	zero := f.Peer == Epoch{}
	if f.Own == (Epoch{}) || f.Kind != SYN && f.Kind != ACK || (f.Kind == SYN) != zero {
		return Frame{}, false
	}
	return f, true
}

// FlushSize is how many bytes Flush has: enough to complete any frame that CheckHeader
// lets through, and to begin another one.
const FlushSize = HeaderSize + MaxPayload + 2*HeaderSize

// flushByte is no yamux version, and four of them are no acceptable length.
const flushByte = 0xFF

// Flush returns the bytes that each side sends before its first SYN. The peer may still be
// in a session with our predecessor, in the middle of a data frame that will never be
// completed, and would take our SYN for its content. These bytes complete the frame; what
// follows it can then not be a frame, which ends that session. Content cannot imitate
// this, as it could if the peer looked for SYN inside of frames.
func Flush() []byte {
	return bytes.Repeat([]byte{flushByte}, FlushSize)
}
