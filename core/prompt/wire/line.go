package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// MaxLine bounds one line between agent and front end in bytes, with its newline.
const MaxLine = 2 << 20

// Role is what a front end wants, the first thing it says.
type Role string

// Attach shows questions, one at a time. Watch hears only how many are waiting.
const (
	Attach Role = "attach"
	Watch  Role = "watch"
)

// Party is a qube or target with its label as far as it is known.
type Party struct {
	Name  string `json:"name"`            // "work", "dom0", "@dispvm:dvm"
	Label string `json:"label,omitempty"` // label name; empty when unknown
	Color uint32 `json:"color,omitempty"` // 0x00RRGGBB of a known Label
}

// Question is what a front end shows. Texts are as unchecked as in Ask.
type Question struct {
	ID            uint64        `json:"id"`
	Source        Party         `json:"source"`
	Service       string        `json:"service"`
	Argument      string        `json:"argument"` // with its '+'
	Targets       []Party       `json:"targets"`
	DefaultTarget string        `json:"default_target,omitempty"` // one of Targets or empty
	Rule          string        `json:"rule,omitempty"`           // file:line, empty when unknown
	Same          int           `json:"same,omitempty"`           // equal questions waiting behind this one
	Remaining     time.Duration `json:"remaining"`                // ns until it is denied
}

// Hello is a front end's first line.
type Hello struct {
	Role Role `json:"role"`
}

// Reply is a front end's answer to the question it shows.
type Reply struct {
	ID     uint64 `json:"id"`
	Allow  bool   `json:"allow"`
	Target string `json:"target,omitempty"`
}

// Update is a line to a front end. Question and Closed are sent to attached ones only.
type Update struct {
	Waiting  int       `json:"waiting"`            // open questions, the shown one included
	Question *Question `json:"question,omitempty"` // show this one now
	Closed   uint64    `json:"closed,omitempty"`   // this question is over: answered, withdrawn or out of time
	Busy     bool      `json:"busy,omitempty"`     // another front end is attached; the connection ends
}

// Encode is v as one line.
func Encode(v any) ([]byte, error) {
	line, err := encode(v)
	if err != nil {
		return nil, err
	}
	if len(line) >= MaxLine {
		return nil, fmt.Errorf("encoding a line: longer than %d bytes", MaxLine)
	}
	return append(line, '\n'), nil
}

// ParseHello reads a front end's first line, without the newline.
func ParseHello(line []byte) (Hello, error) {
	var h Hello
	if err := strict(line, &h); err != nil {
		return Hello{}, err
	}
	if h.Role != Attach && h.Role != Watch {
		return Hello{}, malformed("hello: unknown role")
	}
	return h, nil
}

// ParseReply reads an answer line, without the newline.
func ParseReply(line []byte) (Reply, error) {
	var r Reply
	if err := strict(line, &r); err != nil {
		return Reply{}, err
	}
	if r.ID == 0 || r.Allow != (r.Target != "") || len(r.Target) > MaxName {
		return Reply{}, malformed("reply")
	}
	return r, nil
}

// ParseUpdate reads a line to a front end, without the newline.
func ParseUpdate(line []byte) (Update, error) {
	var u Update
	if err := strict(line, &u); err != nil {
		return Update{}, err
	}
	if u.Waiting < 0 {
		return Update{}, malformed("update: negative count")
	}
	if q := u.Question; q != nil {
		if q.ID == 0 || len(q.Targets) > MaxTargets || len(q.Source.Name) > MaxName || len(q.Service) > MaxService ||
			len(q.Argument) > MaxArgument || len(q.Rule) > MaxRule || q.Same < 0 || q.Remaining < 0 {
			return Update{}, malformed("question")
		}
	}
	return u, nil
}

// strict decodes exactly one JSON object with known keys only.
func strict(line []byte, v any) error {
	if len(line) >= MaxLine {
		return malformed("line: longer than %d bytes", MaxLine)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return malformed("line: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return malformed("line: more than one value")
	}
	return nil
}
