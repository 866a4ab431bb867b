package wire

import (
	"errors"
	"fmt"
)

// Version is major<<16 | minor.
type Version uint32

// Versions from which something changes (§1.2).
const (
	Current            Version = 1<<16 | 8
	VersionNegotiation Version = 1<<16 | 4 // the daemon answers with a version of its own
	VersionDestroyEcho Version = 1<<16 | 5 // the daemon echoes MSG_DESTROY
	VersionDumpAck     Version = 1<<16 | 7 // the daemon answers MSG_WINDOW_DUMP
)

// Sizes of the handshake items in bytes; none has a header.
const (
	VersionSize = 4
	XConfSize   = 16
)

var (
	// ErrAgentOld: the agent's major version is older than ours.
	ErrAgentOld = errors.New("the qube's gui agent is outdated")
	// ErrAgentNew: the agent's major version is newer than ours.
	ErrAgentNew = errors.New("the qube's gui agent is newer than this daemon")
	// ErrVersion: the daemon's answer is not one this agent can work with.
	ErrVersion = errors.New("unusable gui protocol version")
)

// Major is the upper half.
func (v Version) Major() uint16 { return uint16(v >> 16) }

// Minor is the lower half.
func (v Version) Minor() uint16 { return uint16(v) }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major(), v.Minor()) }

// Append appends the four bytes of v.
func (v Version) Append(b []byte) []byte { return put32(b, uint32(v)) }

// ParseVersion reads the first item of either side.
func ParseVersion(b []byte) (Version, error) {
	if len(b) != VersionSize {
		return 0, fmt.Errorf("%w: version of %d bytes", ErrLength, len(b))
	}
	return Version(u32(b, 0)), nil
}

// Negotiate is the daemon's choice after the agent offered v: (1, min(minor, 8)). It is
// sent to the agent only from VersionNegotiation on.
func (v Version) Negotiate() (Version, error) {
	switch {
	case v.Major() < Current.Major():
		return 0, fmt.Errorf("%w: it speaks %s", ErrAgentOld, v)
	case v.Major() > Current.Major():
		return 0, fmt.Errorf("%w: it speaks %s", ErrAgentNew, v)
	}
	return min(v, Current), nil
}

// CheckAnswer is the agent's check of the daemon's answer to its offer v.
func (v Version) CheckAnswer(answer Version) error {
	if answer > v || answer.Major() != v.Major() || answer < VersionNegotiation {
		return fmt.Errorf("%w: %s in answer to %s", ErrVersion, answer, v)
	}
	return nil
}

// XConf describes the daemon's screen. Present agents read and discard it.
type XConf struct {
	Width, Height uint32 // pixels; Width is a multiple of 8
	Depth         uint32 // bits
	Mem           uint32 // KiB
}

// NewXConf describes a root window of the given size and depth.
func NewXConf(width, height uint16, depth uint8) XConf {
	w, h := (uint32(width)+7)&^7, uint32(height)
	return XConf{w, h, uint32(depth), w*h*4/1024 + 1}
}

// Append appends the sixteen bytes of c.
func (c XConf) Append(b []byte) []byte { return putAll(b, c.Width, c.Height, c.Depth, c.Mem) }

// ParseXConf reads the daemon's last handshake item.
func ParseXConf(b []byte) (XConf, error) {
	if len(b) != XConfSize {
		return XConf{}, fmt.Errorf("%w: xconf of %d bytes", ErrLength, len(b))
	}
	return XConf{u32(b, 0), u32(b, 4), u32(b, 8), u32(b, 12)}, nil
}
