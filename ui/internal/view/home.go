package view

import (
	"fmt"
	"strings"

	"qubist/ui/internal/state"
	"qubist/ui/internal/widget"
)

// Home is the table of qubes with, where it fits, the current one's panel.
type Home struct {
	System  state.System
	Table   *state.Table
	Journal *state.Journal
	Trend   *state.Trend
	Faults  map[string]string // qubes whose last start failed, and why
	Stale   bool              // the connection is gone
	Waiting string            // what to say while nothing is known yet
}

// PanelWidth is the width of the side panel in a frame of w cells, 0 for none.
func PanelWidth(w int) int {
	switch {
	case w < wide:
		return 0
	case w < 150:
		return 34
	default:
		return min(w/3, 64)
	}
}

// HomeRows is how many qubes fit into r.
func HomeRows(r Rect) int { return max(r.H-1, 1) }

// Draw fills r.
func (v Home) Draw(p Paint, r Rect) {
	if len(v.System.Qubes) == 0 {
		v.empty(p, r)
		return
	}
	panel := PanelWidth(r.W)
	list := r
	if panel > 0 {
		list.W -= panel + 1
		v.panel(p, Rect{r.X + r.W - panel, r.Y, panel, r.H})
	}
	v.table(p, list)
}

func (v Home) empty(p Paint, r Rect) {
	for i, l := range widget.Wrap(v.Waiting, r.W-4, r.H) {
		p.put(r, 2, 1+i, l, p.T.Text)
	}
}

func (v Home) table(p Paint, r Rect) {
	// Widths follow all qubes, not only those shown: filtering does not move columns.
	cols, gap := fit(v.columns(p), v.System.Qubes, r.W)
	x := r.X + margin
	for _, c := range cols {
		s, title := p.T.Dim, c.title
		if c.by == v.Table.Sort {
			s = p.T.Accent
			down := c.by == state.ByMemory || c.by == state.ByCPU // these begin with the largest
			title += map[bool]string{false: "▴", true: "▾"}[v.Table.Reverse != down]
		}
		if c.right {
			p.C.PutRight(x+c.width, r.Y, c.width, title, s)
		} else {
			p.C.Put(x, r.Y, c.width, title, s)
		}
		x += c.width + gap
	}
	rows := v.Table.Rows()
	if len(rows) == 0 {
		p.put(r, margin, 2, "No qube matches the filter "+v.Table.Filter.String()+".", p.T.Text)
		p.put(r, margin, 3, "esc shows all again.", p.T.Dim)
	}
	height := HomeRows(r)
	top := v.Table.Window(height)
	for i := 0; i < height && top+i < len(rows); i++ {
		v.row(p, Rect{r.X, r.Y + 1 + i, r.W, 1}, cols, gap, rows[top+i], top+i == v.Table.At())
	}
	v.position(p, r, top, height, len(rows))
}

// position tells on the line below the table what part of the list is seen.
func (v Home) position(p Paint, r Rect, top, height, n int) {
	var parts []string
	if m := v.Table.Marks(); m > 0 {
		parts = append(parts, fmt.Sprintf("%d marked", m))
	}
	if !v.Table.Filter.Empty() {
		parts = append(parts, fmt.Sprintf("/%s  %d of %d", v.Table.Filter, n, len(v.System.Qubes)))
	}
	if n > height {
		parts = append(parts, fmt.Sprintf("%d–%d of %d", top+1, min(top+height, n), n))
	}
	if len(parts) > 0 {
		p.C.PutRight(r.X+r.W-2, r.Y+r.H, r.W-4, " "+strings.Join(parts, " · ")+" ", p.T.Accent)
	}
}

func (v Home) row(p Paint, r Rect, cols []column, gap int, q state.Qube, here bool) {
	if v.Table.Marked(q.Name) {
		p.C.Put(r.X+1, r.Y, 1, "✓", p.T.Marked)
	}
	p.chip(r.X+2, r.Y, q.Label)
	x := r.X + margin
	for i, c := range cols {
		text, s := c.cell(q)
		if i == 0 && (here || q.Phase.Active()) {
			s = p.T.Strong
		}
		if v.Stale {
			s = p.T.Dim
		}
		if c.right {
			p.C.PutRight(x+c.width, r.Y, c.width, text, s)
		} else {
			p.C.Put(x, r.Y, c.width, text, s)
		}
		x += c.width + gap
	}
	if here {
		chip := r.X + margin - 2
		if !p.T.Cursor.Invert { // else the chip would lose its colour
			p.C.Tint(chip, r.Y, 1, p.T.Cursor)
		}
		p.C.Tint(r.X, r.Y, chip-r.X, p.T.Cursor)
		p.C.Tint(chip+1, r.Y, r.X+r.W-chip-1, p.T.Cursor)
	}
}

// panel tells more about the current qube.
func (v Home) panel(p Paint, r Rect) {
	p.C.Fill(r.X-1, r.Y, 1, r.H, '▏', p.T.Rule)
	q, ok := v.Table.Current()
	if !ok {
		return
	}
	busy, _ := v.Journal.Busy(q.Name)
	Overview{System: v.System, Qube: q, Trend: v.Trend, Busy: busy, Fault: v.Faults[q.Name]}.Draw(p, Rect{r.X + 1, r.Y, r.W - 2, r.H})
}
