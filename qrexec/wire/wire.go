// Package wire is the qrexec message format: headers, structures, limits and the checks a
// message must pass, as bytes in and checked values out. It opens no sockets, reads no files
// and logs nothing. Layouts and numbers are those of spec qrexec.md §3 to §6 and §9.
//
// Words: the *control* vchan joins qrexec-daemon and qrexec-agent, a *data* vchan carries one
// call; an *ident* is the agent's own mark for an outgoing call, opaque to everybody else.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is the first word of every message.
type Type uint32

// The message types of spec qrexec.md §3.
const (
	DataStdin            Type = 0x190
	DataStdout           Type = 0x191
	DataStderr           Type = 0x192
	DataExitCode         Type = 0x193
	ExecCmdline          Type = 0x200
	JustExec             Type = 0x201
	ServiceConnect       Type = 0x202
	ServiceRefused       Type = 0x203
	TriggerService       Type = 0x210
	ConnectionTerminated Type = 0x211
	TriggerService3      Type = 0x212
	TriggerService4      Type = 0x213
	Hello                Type = 0x300
)

var typeNames = map[Type]string{
	DataStdin: "DATA_STDIN", DataStdout: "DATA_STDOUT", DataStderr: "DATA_STDERR",
	DataExitCode: "DATA_EXIT_CODE", ExecCmdline: "EXEC_CMDLINE", JustExec: "JUST_EXEC",
	ServiceConnect: "SERVICE_CONNECT", ServiceRefused: "SERVICE_REFUSED",
	TriggerService: "TRIGGER_SERVICE", ConnectionTerminated: "CONNECTION_TERMINATED",
	TriggerService3: "TRIGGER_SERVICE3", TriggerService4: "TRIGGER_SERVICE4", Hello: "HELLO",
}

func (t Type) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return fmt.Sprintf("0x%x", uint32(t))
}

// Sizes and limits in bytes, versions and ports (spec qrexec.md §2 and §3).
const (
	HeaderLen = 8 // type and length
	IdentLen  = 32
	NameLen   = 64 // target_domain, source_domain and version 2's service_name
	nameLen2  = 32 // version 2's target_domain

	execLen     = 8
	trigger2Len = NameLen + nameLen2 + IdentLen
	trigger3Len = NameLen + IdentLen
	trigger4Len = NameLen + NameLen + IdentLen

	MaxServiceName = 65000 // service_name of a trigger with its NUL; also a descriptor
	MaxCommand     = 65535 // body of a request to the daemon's local socket
	MaxTrigger4    = trigger4Len + MaxServiceName
	// MaxControl bounds a message from dom0 to the agent. The original's bound is the
	// largest int; no daemon passes on more than MaxCommand.
	MaxControl = 1 << 20

	MaxChunkV2 = 4096
	MaxChunkV3 = 65536

	Version       = 4 // spoken on vchans
	ClientVersion = 3 // spoken on the daemon's local socket
	MinVersion    = 2 // oldest agent or data peer
	MinClient     = 3 // oldest local client or daemon

	FirstPort = 513
	NumPorts  = 256 // also the bound of clients and of pending requests
	LastPort  = FirstPort + NumPorts - 1
)

// Exit codes that belong to qrexec itself (spec qrexec.md §13).
const (
	ExitProblem  = 125
	ExitRefused  = 126
	ExitNotFound = 127
	ExitLost     = 255 // the data vchan closed before an exit code
)

// ErrFatal is wrapped by errors after which the peer is not to be listened to any more.
var ErrFatal = errors.New("protocol violation")

// Header precedes every message.
type Header struct {
	Type Type
	Len  uint32
}

// ParseHeader decodes the first HeaderLen bytes of b. Any eight bytes are a header; whether
// it is acceptable depends on the channel.
func ParseHeader(b [HeaderLen]byte) Header {
	return Header{Type(binary.LittleEndian.Uint32(b[0:])), binary.LittleEndian.Uint32(b[4:])}
}

// PutHeader encodes h into the first HeaderLen bytes of b.
func PutHeader(b []byte, h Header) {
	_ = b[HeaderLen-1]
	binary.LittleEndian.PutUint32(b[0:], uint32(h.Type))
	binary.LittleEndian.PutUint32(b[4:], h.Len)
}

// Append adds one message of type t.
func Append(dst []byte, t Type, body []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// AppendHello adds a HELLO message.
func AppendHello(dst []byte, version uint32) []byte {
	return Append(dst, Hello, binary.LittleEndian.AppendUint32(nil, version))
}

// CheckHello says whether h may be a HELLO message.
func CheckHello(h Header) error {
	if h.Type != Hello || h.Len != 4 {
		return fmt.Errorf("%w: %v of %d bytes instead of a hello", ErrFatal, h.Type, h.Len)
	}
	return nil
}

// ParseHello decodes the version of a HELLO body.
func ParseHello(body []byte) (uint32, error) {
	if len(body) != 4 {
		return 0, fmt.Errorf("%w: hello of %d bytes", ErrFatal, len(body))
	}
	return binary.LittleEndian.Uint32(body), nil
}

// Negotiate gives the version to use with a peer on a vchan that said peer.
func Negotiate(peer uint32) (uint32, error) {
	if peer < MinVersion {
		return 0, fmt.Errorf("%w: peer speaks version %d, at least %d is needed", ErrFatal, peer, MinVersion)
	}
	return min(peer, Version), nil
}

// MaxChunk is the largest payload of one data message under version.
func MaxChunk(version uint32) int {
	if version < 3 {
		return MaxChunkV2
	}
	return MaxChunkV3
}

// Exec is exec_params. Command has no NUL; it is empty in the answers and reports that carry
// only the first eight bytes.
type Exec struct {
	Domain  uint32
	Port    uint32
	Command string
}

// AppendExec adds a message of type t with a command and its NUL.
func AppendExec(dst []byte, t Type, e Exec) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(execLen+len(e.Command)+1))
	dst = appendPair(dst, e)
	dst = append(dst, e.Command...)
	return append(dst, 0)
}

// AppendExecShort adds a message of type t with the domain and port only.
func AppendExecShort(dst []byte, t Type, e Exec) []byte {
	return Append(dst, t, appendPair(nil, e))
}

// AppendConnect adds a SERVICE_CONNECT message.
func AppendConnect(dst []byte, e Exec, id Ident) []byte {
	return Append(dst, ServiceConnect, append(appendPair(nil, e), id[:]...))
}

// PutPort replaces the port in a body that starts with exec_params.
func PutPort(body []byte, port uint32) { binary.LittleEndian.PutUint32(body[4:execLen], port) }

// AppendPair adds the eight bytes an agent answers to qrexec-client-vm: no header.
func AppendPair(dst []byte, e Exec) []byte { return appendPair(dst, e) }

func appendPair(dst []byte, e Exec) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, e.Domain)
	return binary.LittleEndian.AppendUint32(dst, e.Port)
}

// ParsePair decodes the eight bytes of AppendPair, an answer or a CONNECTION_TERMINATED.
func ParsePair(body []byte) (Exec, error) {
	if len(body) != execLen {
		return Exec{}, fmt.Errorf("%w: %d bytes where domain and port take %d", ErrFatal, len(body), execLen)
	}
	return Exec{Domain: binary.LittleEndian.Uint32(body), Port: binary.LittleEndian.Uint32(body[4:])}, nil
}

// ParseExec decodes the body of EXEC_CMDLINE or JUST_EXEC as the agent reads it: the last
// byte counts as NUL whatever it is, and the command ends at the first NUL.
func ParseExec(body []byte) (Exec, error) {
	if len(body) <= execLen {
		return Exec{}, fmt.Errorf("%w: command message of %d bytes", ErrFatal, len(body))
	}
	e, err := ParsePair(body[:execLen])
	if err != nil {
		return Exec{}, err
	}
	cmd := body[execLen : len(body)-1]
	e.Command = cString(cmd)
	return e, nil
}

// ParseConnect decodes the body of SERVICE_CONNECT. A shorter ident counts as padded.
func ParseConnect(body []byte) (Exec, Ident, error) {
	var id Ident
	if len(body) <= execLen || len(body) > execLen+IdentLen {
		return Exec{}, id, fmt.Errorf("%w: SERVICE_CONNECT of %d bytes", ErrFatal, len(body))
	}
	copy(id[:], body[execLen:])
	e, err := ParsePair(body[:execLen])
	return e, id, err
}

// ParseRefused decodes the body of SERVICE_REFUSED.
func ParseRefused(body []byte) (Ident, error) {
	if len(body) != IdentLen {
		return Ident{}, fmt.Errorf("%w: SERVICE_REFUSED of %d bytes", ErrFatal, len(body))
	}
	return Ident(body), nil
}

// CheckRequest says whether h may open a request on the daemon's local socket.
func CheckRequest(h Header) error {
	switch h.Type {
	case ExecCmdline, JustExec, ServiceConnect:
	default:
		return fmt.Errorf("%w: request of type %v", ErrFatal, h.Type)
	}
	if h.Len <= execLen || h.Len > MaxCommand {
		return fmt.Errorf("%w: request of %d bytes, want %d to %d", ErrFatal, h.Len, execLen+1, MaxCommand)
	}
	return nil
}

// ParseRequest decodes the body of EXEC_CMDLINE or JUST_EXEC as the daemon reads it from a
// local client: a final NUL is required and the port is 0 or a data port.
func ParseRequest(body []byte) (Exec, error) {
	if len(body) <= execLen || len(body) > MaxCommand || body[len(body)-1] != 0 {
		return Exec{}, fmt.Errorf("%w: request of %d bytes without command or NUL", ErrFatal, len(body))
	}
	e, err := ParseExec(body)
	if err != nil {
		return Exec{}, err
	}
	return e, CheckPort(e.Port, true)
}

// CheckPort says whether p is a data port, or 0 where zero is allowed.
func CheckPort(p uint32, zero bool) error {
	if zero && p == 0 || p >= FirstPort && p <= LastPort {
		return nil
	}
	return fmt.Errorf("%w: port %d outside %d to %d", ErrFatal, p, FirstPort, LastPort)
}

// ExitCode decodes a DATA_EXIT_CODE payload: too short means 255, the rest is ignored
// (spec qrexec.md §7).
func ExitCode(payload []byte) int {
	if len(payload) < 4 {
		return ExitLost
	}
	return int(int32(binary.LittleEndian.Uint32(payload)))
}

// AppendExitCode adds a DATA_EXIT_CODE message.
func AppendExitCode(dst []byte, code int) []byte {
	return Append(dst, DataExitCode, binary.LittleEndian.AppendUint32(nil, uint32(int32(code))))
}

// cString is b up to its first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
