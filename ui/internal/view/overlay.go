package view

import (
	"fmt"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// Topic is a group of keys in the help.
type Topic struct {
	Title string
	Keys  []HelpKey
}

// HelpKey is one key that works now, or would: then Why says what is in the way.
type HelpKey struct {
	Key, Text, Why string
}

// Help is the list of keys.
type Help struct {
	Topics []Topic
	Top    int
}

// helpLine is one printed line of the help.
type helpLine struct {
	key, text string
	style     theme.Style
	title     bool
}

// helpText is the column of the help's texts.
const helpText = 16

// lines lays the help out for w cells: what does not fit goes on below.
func (v Help) lines(p Paint, w int) []helpLine {
	var out []helpLine
	for i, t := range v.Topics {
		if i > 0 {
			out = append(out, helpLine{})
		}
		out = append(out, helpLine{text: t.Title, title: true})
		for _, k := range t.Keys {
			s, text := p.T.Text, k.Text
			if k.Why != "" {
				s, text = p.T.Dim, k.Text+"; not now: "+k.Why
			}
			for j, l := range widget.Wrap(text, w-helpText-1, 4) {
				key := ""
				if j == 0 {
					key = k.Key
				}
				out = append(out, helpLine{key: key, text: l, style: s})
			}
		}
	}
	return out
}

// Lines is how many lines the help has in w cells.
func (v Help) Lines(w int) int { return len(v.lines(Paint{}, w)) }

// Draw fills r.
func (v Help) Draw(p Paint, r Rect) {
	all := v.lines(p, r.W)
	top := max(min(v.Top, len(all)), 0)
	for i, l := range all[top:] {
		if l.title {
			p.put(r, 2, i, l.text, p.T.Accent)
			continue
		}
		s := p.T.Strong
		if l.style == p.T.Dim {
			s = p.T.Dim
		}
		p.put(Rect{r.X, r.Y, helpText - 1, r.H}, 2, i, l.key, s)
		p.put(r, helpText, i, l.text, l.style)
	}
	if len(all) > r.H {
		p.C.PutRight(r.X+r.W-2, r.Y+r.H, r.W, fmt.Sprintf(" %d–%d of %d ", top+1, min(top+r.H, len(all)), len(all)), p.T.Accent)
	}
}

// Choice is one line offered by the palette.
type Choice struct {
	Text string
	Key  string
	Help string
	Why  string // why it cannot be done now

	Label *state.Label // the chip before it; nil for none
}

// Choices is the list above the line being typed.
type Choices struct {
	List []Choice
	At   int
}

// choicesMax is how many choices are shown at once.
const choicesMax = 12

// Draw lies over the bottom of r.
func (v Choices) Draw(p Paint, r Rect) {
	n := min(len(v.List), choicesMax, r.H-1)
	if n < 1 {
		return
	}
	y := r.Y + r.H - n
	p.C.Fill(r.X, y-1, r.W, n+1, ' ', theme.Style{})
	p.C.Fill(r.X, y-1, r.W, 1, '─', p.T.Rule)
	name := 12
	for _, c := range v.List {
		name = max(name, min(widget.Cells(c.Text), 40))
	}
	top := state.Scroll(0, v.At, len(v.List), n)
	for i := range n {
		c := v.List[top+i]
		s, help := p.T.Text, c.Help
		if c.Why != "" {
			s, help = p.T.Dim, "not now: "+c.Why
		}
		if c.Label != nil {
			p.chip(r.X+1, y+i, *c.Label)
		}
		p.C.Put(r.X+3, y+i, name, c.Text, s)
		p.C.Put(r.X+5+name, y+i, 3, c.Key, p.T.Accent)
		p.C.Put(r.X+9+name, y+i, r.W-name-10, help, p.T.Dim)
		if top+i == v.At {
			p.C.Tint(r.X, y+i, r.W, p.T.Cursor)
		}
	}
}

// PlanLine is one qube in a plan.
type PlanLine struct {
	Label state.Label
	Name  string
	Text  string // what will be done, or why not
	No    bool
}

// Plan asks before something is lost, or shows a change of many before it is made.
type Plan struct {
	Title  string
	Danger string
	Lines  []PlanLine
	Keys   []Key
}

// Draw lies over the middle of r.
func (v Plan) Draw(p Paint, r Rect) {
	danger := widget.Wrap(v.Danger, min(70, r.W-8), 4)
	shown := min(len(v.Lines), max(r.H-len(danger)-6, 1))
	h := shown + len(danger) + 5
	if len(danger) > 0 {
		h++
	}
	in := p.box(r, 78, h, v.Title)
	y := 1
	for i, l := range v.Lines[:shown] {
		if i == shown-1 && shown < len(v.Lines) {
			p.put(in, 2, y, fmt.Sprintf("and %d more", len(v.Lines)-shown+1), p.T.Dim)
			y++
			break
		}
		p.chip(in.X, in.Y+y, l.Label)
		x := p.put(in, 2, y, l.Name, p.T.Strong)
		s := p.T.Dim
		text := l.Text
		if l.No {
			s, text = p.T.Warn, "refused: "+l.Text
		}
		p.put(in, max(x+2, 18), y, text, s)
		y++
	}
	if len(danger) > 0 {
		y++
	}
	for _, l := range danger {
		p.put(in, 0, y, l, p.T.Bad)
		y++
	}
	x := in.X
	for _, k := range v.Keys {
		x = p.key(k, x, in.Y+in.H-1) + 3
	}
}

// Field is one line of a form: typed text, or a choice from a list.
type Field struct {
	Name   string
	Editor *widget.Editor // nil for a choice
	Value  string
	Label  *state.Label // the chip of a label choice
	Hint   string
}

// Form asks for a few values.
type Form struct {
	Title  string
	Fields []Field
	At     int
	Wrong  string
	Keys   []Key
}

// Draw lies over the middle of r.
func (v Form) Draw(p Paint, r Rect) Spot {
	in := p.box(r, 72, len(v.Fields)+6, v.Title)
	var spot Spot
	for i, f := range v.Fields {
		y := in.Y + 1 + i
		s := p.T.Dim
		if i == v.At {
			s = p.T.Accent
		}
		p.C.Put(in.X, y, 12, f.Name, s)
		x := in.X + 12
		switch {
		case f.Editor != nil:
			at := f.Editor.Draw(p.C, x, y, 32, p.T.Input)
			if i == v.At {
				spot = Spot{at, y, true}
			}
		default:
			if i == v.At {
				p.C.Put(x-2, y, 1, "←", p.T.Accent)
				p.C.Put(x+33, y, 1, "→", p.T.Accent)
			}
			if f.Label != nil {
				x = p.chip(x, y, *f.Label)
			}
			p.C.Put(x, y, 30, orNone(f.Value), p.T.Strong)
		}
		p.C.Put(in.X+47, y, in.W-47, f.Hint, p.T.Dim)
	}
	p.put(in, 0, in.H-3+1, v.Wrong, p.T.Bad)
	x := in.X
	for _, k := range v.Keys {
		x = p.key(k, x, in.Y+in.H-1) + 3
	}
	return spot
}
