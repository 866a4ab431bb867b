// Package policywire is what the policy daemon's sockets carry: the key=value request of
// policy.sock and the bodies of policy.EvalSimple and policy.EvalGUI. Bytes in, checked
// values or errors out; no sockets and no decisions. Format: spec qrexec-policy.md §8.
package policywire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Limits in bytes.
const (
	MaxLine    = 64 << 10  // one line of a request, without its newline
	MaxRequest = 512 << 10 // a whole request
	MaxEval    = 96        // source NUL target
	MaxHeader  = 1024      // qrexec header of an evaluation service
)

// ErrMalformed is wrapped by every parse error of this package.
var ErrMalformed = errors.New("malformed policy request")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Request is one question to the policy daemon.
type Request struct {
	Source          string
	IntendedTarget  string
	ServiceAndArg   string
	RequestedSource string // empty when absent
	AssumeYes       bool   // assume_yes_for_ask
	JustEvaluate    bool
}

// Complete reports whether data, as received so far, holds a whole request: a blank line,
// or a line that is too long to wait for its end.
func Complete(data []byte) bool {
	if len(data) >= MaxRequest || bytes.HasPrefix(data, []byte("\n")) || bytes.Contains(data, []byte("\n\n")) {
		return true
	}
	return len(data)-1-bytes.LastIndexByte(data, '\n') > MaxLine
}

// ParseRequest reads a request up to its blank line or the end of data. What follows the
// blank line is ignored.
func ParseRequest(data []byte) (Request, error) {
	if len(data) > MaxRequest {
		return Request{}, malformed("longer than %d bytes", MaxRequest)
	}
	seen := map[string]string{}
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		if len(line) == 0 {
			break
		}
		if len(line) > MaxLine {
			return Request{}, malformed("line longer than %d bytes", MaxLine)
		}
		key, value, err := parseLine(line)
		if err != nil {
			return Request{}, err
		}
		if _, dup := seen[key]; dup {
			return Request{}, malformed("key %q twice", key)
		}
		seen[key] = value
	}
	return fromKeys(seen)
}

func parseLine(line []byte) (key, value string, err error) {
	for _, c := range line {
		if c >= 0x80 {
			return "", "", malformed("not ASCII")
		}
	}
	key, value, ok := strings.Cut(string(line), "=")
	if !ok {
		return "", "", malformed("line without '='")
	}
	switch key {
	case "source", "intended_target", "service_and_arg", "requested_source", "assume_yes_for_ask", "just_evaluate":
		return key, value, nil
	}
	return "", "", malformed("unknown key")
}

func fromKeys(keys map[string]string) (Request, error) {
	for _, k := range []string{"source", "intended_target", "service_and_arg"} {
		if _, ok := keys[k]; !ok {
			return Request{}, malformed("key %q missing", k)
		}
	}
	r := Request{Source: keys["source"], IntendedTarget: keys["intended_target"], ServiceAndArg: keys["service_and_arg"], RequestedSource: keys["requested_source"]}
	for k, to := range map[string]*bool{"assume_yes_for_ask": &r.AssumeYes, "just_evaluate": &r.JustEvaluate} {
		switch value, ok := keys[k]; {
		case !ok || value == "no":
		case value == "yes":
			*to = true
		default:
			return Request{}, malformed("key %q must be yes or no", k)
		}
	}
	return r, nil
}

// Eval is one question of an evaluation service: may source call Query on target?
type Eval struct {
	Service string // "policy.EvalSimple" or "policy.EvalGUI"
	Query   string // service and argument asked about
	Caller  string // the qube that asks
	Source  string
	Target  string
}

// ParseEval reads everything an evaluation service receives: qrexec header, NUL, body.
func ParseEval(data []byte) (Eval, error) {
	header, body, ok := bytes.Cut(data, []byte{0})
	if !ok || len(header) > MaxHeader || len(body) > MaxEval {
		return Eval{}, malformed("evaluation: no header or too long")
	}
	words := strings.Split(string(header), " ")
	if len(words) < 2 || words[1] == "" {
		return Eval{}, malformed("evaluation: no caller")
	}
	service, query, _ := strings.Cut(words[0], "+")
	if query == "" || query[0] == '+' {
		return Eval{}, malformed("evaluation: no service to ask about")
	}
	source, target, ok := strings.Cut(string(body), "\x00")
	if !ok || !word(source, 31) || !word(target, 63) {
		return Eval{}, malformed("evaluation: source or target")
	}
	return Eval{Service: service, Query: query, Caller: words[1], Source: source, Target: target}, nil
}

// word checks length and characters of a source or target.
func word(s string, limit int) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("@_.-", rune(c)) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= limit
}

// EvalComplete reports whether data holds all an evaluation service reads without waiting
// for the end of file.
func EvalComplete(data []byte) bool {
	_, body, ok := bytes.Cut(data, []byte{0})
	return ok && len(body) >= MaxEval || !ok && len(data) > MaxHeader
}
