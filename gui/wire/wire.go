// Package wire is the GUI protocol 1.8 between a qube's window agent and the window daemon:
// every message of spec gui-protocol.md §2 in both directions, the handshake items of §1 and
// the limits of §3. Bytes in, checked values or an error out; nothing else: no sockets, no
// files, no logging.
//
// Words: the *agent* is the untrusted side inside the qube, the *daemon* the trusted side; a
// *remote id* is the agent's number of a window. What the Parse functions return has passed
// every check that needs no other state: sizes are within MaxWidth × MaxHeight, positions
// are clamped, hints outside their ranges are gone. Text is bounded but not yet sanitised.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is a message number.
type Type uint32

// The message numbers (§2). A→D comes from the agent, D→A from the daemon.
const (
	TypeKeypress      Type = 124 // D→A
	TypeButton        Type = 125 // D→A
	TypeMotion        Type = 126 // D→A
	TypeCrossing      Type = 127 // D→A
	TypeFocus         Type = 128 // D→A
	TypeResize        Type = 129 // obsolete, never sent
	TypeCreate        Type = 130 // A→D
	TypeDestroy       Type = 131 // A→D; D→A from 1.5
	TypeMap           Type = 132 // both
	TypeUnmap         Type = 133 // A→D
	TypeConfigure     Type = 134 // both
	TypeMFNDump       Type = 135 // A→D, deprecated
	TypeShmImage      Type = 136 // A→D
	TypeClose         Type = 137 // D→A
	TypeExecute       Type = 138 // obsolete, never sent
	TypeClipboardReq  Type = 139 // D→A
	TypeClipboardData Type = 140 // both
	TypeWMName        Type = 141 // A→D
	TypeKeymapNotify  Type = 142 // D→A
	TypeDock          Type = 143 // A→D
	TypeWindowHints   Type = 144 // A→D
	TypeWindowFlags   Type = 145 // both
	TypeWMClass       Type = 146 // A→D
	TypeWindowDump    Type = 147 // A→D
	TypeCursor        Type = 148 // A→D
	TypeWindowDumpAck Type = 149 // D→A
)

// HeaderSize is the length of a message header in bytes.
const HeaderSize = 12

var (
	// ErrLength: a body or header does not have the length its type demands.
	ErrLength = errors.New("gui message of wrong length")
	// ErrType: a number that is unknown or not legal in this direction.
	ErrType = errors.New("gui message of unknown type")
	// ErrValue: a field holds a value that ends the connection (§5, "fatal").
	ErrValue = errors.New("gui message with a forbidden value")
	// ErrSuspicious: a field holds a value upstream asks the user about (§4, "ask"); the
	// message must be dropped at the least.
	ErrSuspicious = errors.New("gui message with a suspicious value")
)

// Header precedes every message after the handshake.
type Header struct {
	Type   Type
	Window uint32 // remote id
	Len    uint32 // body length as the peer claims it; not checked
}

// ParseHeader reads the first HeaderSize bytes of b.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: header of %d bytes", ErrLength, len(b))
	}
	return Header{Type(u32(b, 0)), u32(b, 4), u32(b, 8)}, nil
}

// Message is a body that knows its number and its encoding.
type Message interface {
	Type() Type
	// AppendBody appends the body's bytes.
	AppendBody(b []byte) []byte
}

// Append appends a whole message, header and body, for window.
func Append[M Message](b []byte, window uint32, m M) []byte {
	start := len(b)
	b = put32(b, uint32(m.Type()))
	b = put32(b, window)
	b = put32(b, 0)
	b = m.AppendBody(b)
	binary.LittleEndian.PutUint32(b[start+8:], uint32(len(b)-start-HeaderSize))
	return b
}

// bodySize is a rule for the length of a body.
type bodySize struct {
	min, max, unit int // unit: what exceeds min is a multiple of it
}

func fixed(n int) bodySize { return bodySize{n, n, 1} }

// fromAgent is the complete table of what an agent may send.
func fromAgent(t Type) (bodySize, bool) {
	switch t {
	case TypeCreate:
		return fixed(24), true
	case TypeDestroy, TypeUnmap, TypeDock:
		return fixed(0), true
	case TypeMap, TypeWindowFlags:
		return fixed(8), true
	case TypeConfigure:
		return fixed(20), true
	case TypeShmImage:
		return fixed(16), true
	case TypeWMName, TypeWMClass:
		return fixed(128), true
	case TypeWindowHints:
		return fixed(36), true
	case TypeCursor:
		return fixed(4), true
	case TypeMFNDump:
		return bodySize{mfnHeaderSize, mfnHeaderSize + 4*MaxRefs, 4}, true
	case TypeWindowDump:
		return bodySize{dumpHeaderSize, dumpHeaderSize + 4*MaxRefs, 4}, true
	case TypeClipboardData:
		return bodySize{0, MaxClipboard + 1, 1}, true
	}
	return bodySize{}, false
}

// fromDaemon is the complete table of what the daemon may send.
func fromDaemon(t Type) (bodySize, bool) {
	switch t {
	case TypeKeypress, TypeButton, TypeConfigure:
		return fixed(20), true
	case TypeMotion:
		return fixed(16), true
	case TypeCrossing:
		return fixed(28), true
	case TypeFocus:
		return fixed(12), true
	case TypeDestroy, TypeClose, TypeClipboardReq, TypeWindowDumpAck:
		return fixed(0), true
	case TypeMap, TypeWindowFlags:
		return fixed(8), true
	case TypeKeymapNotify:
		return fixed(32), true
	case TypeClipboardData:
		return bodySize{0, MaxClipboard + 1, 1}, true
	}
	return bodySize{}, false
}

// BodyFromAgent says how many body bytes follow h when an agent of version v sent it. The
// result is at most MaxBody. Below 1.6 a wrong length of a message of fixed size is
// tolerated and the fixed size is read; below 1.2 the clipboard's length is in Window.
func (h Header) BodyFromAgent(v Version) (int, error) {
	rule, ok := fromAgent(h.Type)
	if !ok {
		return 0, fmt.Errorf("%w: %d from the agent", ErrType, uint32(h.Type))
	}
	if rule.min == rule.max && v < 1<<16|6 {
		return rule.min, nil
	}
	n := h.Len
	if h.Type == TypeClipboardData && v < 1<<16|2 {
		n = h.Window
	}
	return rule.check(h.Type, n)
}

// BodyFromDaemon says how many body bytes follow h when the daemon sent it. known is false
// for numbers the agent skips; they are bounded by MaxBody too.
func (h Header) BodyFromDaemon() (n int, known bool, err error) {
	rule, ok := fromDaemon(h.Type)
	if !ok {
		n, err = bodySize{0, MaxBody, 1}.check(h.Type, h.Len)
		return n, false, err
	}
	n, err = rule.check(h.Type, h.Len)
	return n, true, err
}

func (r bodySize) check(t Type, n uint32) (int, error) {
	if uint64(n) < uint64(r.min) || uint64(n) > uint64(r.max) || (int(n)-r.min)%r.unit != 0 {
		return 0, fmt.Errorf("%w: type %d with %d bytes", ErrLength, uint32(t), n)
	}
	return int(n), nil
}

// need checks that a body has exactly n bytes.
func need(t Type, body []byte, n int) error {
	if len(body) != n {
		return fmt.Errorf("%w: type %d with %d bytes, want %d", ErrLength, uint32(t), len(body), n)
	}
	return nil
}

func u32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func s32(b []byte, off int) int32  { return int32(u32(b, off)) }

func put32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

func putAll(b []byte, vs ...uint32) []byte {
	for _, v := range vs {
		b = put32(b, v)
	}
	return b
}

func putBool(v bool) uint32 {
	if v {
		return 1
	}
	return 0
}
