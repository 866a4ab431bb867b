// Package wire has the byte formats of the vchan multiplexer (architecture.md "Transport"):
// the request that opens a stream, the frames by which the two ends of a virtio-serial port
// find each other, and the check of yamux headers before yamux sees them. It is pure:
// bytes in, values or errors out, no I/O.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Op is what a request asks for.
type Op uint32

// The requests.
const (
	OpDial  Op = 1 // connect me; the bytes after the answer are the vchan
	OpGrant Op = 2 // dom0 only: the VM may dial once
)

// Answer is the one byte that answers a request.
type Answer byte

// The answers.
const (
	OK     Answer = 0
	Denied Answer = 1
	Gone   Answer = 2
)

// RequestSize is the length of a request in bytes.
const RequestSize = 16

// MaxDomID is the largest domain number a request may name (Xen's DOMID_FIRST_RESERVED-1).
const MaxDomID = 0x7FEF

// ErrRequest is wrapped by every error of ParseRequest.
var ErrRequest = errors.New("invalid multiplexer request")

// Request names a vchan and what to do with it.
type Request struct {
	Op             Op
	Server, Client uint32
	Port           uint32
}

// Append appends the request's bytes to b.
func (r Request) Append(b []byte) []byte {
	for _, v := range [...]uint32{uint32(r.Op), r.Server, r.Client, r.Port} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// ParseRequest checks what one request says by itself: a known operation, two different
// domains in range. Who may ask it is for the caller.
func ParseRequest(b [RequestSize]byte) (Request, error) {
	r := Request{
		Op:     Op(binary.LittleEndian.Uint32(b[0:])),
		Server: binary.LittleEndian.Uint32(b[4:]),
		Client: binary.LittleEndian.Uint32(b[8:]),
		Port:   binary.LittleEndian.Uint32(b[12:]),
	}
	switch {
	case r.Op != OpDial && r.Op != OpGrant:
		return Request{}, fmt.Errorf("%w: operation %d", ErrRequest, r.Op)
	case r.Server > MaxDomID || r.Client > MaxDomID:
		return Request{}, fmt.Errorf("%w: domains %d, %d, limit %d", ErrRequest, r.Server, r.Client, MaxDomID)
	case r.Server == r.Client:
		return Request{}, fmt.Errorf("%w: domain %d as its own client", ErrRequest, r.Server)
	}
	return r, nil
}

// ParseAnswer checks an answer byte.
func ParseAnswer(b byte) (Answer, error) {
	if a := Answer(b); a <= Gone {
		return a, nil
	}
	return 0, fmt.Errorf("invalid multiplexer answer %d", b)
}
