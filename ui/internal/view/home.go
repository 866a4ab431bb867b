package view

import (
	"fmt"
	"strings"
	"time"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
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

// column is one column of the table. Cells give text and style.
type column struct {
	by     state.Column
	title  string
	width  int
	right  bool
	needed int // columns with a higher number go first when there is no room
	cell   func(q state.Qube) (string, theme.Style)
}

func (v Home) columns(p Paint) []column {
	dim := func(s string) (string, theme.Style) {
		if s == "" {
			return "none", p.T.Dim
		}
		return s, p.T.Text
	}
	return []column{
		{by: state.ByName, title: "NAME", needed: 0, cell: func(q state.Qube) (string, theme.Style) { return q.Name, p.T.Text }},
		{by: state.ByState, title: "STATE", width: 13, needed: 1, cell: func(q state.Qube) (string, theme.Style) { return v.phase(p, q) }},
		{by: state.ByLabel, title: "LABEL", needed: 2, cell: func(q state.Qube) (string, theme.Style) { return q.Label.Name, p.T.Dim }},
		{by: state.ByClass, title: "CLASS", needed: 8, cell: func(q state.Qube) (string, theme.Style) { return q.Class, p.T.Dim }},
		{by: state.ByTemplate, title: "TEMPLATE", needed: 5, cell: func(q state.Qube) (string, theme.Style) {
			if q.Template == "" {
				return "–", p.T.Dim
			}
			return q.Template, p.T.Text
		}},
		{by: state.ByNetVM, title: "NETVM", needed: 4, cell: func(q state.Qube) (string, theme.Style) {
			if q.Dom0() {
				return "–", p.T.Dim
			}
			return dim(q.NetVM)
		}},
		{by: state.ByMemory, title: "MEM", width: 6, right: true, needed: 3, cell: func(q state.Qube) (string, theme.Style) {
			if q.MemKiB == 0 {
				return "–", p.T.Dim
			}
			return widget.KiB(q.MemKiB), p.T.Text
		}},
		{by: state.ByCPU, title: "CPU", width: 5, right: true, needed: 7, cell: func(q state.Qube) (string, theme.Style) {
			if q.CPU < 0 || !q.Phase.Active() || q.MemKiB == 0 {
				return "–", p.T.Dim
			}
			return fmt.Sprintf("%d %%", q.CPU), p.T.Text
		}},
	}
}

// phase is the state cell: what is being done to the qube, else how it is.
func (v Home) phase(p Paint, q state.Qube) (string, theme.Style) {
	if t, ok := v.Journal.Busy(q.Name); ok && t.Phase != "" {
		return t.Phase + p.elapsed(t.Since, " "), p.T.Warn
	}
	if v.Faults[q.Name] != "" && !q.Phase.Active() {
		return string(q.Phase) + " ✗", p.T.Bad
	}
	return string(q.Phase), p.phaseStyle(q.Phase)
}

// margin is what precedes the name: cursor, mark, chip.
const margin = 4

// fit gives the columns their widths: as wide as their content, the least needed ones left
// out until the rest fits, the name taking what has to give way. Between them are two cells
// where there is room, else one.
func fit(cols []column, rows []state.Qube, width int) (_ []column, gap int) {
	for i := range cols {
		w := max(cols[i].width, widget.Cells(cols[i].title)+1)
		for _, q := range rows {
			if text, _ := cols[i].cell(q); cols[i].by != state.ByState {
				w = max(w, min(widget.Cells(text), 24))
			}
		}
		cols[i].width = w
	}
	total := func(gap int) int {
		n := margin + 1 - gap
		for _, c := range cols {
			n += c.width + gap
		}
		return n
	}
	for total(1) > width && len(cols) > 3 {
		worst := 0
		for i, c := range cols {
			if c.needed > cols[worst].needed {
				worst = i
			}
		}
		if over := total(1) - width; over <= cols[0].width-20 {
			cols[0].width -= over
			break
		}
		cols = append(cols[:worst:worst], cols[worst+1:]...)
	}
	if over := total(1) - width; over > 0 {
		cols[0].width = max(cols[0].width-over, 6)
	}
	if total(2) <= width {
		return cols, 2
	}
	return cols, 1
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

// Overview is a qube in a few lines.
type Overview struct {
	System state.System
	Qube   state.Qube
	Trend  *state.Trend
	Busy   state.Task
	Fault  string
}

// Draw fills r from the top and returns the lines used.
func (v Overview) Draw(p Paint, r Rect) int {
	q := v.Qube
	x := p.chip(r.X, r.Y, q.Label)
	p.C.Put(x, r.Y, r.W-2, q.Name, p.T.Strong)
	kind := []string{}
	for _, s := range []string{q.Label.Name, q.Class, q.Template} {
		if s != "" {
			kind = append(kind, s)
		}
	}
	p.put(r, 0, 1, strings.Join(kind, " · "), p.T.Dim)
	y := 3
	line := func(key, value string, s theme.Style) {
		p.put(r, 0, y, key, p.T.Dim)
		for i, l := range widget.Wrap(value, r.W-9, 4) {
			p.put(r, 9, y, l, s)
			if i >= 0 {
				y++
			}
		}
	}
	line("state", v.stateText(p), p.phaseStyle(q.Phase))
	if v.Fault != "" && !q.Phase.Active() {
		line("failed", v.Fault, p.T.Bad)
	}
	if q.Fault != "" {
		line("fault", q.Fault, p.T.Bad)
	}
	v.figures(p, r, &y)
	if !q.Dom0() {
		net := "none"
		if chain := v.System.Chain(q); len(chain) > 0 {
			net = strings.Join(chain, " → ")
		}
		line("net", net, p.T.Text)
	}
	if n := v.System.Clients(q.Name); len(n) > 0 {
		line("serves", strings.Join(n, ", "), p.T.Text)
	}
	if n := v.System.BasedOn(q.Name); len(n) > 0 {
		line("base of", strings.Join(n, ", "), p.T.Text)
	}
	if len(q.Tags) > 0 {
		line("tags", strings.Join(q.Tags, ", "), p.T.Dim)
	}
	return y
}

func (v Overview) stateText(p Paint) string {
	q := v.Qube
	switch {
	case v.Busy.Doing != "":
		return v.Busy.Doing + p.elapsed(v.Busy.Since, ", ")
	case q.Phase.Active() && !q.Since.IsZero() && p.Now.After(q.Since) && p.Now.Sub(q.Since) < 100*365*24*time.Hour:
		joint := " for "
		if q.Phase != state.Running {
			joint = ", up " // it is not the present state that has lasted so long
		}
		return string(q.Phase) + joint + widget.Span(p.Now.Sub(q.Since))
	}
	return string(q.Phase)
}

func (v Overview) figures(p Paint, r Rect, y *int) {
	q := v.Qube
	if q.Phase.Active() && q.MemKiB > 0 {
		x := p.put(r, 0, *y, "memory", p.T.Dim)
		x = p.put(r, max(x, 9), *y, fmt.Sprintf("%-7s", widget.KiB(q.MemKiB)), p.T.Text)
		p.put(r, x+1, *y, widget.Spark(v.Trend.Memory(q.Name), r.W-x-2), p.T.Bar)
		*y++
		x = p.put(r, 0, *y, "cpu", p.T.Dim)
		x = p.put(r, max(x, 9), *y, fmt.Sprintf("%-7s", fmt.Sprintf("%d %%", max(q.CPU, 0))), p.T.Text)
		p.put(r, x+1, *y, widget.Spark(v.Trend.CPU(q.Name), r.W-x-2), p.T.Bar)
		*y++
		return
	}
	if m := q.Prop("memory"); m != "" && !q.Dom0() {
		p.put(r, 0, *y, "memory", p.T.Dim)
		p.put(r, 9, *y, m+" M when it runs", p.T.Text)
		*y++
	}
}
