package view

import (
	"fmt"
	"strings"
	"time"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// Head is the content of the two lines above every screen.
type Head struct {
	Instance  string
	Active    int
	All       int
	MemKiB    uint64
	Questions int
	ReadOnly  bool
	Link      Link
	LinkSince time.Time // since when it is so; zero is not shown
	Platform  string    // "KVM" or "TCG, …" and why; "" unknown
	Tabs      []Tab     // the screens that have a key
	Screen    string    // where we are when that is not a tab
}

// Tab is a screen and its key.
type Tab struct {
	Key, Name string
	Here      bool
}

// Link is the condition of the connection to qubesd.
type Link int

// The conditions.
const (
	Connecting Link = iota
	Live
	Silent // connected, but the server no longer answers
	Lost
)

// Foot is the content of the lines below every screen: what was told last, or a line being
// typed, and the keys.
type Foot struct {
	Note  *state.Note // nil for none
	Tasks []state.Task
	Input *Input
	Keys  []Key
}

// Input is a line being typed in the place of the status.
type Input struct {
	Prompt string
	Label  *state.Label // the chip before the prompt
	Editor *widget.Editor
	Hint   string // what enter will do, or what is wrong
	Wrong  bool
}

// Spot is where the terminal's cursor stands.
type Spot struct {
	X, Y int
	On   bool
}

// TooSmall is the whole screen of a terminal below the minimum.
func TooSmall(p Paint) {
	w, h := p.C.Size()
	text := fmt.Sprintf("The console needs %d × %d cells; this terminal has %d × %d. Make it larger, or press q to leave.", MinWidth, MinHeight, w, h)
	for i, l := range widget.Wrap(text, w, max(h, 1)) {
		p.C.Put(0, i, w, l, p.T.Text)
	}
}

// headHeight is the lines above the body: two of words and a rule.
const headHeight = 3

// Room is what Frame leaves for the body in a terminal of w × h.
func Room(w, h int, foot Foot) Rect {
	return Rect{0, headHeight, w, h - 2 - footHeight(foot, w) - headHeight}
}

// Frame draws head and foot and gives the room between them.
func Frame(p Paint, head Head, foot Foot) (Rect, Spot) {
	w, h := p.C.Size()
	room := Room(w, h, foot)
	p.head(head, w)
	p.rule(headHeight - 1)
	p.rule(room.Y + room.H)
	return room, p.foot(foot, room.Y+room.H+1, w)
}

func (p Paint) head(d Head, w int) {
	x := p.C.Put(1, 0, w, "Qubist", p.T.Accent.Over(theme.Style{Bold: true}))
	x = p.C.Put(x+2, 0, 24, d.Instance, p.T.Strong)
	if d.ReadOnly {
		x = p.C.Put(x+2, 0, w, "read only", p.T.Warn)
	}
	p.link(d, w)
	if d.Link == Connecting {
		return
	}
	x = p.C.Put(x+4, 0, w, fmt.Sprintf("%d of %d running", d.Active, d.All), p.T.Text)
	if d.MemKiB > 0 {
		x = p.C.Put(x+4, 0, w, "mem ", p.T.Dim)
		x = p.C.Put(x, 0, w, widget.KiB(d.MemKiB), p.T.Text)
	}
	if d.Questions > 0 {
		p.C.Put(x+4, 0, w, plural(d.Questions, "question", "questions"), p.T.Warn.Over(theme.Style{Bold: true}))
	}
	p.tabs(d, w)
}

// tabs is the second line: the screens, where we are, and what runs the qubes.
func (p Paint) tabs(d Head, w int) {
	gap := 2
	if w < 100 {
		gap = 1
	}
	x := 1
	for _, t := range d.Tabs {
		s := p.T.Dim
		if t.Here {
			s = p.T.Strong.Over(theme.Style{Underline: true})
			s.Underline = true
		}
		x = p.C.Put(x, 1, w, t.Key, p.T.Accent)
		x = p.C.Put(x+1, 1, w, t.Name, s) + gap
	}
	if d.Screen != "" {
		x = p.C.Put(x, 1, w-x-1, "› "+d.Screen, p.T.Strong) + gap
	}
	if room := w - x - 2; room > 20 && d.Platform != "" {
		p.C.PutRight(w-1, 1, room, d.Platform, p.T.Dim)
	}
}

func (p Paint) link(d Head, w int) {
	text, s := "○ connecting", p.T.Warn
	since := ""
	if !d.LinkSince.IsZero() {
		since = " " + widget.Span(p.Now.Sub(d.LinkSince))
	}
	switch d.Link {
	case Live:
		text, s = "● live", p.T.Good
	case Silent:
		text, s = "○ no answer"+since, p.T.Bad
	case Lost:
		text, s = "○ lost"+since, p.T.Bad
	}
	p.C.PutRight(w-1, 0, w, text, s)
}

// footHeight is how many lines the status takes: failures are told in full.
func footHeight(f Foot, w int) int {
	if f.Input == nil && f.Note != nil && f.Note.Grade >= state.Warn {
		return max(len(noteLines(*f.Note, w)), 1)
	}
	return 1
}

// noteLines are the sentences of a warning, two lines each at most.
func noteLines(n state.Note, w int) []string {
	var out []string
	for i, s := range []string{n.What, n.Evidence, n.Next} {
		if s == "" {
			continue
		}
		indent := ""
		if i > 0 {
			indent = "  "
		}
		for _, l := range widget.Wrap(s, w-4, 2) {
			out = append(out, indent+l)
		}
	}
	return out
}

func (p Paint) foot(f Foot, y, w int) Spot {
	_, h := p.C.Size()
	p.keys(f.Keys, h-1, w)
	switch {
	case f.Input != nil:
		return p.input(*f.Input, y, w)
	case f.Note != nil && f.Note.Grade >= state.Warn:
		for i, l := range noteLines(*f.Note, w) {
			s := p.T.Text
			if i == 0 {
				s = p.noteStyle(f.Note.Grade)
			}
			p.C.Put(1, y+i, w-2, l, s)
		}
	case len(f.Tasks) > 0:
		p.tasks(f.Tasks, y, w)
	case f.Note != nil:
		if f.Note.Offer != "" {
			key, word, _ := strings.Cut(f.Note.Offer, " ")
			w -= widget.Cells(f.Note.Offer) + 1
			p.key(Key{Key: key, Word: word}, w, y)
			w--
		}
		x := p.C.Put(1, y, w-2, f.Note.What, p.noteStyle(f.Note.Grade))
		if room := w - 2 - (x + 3); room > 12 && f.Note.Command != "" {
			p.C.Put(x+3, y, room, f.Note.Command, p.T.Dim)
		}
	}
	return Spot{}
}

func (p Paint) noteStyle(g state.Grade) theme.Style {
	switch g {
	case state.Done:
		return p.T.Good
	case state.Warn:
		return p.T.Warn
	case state.Bad:
		return p.T.Bad
	}
	return p.T.Text
}

func (p Paint) tasks(tasks []state.Task, y, w int) {
	t := tasks[0]
	x := p.C.Put(1, y, w-2, t.Doing+p.elapsed(t.Since, ", "), p.T.Warn)
	if n := len(tasks) - 1; n > 0 {
		x = p.C.Put(x+1, y, w-2, fmt.Sprintf("and %s", plural(n, "more task", "more tasks")), p.T.Dim)
	}
	if room := w - 2 - (x + 3); room > 12 {
		p.C.Put(x+3, y, room, t.Command, p.T.Dim)
	}
}

func (p Paint) input(in Input, y, w int) Spot {
	x := 1
	if in.Label != nil {
		x = p.chip(x, y, *in.Label)
	}
	x = p.C.Put(x, y, w/2, in.Prompt, p.T.Accent) + 1
	hint := min(widget.Cells(in.Hint), w/2)
	room := w - x - hint - 3
	if room < 12 {
		hint, room = 0, w-x-1
	}
	at := in.Editor.Draw(p.C, x, y, room, p.T.Input)
	s := p.T.Dim
	if in.Wrong {
		s = p.T.Bad
	}
	if hint > 0 {
		p.C.PutRight(w-1, y, hint, in.Hint, s)
	}
	return Spot{at, y, true}
}

// keys draws as many of the keys as fit; the last one is always there.
func (p Paint) keys(keys []Key, y, w int) {
	if len(keys) == 0 {
		return
	}
	width := func(k Key) int { return widget.Cells(k.Key) + 1 + widget.Cells(k.Word) }
	last := keys[len(keys)-1]
	room := w - 2 - width(last)
	x := 1
	for _, k := range keys[:len(keys)-1] {
		if k.Off {
			continue
		}
		if x+width(k)+2 > room {
			break
		}
		x = p.key(k, x, y) + 2
	}
	p.key(last, x, y)
}

func (p Paint) key(k Key, x, y int) int {
	w, _ := p.C.Size()
	x = p.C.Put(x, y, w, k.Key, p.T.Accent)
	return p.C.Put(x+1, y, w, k.Word, p.T.Dim)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
