package view

import (
	"time"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// Failure is a start that failed and all that is known of it.
type Failure struct {
	Qube    string
	Label   state.Label
	At      time.Time
	Took    time.Duration
	Command string
	Said    string   // by qubesd
	Likely  string   // the guessed cause, "" for none
	Sign    string   // the line that tells it
	Next    string   // what to do
	Console []string // what the guest printed during the start, newest last
	Deaf    string   // why that is not known, "" when it is
}

// Draw fills r.
func (v Failure) Draw(p Paint, r Rect) {
	x := p.chip(r.X+1, r.Y, v.Label)
	p.C.Put(x, r.Y, r.W-20, v.Qube+" did not start", p.T.Bad)
	p.C.PutRight(r.X+r.W-1, r.Y, 8, p.clock(v.At), p.T.Dim)
	y := 2
	line := func(key, text string, s theme.Style, n int) {
		if text == "" {
			return
		}
		p.put(r, 1, y, key, p.T.Dim)
		for _, l := range widget.Wrap(text, r.W-13, n) {
			p.put(r, 12, y, l, s)
			y++
		}
	}
	line("tried", v.Command+", for "+v.Took.Round(100*time.Millisecond).String(), p.T.Text, 2)
	line("qubesd", v.Said, p.T.Text, 5)
	likely := v.Likely
	if likely == "" {
		likely = "This is not among the causes that the console knows."
	}
	line("likely", likely, p.T.Warn, 2)
	if v.Sign != v.Said {
		line("because", v.Sign, p.T.Strong, 2)
	}
	line("next", v.Next, p.T.Text, 3)
	y++
	switch {
	case v.Deaf != "":
		line("console", v.Deaf, p.T.Dim, 3)
		return
	case len(v.Console) == 0:
		line("console", "The guest printed nothing during this start.", p.T.Dim, 1)
		return
	}
	p.put(r, 1, y, "The end of the guest's console during this start", p.T.Accent)
	y++
	room := max(r.H-y, 0)
	for _, l := range v.Console[max(len(v.Console)-room, 0):] {
		s := p.T.Text
		if l == v.Sign {
			s = p.T.Bad
		}
		p.put(r, 1, y, l, s)
		y++
	}
}
