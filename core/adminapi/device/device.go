// Package device is the text form of devices and assignments in the Admin API's device
// methods (spec admin-api.md §7): identifiers, the key='value' words of requests and
// answers, and interface codes. It is pure; which devices there are is known elsewhere.
package device

import (
	"errors"
	"fmt"
	"strings"
)

// Any stands for every backend, port or device.
const Any = "*"

// Limits, in bytes.
const (
	MaxText  = 16384 // of one line of words
	MaxWords = 128   // words of a line
	MaxPort  = 128
	maxID    = 1024
)

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("invalid device text")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSyntax}, args...)...)
}

// KV is an ordered key and value.
type KV struct{ Key, Value string }

// ID names a device in an argument or a line. Fields may be Any.
type ID struct{ Backend, Port, Device string }

// String is the form of events and messages.
func (i ID) String() string { return i.Backend + ":" + i.Port + ":" + i.Device }

// ParseID reads BACKEND+PORT[+DEVICE]; what is missing is Any. In DEVICE a '+' stands for
// ':', and the code of an unknown interface is written with underscores.
func ParseID(s string) (ID, error) {
	backend, rest, ok := strings.Cut(s, "+")
	if !ok {
		return ID{}, bad("%.64q names no port", s)
	}
	port, dev, _ := strings.Cut(rest, "+")
	id := ID{wild(backend), wild(port), wild(dev)}
	if id.Device != Any {
		id.Device = strings.ReplaceAll(strings.ReplaceAll(id.Device, "+", ":"), "_______", "?******")
	}
	if id.Backend == "" || id.Port == "" || len(id.Port) > MaxPort || len(id.Device) > maxID {
		return ID{}, bad("%.64q", s)
	}
	return id, nil
}

func wild(s string) string {
	if s == "_" || s == "" {
		return Any
	}
	return s
}

// Matches reports whether pattern, whose fields may be Any, takes in i.
func (i ID) Matches(pattern ID) bool {
	is := func(a, p string) bool { return p == Any || a == p }
	return is(i.Backend, pattern.Backend) && is(i.Port, pattern.Port) && is(i.Device, pattern.Device)
}

const keyChars = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&()*+,-./:;<>?@[\\]^_{|}~"

// Parse reads key='value' words with one space between. A quote inside a value is \'.
func Parse(b []byte) ([]KV, error) {
	if len(b) > MaxText {
		return nil, bad("longer than %d bytes", MaxText)
	}
	var out []KV
	for s := string(b); s != ""; {
		key, rest, ok := strings.Cut(s, "='")
		if !ok {
			return nil, bad("a word without a quoted value")
		}
		if key == "" || not(key, keyChars) {
			return nil, bad("strange characters in a key")
		}
		value, tail, err := quoted(rest)
		if err != nil {
			return nil, err
		}
		for _, kv := range out {
			if kv.Key == key {
				return nil, bad("key %s is given twice", key)
			}
		}
		if out = append(out, KV{key, value}); len(out) > MaxWords {
			return nil, bad("more than %d words", MaxWords)
		}
		if s = tail; s != "" {
			if s, ok = strings.CutPrefix(s, " "); !ok || s == "" {
				return nil, bad("no space between two words")
			}
		}
	}
	return out, nil
}

// quoted reads a value up to the quote that ends it.
func quoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case c < 0x20 || c > 0x7e:
			return "", "", bad("strange characters in a value")
		default:
			b.WriteByte(c)
		}
	}
	return "", "", bad("a value does not end")
}

func not(s, set string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(set, c) })
}

// Append writes words. What cannot be written in keys and values becomes '_'.
func Append(b []byte, kvs []KV) []byte {
	for i, kv := range kvs {
		if i > 0 {
			b = append(b, ' ')
		}
		for _, c := range []byte(kv.Key) {
			if strings.IndexByte(keyChars, c) < 0 {
				c = '_'
			}
			b = append(b, c)
		}
		b = append(b, "='"...)
		for i, c := range []byte(kv.Value) {
			switch {
			case c == '\'':
				b = append(b, '\\')
			case c < 0x20 || c > 0x7e, c == '\\' && i == len(kv.Value)-1: // it would escape the quote
				c = '_'
			}
			b = append(b, c)
		}
		b = append(b, '\'')
	}
	return b
}

// InterfaceLen is the length of one interface code.
const InterfaceLen = 7

// UnknownInterface is the code of a device nothing is known of.
const UnknownInterface = "?******"

// InterfaceMatches reports whether an interface code is taken in by a pattern, in which
// '*' is any character. An unknown interface is taken in by every pattern that any device
// of its class could match: to refuse too much is safe.
func InterfaceMatches(code, pattern string) bool {
	if len(code) != InterfaceLen || len(pattern) != InterfaceLen {
		return false
	}
	for i := range code {
		c, p := code[i], pattern[i]
		if p != '*' && c != p && c != '*' && c != '?' {
			return false
		}
	}
	return true
}
