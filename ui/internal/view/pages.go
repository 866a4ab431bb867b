package view

import (
	"fmt"

	"qubist/ui/internal/state"
	"qubist/ui/internal/widget"
)

// sentence fills r with what is to be said instead of a list.
func (p Paint) sentence(r Rect, text string) {
	for i, l := range widget.Wrap(text, r.W-4, r.H) {
		p.put(r, 2, 1+i, l, p.T.Text)
	}
}

// scrolled tells on the line below r what part of a list is seen.
func (p Paint) scrolled(r Rect, top, rows, n int, find string) {
	text := ""
	if find != "" {
		text = "/" + find + "  "
	}
	if n > rows {
		text += fmt.Sprintf("%d–%d of %d", top+1, min(top+rows, n), n)
	} else if find != "" {
		text += fmt.Sprint(n)
	}
	if text != "" {
		p.C.PutRight(r.X+r.W-2, r.Y+r.H, r.W-4, " "+text+" ", p.T.Accent)
	}
}

// Settings are the system's own properties.
type Settings struct {
	Props   []state.Property
	At, Top int
	Stale   bool
	Waiting string
	Help    string // what the chosen one means, "" when it is not known
}

// SettingsRows is how many properties fit into r.
func SettingsRows(r Rect) int { return max(r.H-3, 1) }

// Draw fills r.
func (v Settings) Draw(p Paint, r Rect) {
	if len(v.Props) == 0 {
		p.sentence(r, v.Waiting)
		return
	}
	name := 16
	for _, pr := range v.Props {
		name = max(name, min(widget.Cells(pr.Name), 36))
	}
	rows := SettingsRows(r)
	for i := 0; i < rows && v.Top+i < len(v.Props); i++ {
		pr := v.Props[v.Top+i]
		v.row(p, Rect{r.X, r.Y + i, r.W, 1}, pr, name)
		if v.Top+i == v.At {
			p.C.Tint(r.X, r.Y+i, r.W, p.T.Cursor)
		}
	}
	for i, l := range widget.Wrap(v.Help, r.W-4, 2) {
		p.put(r, 3, rows+1+i, l, p.T.Dim)
	}
	p.scrolled(r, v.Top, rows, len(v.Props), "")
}

func (v Settings) row(p Paint, r Rect, pr state.Property, name int) {
	value, s, note := pr.Value, p.T.Strong, ""
	if pr.Default {
		s, note = p.T.Dim, "default"
	}
	if value == "" {
		value, s = "–", p.T.Dim
		if pr.Type == "vm" {
			value = "none"
		}
	}
	if v.Stale {
		s = p.T.Dim
	}
	p.C.Put(r.X+3, r.Y, name, pr.Name, p.T.Text)
	p.C.Put(r.X+5+name, r.Y, r.W-name-8-len(note), value, s)
	p.C.PutRight(r.X+r.W-2, r.Y, len(note), note, p.T.Dim)
}

// Health is one page of findings.
type Health struct {
	Findings []state.Finding
	At, Top  int
}

// Lines are the findings as they are laid out in w cells, each with the index of its finding.
func (v Health) lines(w int) (out []healthLine) {
	topic := ""
	for i, f := range v.Findings {
		head := ""
		if f.Topic != topic {
			topic, head = f.Topic, f.Topic
		}
		for k, l := range widget.Wrap(f.Text, w-20, 3) {
			line := healthLine{of: i, text: l, grade: f.Grade}
			if k == 0 {
				line.topic, line.first = head, true
			}
			out = append(out, line)
		}
		for _, l := range widget.Wrap(f.Next, w-22, 2) {
			out = append(out, healthLine{of: i, text: "  " + l, next: true})
		}
	}
	return out
}

type healthLine struct {
	of          int
	topic, text string
	grade       state.Grade
	first, next bool
}

// Window is the first line to show in r so that the finding at At is seen whole.
func (v Health) Window(top int, r Rect) int {
	lines := v.lines(r.W)
	from, to := len(lines), 0
	for i, l := range lines {
		if l.of == v.At {
			from, to = min(from, i), i
		}
	}
	top = state.Scroll(top, to, len(lines), r.H)
	return state.Scroll(top, min(from, max(len(lines)-1, 0)), len(lines), r.H)
}

// Draw fills r.
func (v Health) Draw(p Paint, r Rect) {
	lines := v.lines(r.W)
	for i := 0; i < r.H && v.Top+i < len(lines); i++ {
		l := lines[v.Top+i]
		p.put(r, 1, i, l.topic, p.T.Accent)
		if l.first {
			mark := map[state.Grade]string{state.Done: "✓", state.Info: "·", state.Warn: "!", state.Bad: "✗"}[l.grade]
			p.put(r, 13, i, mark, p.noteStyle(l.grade))
		}
		s := p.T.Text
		switch {
		case l.next:
			s = p.T.Dim
		case l.grade >= state.Warn:
			s = p.noteStyle(l.grade)
		}
		p.put(r, 15, i, l.text, s)
		if l.of == v.At {
			p.C.Tint(r.X, r.Y+i, r.W, p.T.Cursor)
		}
	}
	p.scrolled(r, v.Top, r.H, len(lines), "")
}
