// Package widget holds the console's drawing tools: a canvas of cells, an editor for one
// line, bars and units. It knows no qubes. Everything drawn goes through Canvas, which is
// the last writer before the terminal: it places one glyph per cell, never outside the
// rectangle it was given, and lets no control, invisible or direction-changing character
// pass, whatever was handed to it.
package widget

import (
	"strings"
	"unicode"

	"qubist/core/safetext"
	"qubist/ui/internal/theme"
)

type cell struct {
	r     rune // 0: the right half of a wide character
	style theme.Style
}

// Canvas is a rectangle of styled cells.
type Canvas struct {
	w, h  int
	cells []cell
}

// NewCanvas gives an empty canvas of w × h cells; negative sizes count as 0.
func NewCanvas(w, h int) *Canvas {
	c := &Canvas{w: max(w, 0), h: max(h, 0)}
	c.cells = make([]cell, c.w*c.h)
	for i := range c.cells {
		c.cells[i].r = ' '
	}
	return c
}

// Size is the canvas's width and height in cells.
func (c *Canvas) Size() (w, h int) { return c.w, c.h }

// own are the glyphs that only our renderer emits; safetext replaces them in foreign text.
const own = "■□●○◌▸▾▴▏▌▐█▓▒░─│┌┐└┘├┤·…›✓✗→←↑↓⟳▁▂▃▄▅▆▇–×"

// glyph is what is drawn for r, and its cells.
func glyph(r rune) (rune, int) {
	if r >= ' ' && r < 0x7f || strings.ContainsRune(own, r) {
		return r, 1
	}
	if r > unicode.MaxASCII {
		s := string(r)
		if t := safetext.Line(s, 0); t == s {
			return r, safetext.Width(s)
		}
	}
	return '_', 1
}

// Put writes text at (x, y) within at most limit cells and returns the column after it.
// Text that does not fit is cut with '…'. Cells outside the canvas are dropped.
func (c *Canvas) Put(x, y, limit int, text string, s theme.Style) int {
	limit = min(limit, c.w-x)
	if limit <= 0 {
		return x
	}
	if cells(text) > limit {
		text = clip(text, limit-1) + "…"
	}
	for _, r := range text {
		g, n := glyph(r)
		c.set(x, y, g, n, s)
		x += n
	}
	return x
}

// PutRight writes text so that it ends before column right, within limit cells.
func (c *Canvas) PutRight(right, y, limit int, text string, s theme.Style) {
	w := min(Cells(text), limit)
	c.Put(right-w, y, w, text, s)
}

func (c *Canvas) set(x, y int, r rune, n int, s theme.Style) {
	if y < 0 || y >= c.h || x < 0 || x+n > c.w {
		return
	}
	at := y*c.w + x
	if c.cells[at].r == 0 && x > 0 {
		c.cells[at-1].r = ' '
	}
	c.cells[at] = cell{r, s}
	if n == 2 {
		c.cells[at+1] = cell{0, s}
	} else if x+1 < c.w && c.cells[at+1].r == 0 {
		c.cells[at+1].r = ' '
	}
}

// Fill paints the rectangle with one glyph.
func (c *Canvas) Fill(x, y, w, h int, r rune, s theme.Style) {
	g, _ := glyph(r)
	for j := max(y, 0); j < min(y+h, c.h); j++ {
		for i := max(x, 0); i < min(x+w, c.w); i++ {
			c.set(i, j, g, 1, s)
		}
	}
}

// Tint lays a row's style under what is drawn in row y from x over w cells.
func (c *Canvas) Tint(x, y, w int, s theme.Style) {
	if y < 0 || y >= c.h {
		return
	}
	for i := max(x, 0); i < min(x+w, c.w); i++ {
		p := &c.cells[y*c.w+i]
		p.style = p.style.Over(s)
	}
}

// Lines are the frame's lines with SGR sequences, none longer than the canvas is wide, each
// ending in the default style.
func (c *Canvas) Lines() []string {
	out := make([]string, c.h)
	var b strings.Builder
	for y := range c.h {
		b.Reset()
		c.line(&b, c.cells[y*c.w:(y+1)*c.w])
		out[y] = b.String()
	}
	return out
}

func (c *Canvas) line(b *strings.Builder, row []cell) {
	end := len(row)
	for end > 0 && row[end-1].r == ' ' && row[end-1].style.BG == nil && !row[end-1].style.Invert && !row[end-1].style.Underline {
		end--
	}
	var now theme.Style
	for _, p := range row[:end] {
		if p.r == 0 {
			continue
		}
		if p.style != now {
			if now != (theme.Style{}) {
				b.WriteString("\x1b[m")
			}
			b.WriteString(p.style.Sequence())
			now = p.style
		}
		b.WriteRune(p.r)
	}
	if now != (theme.Style{}) {
		b.WriteString("\x1b[m")
	}
}

// Plain is the frame without styles, trailing spaces removed.
func (c *Canvas) Plain() string {
	var b strings.Builder
	for y := range c.h {
		if y > 0 {
			b.WriteByte('\n')
		}
		var l strings.Builder
		for _, p := range c.cells[y*c.w : (y+1)*c.w] {
			if p.r != 0 {
				l.WriteRune(p.r)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " "))
	}
	return b.String()
}
