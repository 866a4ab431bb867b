package view

import (
	"fmt"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

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
