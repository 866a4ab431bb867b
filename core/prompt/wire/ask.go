// Package wire is how a question to the user travels: upstream's policy.Ask and
// policy.Notify requests between policy daemon and agent, and our own lines between agent
// and front end. Bytes in, checked values or errors out.
//
// It opens no sockets and decides nothing. Names in its values are bounded ASCII or were
// escaped in the JSON; they are not yet fit for a terminal (core/safetext does that).
// Format: spec qrexec-policy.md §9 and the architecture page.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Limits of a request to the agent, in bytes or entries.
const (
	MaxRequest  = 1 << 20 // header and JSON
	MaxHeader   = 1024
	MaxName     = 128 // a qube, a target or an icon
	MaxService  = 128
	MaxArgument = 512 // so that the whole argument fits on a screen
	MaxTargets  = 8192
	MaxRule     = 256
	MaxAnswer   = 1024
)

// The service names of the agent's requests.
const (
	AskService    = "policy.Ask"
	NotifyService = "policy.Notify"
)

// ErrMalformed is wrapped by every parse error of this package.
var ErrMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Ask is the body of policy.Ask: may source run service in one of targets?
type Ask struct {
	Source        string
	Service       string
	Argument      string // with its '+'
	Targets       []string
	DefaultTarget string            // empty for none; may be foreign to Targets
	Icons         map[string]string // by qube name, and "@dispvm:name" for templates
	Rule          string            // file:line of the rule; ours, absent in upstream's requests
}

// Resolution says in a Notice what happened to a call.
type Resolution string

// The resolutions a Notice may have.
const (
	Allowed Resolution = "allow"
	Denied  Resolution = "deny"
	Failed  Resolution = "fail"
)

// Notice is the body of policy.Notify: the outcome of a call the user was not asked about.
type Notice struct {
	Resolution Resolution
	Service    string
	Argument   string
	Source     string
	Target     string
}

// Request is one request to the agent; exactly one field is set.
type Request struct {
	Ask    *Ask
	Notice *Notice
}

// ParseRequest reads everything a client sent until end of file.
func ParseRequest(data []byte) (Request, error) {
	if len(data) > MaxRequest {
		return Request{}, malformed("request: longer than %d bytes", MaxRequest)
	}
	for _, c := range data {
		if c >= 0x80 {
			return Request{}, malformed("request: not ASCII")
		}
	}
	header, body, ok := bytes.Cut(data, []byte{0})
	if !ok || len(header) > MaxHeader {
		return Request{}, malformed("request: no header")
	}
	words := strings.Split(string(header), " ")
	if len(words) < 2 {
		return Request{}, malformed("header: one word")
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return Request{}, malformed("body: %v", err)
	}
	f := fields{keys: keys}
	switch words[0] {
	case AskService:
		a := f.ask()
		if f.err != nil {
			return Request{}, f.err
		}
		return Request{Ask: &a}, nil
	case NotifyService:
		n := f.notice()
		if f.err != nil {
			return Request{}, f.err
		}
		return Request{Notice: &n}, nil
	}
	return Request{}, malformed("header: unknown service")
}

// fields reads the keys of one object; the first error sticks. Keys are compared exactly,
// which encoding/json does not do for structs.
type fields struct {
	keys map[string]json.RawMessage
	err  error
}

func (f *fields) get(key string, into any) bool {
	raw, ok := f.keys[key]
	switch {
	case f.err != nil:
		return false
	case !ok:
		f.err = malformed("body: key %q missing", key)
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil {
		f.err = malformed("body: key %q: %v", key, err)
		return false
	}
	return true
}

func (f *fields) text(key string, limit int) string {
	var s *string
	if !f.get(key, &s) {
		return ""
	}
	if s == nil || len(*s) > limit {
		f.err = malformed("body: key %q is null or longer than %d bytes", key, limit)
		return ""
	}
	return *s
}

func (f *fields) ask() Ask {
	a := Ask{
		Source: f.text("source", MaxName), Service: f.text("service", MaxService), Argument: f.text("argument", MaxArgument),
	}
	var targets []*string
	f.get("targets", &targets)
	if f.err == nil && (targets == nil || len(targets) > MaxTargets) {
		f.err = malformed("body: targets is null or has more than %d entries", MaxTargets)
	}
	for _, t := range targets {
		if f.err == nil && (t == nil || len(*t) > MaxName) {
			f.err = malformed("body: a target is null or longer than %d bytes", MaxName)
		}
		if f.err != nil {
			return Ask{}
		}
		a.Targets = append(a.Targets, *t)
	}
	var d *string
	if f.get("default_target", &d) && d != nil {
		a.DefaultTarget = *d
	}
	f.get("icons", &a.Icons)
	if f.err == nil && a.Icons == nil {
		f.err = malformed("body: icons is null")
	}
	if _, ok := f.keys["rule"]; ok {
		a.Rule = f.text("rule", MaxRule)
	}
	return a
}

func (f *fields) notice() Notice {
	n := Notice{
		Resolution: Resolution(f.text("resolution", 16)), Service: f.text("service", MaxRequest), Argument: f.text("argument", MaxRequest),
		Source: f.text("source", MaxRequest), Target: f.text("target", MaxRequest),
	}
	if f.err == nil && n.Resolution != Allowed && n.Resolution != Denied && n.Resolution != Failed {
		f.err = malformed("body: unknown resolution")
	}
	return n
}

// Header is the qrexec header of a direct connection from dom0.
func Header(service string) []byte { return []byte(service + " dom0 name dom0\x00") }

// JSON is the body of a policy.Ask request, ASCII only.
func (a Ask) JSON() ([]byte, error) {
	return encode(struct {
		Source        string            `json:"source"`
		Service       string            `json:"service"`
		Argument      string            `json:"argument"`
		Targets       []string          `json:"targets"`
		DefaultTarget string            `json:"default_target"`
		Icons         map[string]string `json:"icons"`
		Rule          string            `json:"rule,omitempty"`
	}{a.Source, a.Service, a.Argument, a.Targets, a.DefaultTarget, a.Icons, a.Rule})
}

// JSON is the body of a policy.Notify request, ASCII only.
func (n Notice) JSON() ([]byte, error) {
	return encode(struct {
		Resolution Resolution `json:"resolution"`
		Service    string     `json:"service"`
		Argument   string     `json:"argument"`
		Source     string     `json:"source"`
		Target     string     `json:"target"`
	}{n.Resolution, n.Service, n.Argument, n.Source, n.Target})
}

// encode is JSON with everything beyond ASCII escaped.
func encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	var out []byte
	for _, r := range string(raw) {
		switch {
		case r < 0x80:
			out = append(out, byte(r))
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return out, nil
}

// Answer is the agent's answer to Ask. The zero value denies.
type Answer struct {
	Allow  bool
	Target string // of an allowing answer
}

// ErrAnswerEncoding is returned for an answer that is not ASCII: the question failed, as
// opposed to being answered badly.
var ErrAnswerEncoding = errors.New("answer is not ASCII")

// ParseAnswer reads the agent's whole answer: "deny" or "allow:TARGET". The caller checks
// that the target was offered. Anything else is ErrMalformed.
func ParseAnswer(data []byte) (Answer, error) {
	if len(data) > MaxAnswer {
		return Answer{}, malformed("answer: longer than %d bytes", MaxAnswer)
	}
	for _, c := range data {
		if c >= 0x80 {
			return Answer{}, ErrAnswerEncoding
		}
	}
	if string(data) == "deny" {
		return Answer{}, nil
	}
	if t, ok := strings.CutPrefix(string(data), "allow:"); ok && t != "" {
		return Answer{Allow: true, Target: t}, nil
	}
	return Answer{}, malformed("answer: %q", data)
}

// Bytes are the answer as sent; an allowed target that is not ASCII becomes nothing, which
// the policy daemon takes for a denial.
func (a Answer) Bytes() []byte {
	if !a.Allow {
		return []byte("deny")
	}
	for i := range len(a.Target) {
		if a.Target[i] >= 0x80 {
			return nil
		}
	}
	return []byte("allow:" + a.Target)
}
