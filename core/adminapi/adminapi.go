// Package adminapi is the wire format of the Admin API: requests, responses, events and the
// few line formats that travel inside them (spec admin-api.md §2 to §7). Bytes in, checked
// values or an error out; it opens no sockets, knows no qubes and logs nothing.
//
// A request is METHOD[+ARG] SRC DESTTYPE DEST NUL PAYLOAD, ended by the client closing its
// write side. A response starts with "0\0" (data), "1\0" (events) or "2\0" (an exception).
package adminapi

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of the format. All are bytes.
const (
	// MaxRequest bounds header, NUL and payload together.
	MaxRequest = 65536
	// MaxResponse bounds what a client takes from a server that may be hostile.
	MaxResponse = 32 << 20
	// MaxEvent bounds one event frame.
	MaxEvent = 1 << 20
	// MaxEventArgs bounds the key/value pairs of one event.
	MaxEventArgs = 256
	// maxKind bounds an exception's class name, maxMessage its text.
	maxKind    = 128
	maxMessage = 64 << 10
)

var (
	// ErrFraming: the bytes are not a request (response, event) at all. A server drops
	// such a connection without an answer.
	ErrFraming = errors.New("malformed admin API frame")
	// ErrTooLong: a limit of this package was passed.
	ErrTooLong = errors.New("admin API frame too long")
	// ErrRefused: the server closed the connection without a byte, which old servers do
	// when policy or a check says no.
	ErrRefused = errors.New("request refused by the server")
)

// Error is an exception as the Admin API sends it. Kind is the class name; the known ones
// are the Kind constants. Message is not sanitised: it may quote text of a VM.
type Error struct {
	Kind    string
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Kind
	}
	return e.Message
}

// Is makes errors.Is compare kinds: errors.Is(err, &Error{Kind: VMNotFound}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Message == ""
}

// Errorf makes an Error of the given kind.
func Errorf(kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// KindOf is the exception class behind err, or "" when err is none.
func KindOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Exception classes of spec admin-api.md §3. The strings are protocol.
const (
	ProtocolError          = "ProtocolError"
	PermissionDenied       = "PermissionDenied"
	Exception              = "QubesException"
	VMNotFound             = "QubesVMNotFoundError"
	VMInvalidUUID          = "QubesVMInvalidUUIDError"
	VMAlreadyExists        = "QubesVMAlreadyExistsError"
	VMError                = "QubesVMError"
	VMInUse                = "QubesVMInUseError"
	VMNotStarted           = "QubesVMNotStartedError"
	VMNotRunning           = "QubesVMNotRunningError"
	VMNotPaused            = "QubesVMNotPausedError"
	VMNotHalted            = "QubesVMNotHaltedError"
	VMShutdownTimeout      = "QubesVMShutdownTimeoutError"
	NoTemplate             = "QubesNoTemplateError"
	PoolInUse              = "QubesPoolInUseError"
	ValueError             = "QubesValueError"
	PropertyValue          = "QubesPropertyValueError"
	NoSuchProperty         = "QubesNoSuchPropertyError"
	NotImplemented         = "QubesNotImplementedError"
	MemoryError            = "QubesMemoryError"
	FeatureNotFound        = "QubesFeatureNotFoundError"
	TagNotFound            = "QubesTagNotFoundError"
	InvalidTag             = "QubesInvalidTagError"
	LabelNotFound          = "QubesLabelNotFoundError"
	LabelInUse             = "QubesLabelInUseError"
	InvalidLabel           = "QubesInvalidLabelError"
	InvalidLabelValue      = "QubesInvalidLabelValueError"
	StoragePool            = "StoragePoolException"
	VolumeCopyTokenMissing = "QubesVolumeCopyTokenNotFoundError"
	VolumeRevisionNotFound = "QubesVolumeRevisionNotFoundError"
	BackupProfileNotFound  = "QubesBackupProfileNotFoundError"
	BackupAlreadyRunning   = "BackupAlreadyRunningError"
	DeviceNotAssigned      = "DeviceNotAssigned"
	DeviceNotFound         = "DeviceNotFound"
	DeviceAlreadyAttached  = "DeviceAlreadyAttached"
	DeviceAlreadyAssigned  = "DeviceAlreadyAssigned"
	AssignmentMode         = "QubesUnrecognizedDeviceAssignmentMode"
)

// field reports whether s may stand in a NUL-separated frame.
func field(s string) bool { return strings.IndexByte(s, 0) < 0 }

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
