package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Ident is a request's mark as it stands in a message, checked or not.
type Ident [IdentLen]byte

// ErrRequest is wrapped by errors that refuse one request and leave the channel up.
var ErrRequest = errors.New("invalid request")

// MakeIdent pads s to an Ident; s longer than 31 bytes is an error.
func MakeIdent(s string) (Ident, error) {
	var id Ident
	if len(s) >= IdentLen {
		return id, fmt.Errorf("%w: ident of %d bytes", ErrRequest, len(s))
	}
	copy(id[:], s)
	return id, id.Check()
}

func (id Ident) String() string { return cString(id[:]) }

// Check applies the daemon's rules: letters, digits, "_-. ", then only NULs, at least one.
func (id Ident) Check() error {
	n := strings.IndexByte(string(id[:]), 0)
	if n < 0 {
		return fmt.Errorf("%w: ident has no end", ErrRequest)
	}
	for i, c := range id {
		if i >= n && c != 0 || i < n && !plain(c) && c != ' ' {
			return fmt.Errorf("%w: ident byte %d is %#x", ErrRequest, i, c)
		}
	}
	return nil
}

// Trigger is a checked request for a call by a VM. Source is empty below version 4. The
// strings hold only the characters that the sanitising rules let through.
type Trigger struct {
	Ident   Ident
	Source  string
	Target  string
	Service string // name or name+arg, never empty, never starting with '+'
}

// CheckAgent says whether h may come from an agent on a control vchan of that version.
// Every error is fatal for the channel (spec qrexec.md §5).
func CheckAgent(h Header, version uint32) error {
	ok, size := false, h.Len
	switch h.Type {
	case TriggerService:
		ok = version < 3 && size == trigger2Len
	case TriggerService3:
		ok = version >= 3 && size > trigger3Len && size-trigger3Len <= MaxServiceName
	case TriggerService4:
		ok = version >= 4 && size > trigger4Len && size-trigger4Len <= MaxServiceName
	case ConnectionTerminated:
		ok = size == execLen
	}
	if !ok {
		return fmt.Errorf("%w: agent sent %v of %d bytes under version %d", ErrFatal, h.Type, size, version)
	}
	return nil
}

// ParseTrigger checks a trigger's body; its header has passed CheckAgent. On an error that
// wraps ErrRequest the ident is the one to refuse, bytes as received.
func ParseTrigger(t Type, body []byte) (Trigger, error) {
	var tr Trigger
	switch {
	case t == TriggerService && len(body) == trigger2Len:
		tr.Ident = Ident(body[NameLen+nameLen2:])
		tr.Service = sanitise(field(body[:NameLen]), "+")
		tr.Target = sanitise(field(body[NameLen:NameLen+nameLen2]), "@:")
		return tr.checked(tr.checkName())
	case t == TriggerService3 && len(body) > trigger3Len && len(body)-trigger3Len <= MaxServiceName:
		tr.Ident = Ident(body[NameLen:trigger3Len])
		tr.Target = sanitise(field(body[:NameLen]), "@:")
		return tr.checked(tr.setService(body[trigger3Len:]))
	case t == TriggerService4 && len(body) > trigger4Len && len(body)-trigger4Len <= MaxServiceName:
		tr.Ident = Ident(body[2*NameLen : trigger4Len])
		tr.Source = sanitise(field(body[:NameLen]), "@:")
		tr.Target = sanitise(field(body[NameLen:2*NameLen]), "@:")
		return tr.checked(tr.setService(body[trigger4Len:]))
	}
	return Trigger{}, fmt.Errorf("%w: %v of %d bytes", ErrFatal, t, len(body))
}

// checked gives tr, or on an error only its ident.
func (tr Trigger) checked(nameErr error) (Trigger, error) {
	if err := tr.Ident.Check(); err != nil {
		return Trigger{Ident: tr.Ident}, err
	}
	if nameErr != nil {
		return Trigger{Ident: tr.Ident}, nameErr
	}
	return tr, nil
}

// setService checks a NUL-terminated name and stores it sanitised.
func (tr *Trigger) setService(untrusted []byte) error {
	end := len(untrusted) - 1
	if strings.IndexByte(string(untrusted), 0) != end {
		return fmt.Errorf("%w: service name must end with its only NUL", ErrRequest)
	}
	tr.Service = sanitise(string(untrusted[:end]), "+")
	return tr.checkName()
}

func (tr *Trigger) checkName() error {
	if tr.Service == "" || tr.Service[0] == '+' {
		return fmt.Errorf("%w: empty service name", ErrRequest)
	}
	return nil
}

// AppendTrigger adds the trigger message that version's daemon understands. It fails when a
// field does not fit that version's layout.
func AppendTrigger(dst []byte, version uint32, tr Trigger) ([]byte, error) {
	if len(tr.Target) >= NameLen || len(tr.Source) >= NameLen {
		return nil, fmt.Errorf("%w: domain name of more than %d bytes", ErrRequest, NameLen-1)
	}
	if strings.IndexByte(tr.Service, 0) >= 0 || len(tr.Service)+1 > MaxServiceName {
		return nil, fmt.Errorf("%w: service name of %d bytes", ErrRequest, len(tr.Service))
	}
	t, body := TriggerService4, []byte(nil)
	switch {
	case version < 3:
		if len(tr.Service) >= NameLen {
			return nil, fmt.Errorf("%w: service name of %d bytes, version 2 has room for %d", ErrRequest, len(tr.Service), NameLen-1)
		}
		if len(tr.Target) >= nameLen2 {
			return nil, fmt.Errorf("%w: target of %d bytes, version 2 has room for %d", ErrRequest, len(tr.Target), nameLen2-1)
		}
		t = TriggerService
		body = padded(body, tr.Service)
		body = append(padded(body, tr.Target)[:NameLen+nameLen2], tr.Ident[:]...)
		return Append(dst, t, body), nil
	case version == 3:
		t = TriggerService3
		body = padded(body, tr.Target)
	default:
		body = padded(padded(body, tr.Source), tr.Target)
	}
	body = append(body, tr.Ident[:]...)
	body = append(append(body, tr.Service...), 0)
	return Append(dst, t, body), nil
}

// CheckLocalTrigger says whether h may open a request on the agent's local socket.
func CheckLocalTrigger(h Header) error {
	if h.Type != TriggerService4 || h.Len <= trigger4Len || h.Len > MaxTrigger4 {
		return fmt.Errorf("%w: %v of %d bytes on the agent's socket", ErrRequest, h.Type, h.Len)
	}
	return nil
}

// LocalTrigger is a request of a program in the agent's own VM: only its layout is known to
// be right. dom0 does the checking; the agent passes the bytes on.
type LocalTrigger struct{ body []byte }

// ParseLocalTrigger takes a TRIGGER_SERVICE4 body; it keeps body.
func ParseLocalTrigger(body []byte) (LocalTrigger, error) {
	if len(body) <= trigger4Len || len(body) > MaxTrigger4 {
		return LocalTrigger{}, fmt.Errorf("%w: trigger of %d bytes", ErrRequest, len(body))
	}
	return LocalTrigger{body}, nil
}

// AppendFor adds the message for a daemon of that version, with the ident replaced. A name
// too long for version 2 is an error.
func (l LocalTrigger) AppendFor(dst []byte, version uint32, id Ident) ([]byte, error) {
	copy(l.body[2*NameLen:], id[:])
	target, name := l.body[NameLen:2*NameLen], l.body[trigger4Len:]
	switch {
	case version >= 4:
		return Append(dst, TriggerService4, l.body), nil
	case version == 3:
		return Append(dst, TriggerService3, l.body[NameLen:]), nil
	case len(name) > NameLen || len(field(target)) >= nameLen2:
		return nil, fmt.Errorf("%w: names of %d and %d bytes do not fit version 2", ErrRequest, len(name), len(field(target)))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(TriggerService))
	dst = binary.LittleEndian.AppendUint32(dst, trigger2Len)
	dst = padded(dst, cString(name))
	dst = append(dst, target[:nameLen2]...)
	return append(dst, id[:]...), nil
}

// padded adds s and NULs up to NameLen; s is shorter than that, or cut.
func padded(dst []byte, s string) []byte {
	var f [NameLen]byte
	copy(f[:NameLen-1], s)
	return append(dst, f[:]...)
}

// field reads a fixed field whose last byte counts as NUL.
func field(b []byte) string { return cString(b[:len(b)-1]) }

// sanitise replaces each byte that is neither plain nor in extra by '_'.
func sanitise(s, extra string) string {
	out := []byte(s)
	for i, c := range out {
		if !plain(c) && strings.IndexByte(extra, c) < 0 {
			out[i] = '_'
		}
	}
	return string(out)
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}
