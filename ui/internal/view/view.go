// Package view draws the console's screens onto a canvas from plain data: what is known
// (state), how it looks (theme). Views decide nothing, change nothing and know neither keys
// nor the program around them.
package view

import (
	"time"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// The smallest terminal the console draws in, in cells.
const (
	MinWidth  = 60
	MinHeight = 16
)

// wide is the width from which a side panel fits.
const wide = 110

// Rect is a part of the canvas, in cells.
type Rect struct{ X, Y, W, H int }

// Paint is what every view draws with.
type Paint struct {
	C   *widget.Canvas
	T   theme.Theme
	Now time.Time
}

// Key is one key and the word for it in the key line.
type Key struct {
	Key, Word string
	Off       bool // not possible now
}

// put writes text in r, at column dx of line dy, and returns the column after it, counted
// from r's left edge. Lines outside r are dropped.
func (p Paint) put(r Rect, dx, dy int, text string, s theme.Style) int {
	if dy < 0 || dy >= r.H {
		return dx
	}
	return p.C.Put(r.X+dx, r.Y+dy, r.W-dx, text, s) - r.X
}

func (p Paint) rule(y int) {
	w, _ := p.C.Size()
	p.C.Fill(0, y, w, 1, '─', p.T.Rule)
}

// chip draws the label's square and a space.
func (p Paint) chip(x, y int, l state.Label) int {
	if l.Name == "" {
		return x + 2
	}
	glyph, s := p.T.Chip(l.Color)
	p.C.Put(x, y, 1, glyph, s)
	return x + 2
}

// phaseStyle colours the states that need the eye.
func (p Paint) phaseStyle(f state.Phase) theme.Style {
	switch f {
	case state.Running:
		return p.T.Good
	case state.Starting, state.Halting, state.Paused, state.Suspended:
		return p.T.Warn
	case state.Crashed:
		return p.T.Bad
	}
	return p.T.Dim
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (p Paint) clock(t time.Time) string { return t.Format("15:04:05") }

// box clears a panel of w × h in the middle of r, frames it, and gives its inside.
func (p Paint) box(r Rect, w, h int, title string) Rect {
	w, h = min(w, r.W-2), min(h, r.H)
	x, y := r.X+(r.W-w)/2, r.Y+(r.H-h)/2
	p.C.Fill(x, y, w, h, ' ', theme.Style{})
	p.C.Fill(x, y, w, 1, '─', p.T.Rule)
	p.C.Fill(x, y+h-1, w, 1, '─', p.T.Rule)
	p.C.Fill(x, y, 1, h, '│', p.T.Rule)
	p.C.Fill(x+w-1, y, 1, h, '│', p.T.Rule)
	for _, c := range []struct {
		x, y int
		g    rune
	}{{x, y, '┌'}, {x + w - 1, y, '┐'}, {x, y + h - 1, '└'}, {x + w - 1, y + h - 1, '┘'}} {
		p.C.Fill(c.x, c.y, 1, 1, c.g, p.T.Rule)
	}
	p.C.Put(x+2, y, w-4, " "+title+" ", p.T.Strong)
	return Rect{x + 2, y + 1, w - 4, h - 2}
}

// elapsed is how long something has been going on, after sep; "" in its first second.
func (p Paint) elapsed(since time.Time, sep string) string {
	d := p.Now.Sub(since)
	if d < time.Second {
		return ""
	}
	return sep + widget.Span(d)
}
