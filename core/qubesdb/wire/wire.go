// Package wire is the format of QubesDB messages, the same between a daemon and its local
// clients and between the two daemons of a VM (spec qubesdb.md §2). It knows no state: which
// message may follow which is the business of the two ends.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Sizes in bytes.
const (
	HeaderSize = 72
	MaxPath    = 63   // the field has 64, the last is always NUL
	MaxValue   = 3071 // the length field must be below 3072

	pathField  = 1
	pathSize   = 64
	lengthByte = 68
)

// Type says what a message is.
type Type uint8

// All types of messages.
const (
	Read Type = iota
	Write
	MultiRead
	List
	Rm
	Watch
	Unwatch
	RespOK
	RespNoEnt
	RespError
	RespRead
	RespMultiRead
	RespList
	RespWatch
	types
)

var typeNames = [types]string{"READ", "WRITE", "MULTIREAD", "LIST", "RM", "WATCH", "UNWATCH",
	"OK", "NOENT", "ERROR", "R_READ", "R_MULTIREAD", "R_LIST", "R_WATCH"}

// String is the name of the type, or its number.
func (t Type) String() string {
	if t < types {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Request reports whether a local client may send it.
func (t Type) Request() bool { return t < RespOK }

// Peer reports whether one daemon may send it to the other.
func (t Type) Peer() bool {
	switch t {
	case Write, MultiRead, Rm, RespOK, RespError, RespMultiRead:
		return true
	}
	return false
}

// ErrHeader: an unknown type, a character that no path may have, or a length above MaxValue.
var ErrHeader = errors.New("invalid qubesdb header")

// Header is what every message begins with; Len bytes of data follow it.
type Header struct {
	Type Type
	Path string // at most MaxPath bytes; checked characters unless ParseHeader failed
	Len  uint32 // at most MaxValue unless ParseHeader failed
}

// ParseHeader reads a header. With ErrHeader it still returns what the bytes say: an answer
// repeats the path, and Len bytes have to be skipped.
func ParseHeader(b *[HeaderSize]byte) (Header, error) {
	path := b[pathField : pathField+MaxPath]
	n := 0
	for n < len(path) && path[n] != 0 {
		n++
	}
	h := Header{Type: Type(b[0]), Path: string(path[:n]), Len: binary.LittleEndian.Uint32(b[lengthByte:])}
	switch {
	case h.Type >= types:
		return h, fmt.Errorf("%w: %v", ErrHeader, h.Type)
	case !ValidPath(h.Path):
		return h, fmt.Errorf("%w: a path has a forbidden character", ErrHeader)
	case h.Len > MaxValue:
		return h, fmt.Errorf("%w: %d bytes of data, limit %d", ErrHeader, h.Len, MaxValue)
	}
	return h, nil
}

// Append adds a message to b. Of a path and data that are too long it sends only what fits:
// the reader's framing never depends on the caller's care.
func Append[D string | []byte](b []byte, t Type, path string, data D) []byte {
	path = path[:min(len(path), MaxPath)]
	data = data[:min(len(data), MaxValue)]
	var h [HeaderSize]byte
	h[0] = byte(t)
	copy(h[pathField:pathField+pathSize], path)
	binary.LittleEndian.PutUint32(h[lengthByte:], uint32(len(data)))
	return append(append(b, h[:]...), data...)
}

// ValidPath reports whether a header may carry path: at most MaxPath of A-Z a-z 0-9 and
// _ / . : @ -, not starting with '-'. Empty is valid.
func ValidPath(path string) bool {
	if len(path) > MaxPath || strings.HasPrefix(path, "-") {
		return false
	}
	for i := range len(path) {
		c := path[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '/' || c > ':') && c != '_' && c != '.' && c != '@' && c != '-' {
			return false
		}
	}
	return true
}

// ValidKey reports whether an entry may have this path: it starts with '/' and does not end
// with it.
func ValidKey(path string) bool {
	return ValidPath(path) && strings.HasPrefix(path, "/") && !strings.HasSuffix(path, "/")
}

// ValidValue reports whether v may be stored: at most MaxValue bytes, no NUL.
func ValidValue(v string) bool {
	return len(v) <= MaxValue && strings.IndexByte(v, 0) < 0
}
