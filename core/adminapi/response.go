package adminapi

import (
	"bytes"
	"fmt"
	"strings"
)

// The first two bytes of a response.
const (
	prefixOK    = "0\x00"
	prefixEvent = "1\x00"
	prefixError = "2\x00"
)

// AppendOK writes a success.
func AppendOK(dst, data []byte) []byte { return append(append(dst, prefixOK...), data...) }

// Append writes the exception. '%' is doubled, because the stock client formats the
// message; NULs become '_', which no message of ours contains.
func (e *Error) Append(dst []byte) []byte {
	msg := strings.ReplaceAll(strings.ReplaceAll(e.Message, "\x00", "_"), "%", "%%")
	if len(msg) > maxMessage/2 {
		msg = strings.ToValidUTF8(msg[:maxMessage/2], "")
	}
	dst = append(append(dst, prefixError...), e.Kind...)
	dst = append(dst, 0, 0)
	return append(append(dst, msg...), 0)
}

// ParseResponse gives the data of a success, an *Error for an exception, ErrRefused for an
// empty response. An event stream is ErrFraming: read it with an EventReader. The data
// aliases b.
func ParseResponse(b []byte) ([]byte, error) {
	switch {
	case len(b) == 0:
		return nil, ErrRefused
	case bytes.HasPrefix(b, []byte(prefixOK)):
		return b[2:], nil
	case bytes.HasPrefix(b, []byte(prefixError)):
		e, err := parseError(b[2:])
		if err != nil {
			return nil, err
		}
		return nil, e
	}
	return nil, fmt.Errorf("response starts with %q: %w", b[:min(2, len(b))], ErrFraming)
}

// parseError reads "Class NUL traceback NUL message NUL"; further arguments are dropped.
func parseError(b []byte) (*Error, error) {
	f := bytes.SplitN(b, []byte{0}, 4)
	if len(f) < 4 {
		return nil, fmt.Errorf("exception has %d of 3 fields: %w", len(f)-1, ErrFraming)
	}
	kind, msg := f[0], f[2]
	if len(kind) == 0 || len(kind) > maxKind || !identifier(kind) {
		return nil, fmt.Errorf("exception class of %d bytes: %w", len(kind), ErrFraming)
	}
	if len(msg) > maxMessage {
		return nil, fmt.Errorf("exception text of %d bytes: %w", len(msg), ErrTooLong)
	}
	return &Error{Kind: string(kind), Message: strings.ReplaceAll(string(msg), "%%", "%")}, nil
}

func identifier(b []byte) bool {
	for _, c := range b {
		if c != '_' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
