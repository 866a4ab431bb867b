package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderSize is the length of a yamux header in bytes.
const HeaderSize = 12

// MaxPayload is the longest payload of one data frame. Senders write no more at once.
const MaxPayload = 64 << 10

// The parts of yamux's format that are used here (yamux specification, version 0).
const (
	yamuxVersion = 0
	typeData     = 0
	typeWindow   = 1
	flagSYN      = 1
	allFlags     = 1<<4 - 1
)

// ErrHeader is wrapped by every error of CheckHeader.
var ErrHeader = errors.New("invalid multiplexer frame")

// CheckHeader checks the yamux header h of a frame received from a peer, whose streams have
// odd numbers if it is the yamux client, and returns the length of the payload. Only data
// and window updates are accepted: pings cost the receiver memory and are not needed,
// "go away" is said by ending the session.
func CheckHeader(h [HeaderSize]byte, fromClient bool) (payload int, err error) {
	flags := binary.BigEndian.Uint16(h[2:])
	stream := binary.BigEndian.Uint32(h[4:])
	length := binary.BigEndian.Uint32(h[8:])
	switch {
	case h[0] != yamuxVersion:
		return 0, fmt.Errorf("%w: version %d", ErrHeader, h[0])
	case h[1] != typeData && h[1] != typeWindow:
		return 0, fmt.Errorf("%w: type %d", ErrHeader, h[1])
	case flags > allFlags:
		return 0, fmt.Errorf("%w: flags %#x", ErrHeader, flags)
	case stream == 0:
		return 0, fmt.Errorf("%w: no stream", ErrHeader)
	case flags&flagSYN != 0 && (stream%2 == 1) != fromClient:
		return 0, fmt.Errorf("%w: peer opens stream %d, a number of ours", ErrHeader, stream)
	case h[1] == typeWindow:
		return 0, nil
	case length > MaxPayload:
		return 0, fmt.Errorf("%w: payload of %d bytes, limit %d", ErrHeader, length, MaxPayload)
	}
	return int(length), nil
}

// Payload returns the length of the payload announced by a header that yamux made.
func Payload(h [HeaderSize]byte) int {
	if h[1] != typeData {
		return 0
	}
	return int(binary.BigEndian.Uint32(h[8:]))
}
