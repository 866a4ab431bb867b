package adminapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Arg is one key and value of an event, both as Python's str() shows them.
type Arg struct{ Key, Value string }

// Event is one frame of admin.Events or admin.vm.Stats. Subject is a qube's name, or empty
// for the system.
type Event struct {
	Subject string
	Name    string
	Args    []Arg
}

// Connected is the name of the first event of every subscription.
const Connected = "connection-established"

// Get is the value of key, or "".
func (e Event) Get(key string) string {
	v, _ := e.Lookup(key)
	return v
}

// Lookup is the value of key and whether the event has it.
func (e Event) Lookup(key string) (string, bool) {
	for _, a := range e.Args {
		if a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

// Append writes the frame. It refuses text that holds a NUL, an empty name and an empty
// key, which would end the frame early.
func (e Event) Append(dst []byte) ([]byte, error) {
	if !field(e.Subject) || !field(e.Name) || e.Name == "" || len(e.Args) > MaxEventArgs {
		return nil, fmt.Errorf("encoding event %q: %w", e.Name, ErrFraming)
	}
	dst = append(append(dst, prefixEvent...), e.Subject...)
	dst = append(dst, 0)
	dst = append(append(dst, e.Name...), 0)
	for _, a := range e.Args {
		if !field(a.Key) || !field(a.Value) || a.Key == "" {
			return nil, fmt.Errorf("encoding event %q argument %q: %w", e.Name, a.Key, ErrFraming)
		}
		dst = append(append(dst, a.Key...), 0)
		dst = append(append(dst, a.Value...), 0)
	}
	return append(dst, 0), nil
}

// EventReader takes events from a response stream.
type EventReader struct {
	r    *bufio.Reader
	left int // bytes the present frame may still take
}

// NewEventReader reads from r, which is positioned at the response's first byte.
func NewEventReader(r io.Reader) *EventReader { return &EventReader{r: bufio.NewReader(r)} }

// Next is the next event. The end is io.EOF; an exception frame is an *Error; ErrRefused
// cannot be told from an end here: a stream whose first Next is io.EOF was refused.
func (er *EventReader) Next() (Event, error) {
	er.left = MaxEvent
	kind, err := er.text()
	if err != nil {
		return Event{}, err
	}
	switch kind {
	case "1":
	case "2":
		return Event{}, er.exception()
	default:
		return Event{}, fmt.Errorf("event frame starts with %q: %w", kind[:min(len(kind), 8)], ErrFraming)
	}
	var e Event
	if e.Subject, err = er.text(); err != nil {
		return Event{}, cut(err)
	}
	if e.Name, err = er.text(); err != nil {
		return Event{}, cut(err)
	}
	if e.Name == "" {
		return Event{}, fmt.Errorf("event without a name: %w", ErrFraming)
	}
	return er.args(e)
}

func (er *EventReader) args(e Event) (Event, error) {
	for {
		key, err := er.text()
		if err != nil {
			return Event{}, cut(err)
		}
		if key == "" {
			return e, nil
		}
		if len(e.Args) == MaxEventArgs {
			return Event{}, fmt.Errorf("event with over %d arguments: %w", MaxEventArgs, ErrTooLong)
		}
		value, err := er.text()
		if err != nil {
			return Event{}, cut(err)
		}
		e.Args = append(e.Args, Arg{key, value})
	}
}

// exception reads the rest of an exception frame, which is the last of its stream.
func (er *EventReader) exception() error {
	var b []byte
	for range 3 {
		s, err := er.text()
		if err != nil {
			return cut(err)
		}
		b = append(append(b, s...), 0)
	}
	e, err := parseError(b)
	if err != nil {
		return err
	}
	return e
}

// text reads up to the next NUL.
func (er *EventReader) text() (string, error) {
	var out []byte
	for {
		chunk, err := er.r.ReadSlice(0)
		if er.left -= len(chunk); er.left < 0 {
			return "", fmt.Errorf("event of over %d bytes: %w", MaxEvent, ErrTooLong)
		}
		out = append(out, chunk...)
		switch {
		case err == nil:
			return string(out[:len(out)-1]), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(out) > 0:
			return "", fmt.Errorf("event cut off: %w", ErrFraming)
		default:
			return "", err
		}
	}
}

// cut turns a clean end in the middle of a frame into a framing error.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("event cut off: %w", ErrFraming)
	}
	return err
}
