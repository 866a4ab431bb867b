package view

import (
	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// Network is the tree of qubes by the one each is connected to.
type Network struct {
	Rows    []state.NetRow
	At, Top int
	Stale   bool
	Waiting string
}

// ListRows is how many lines below its title fit into r.
func ListRows(r Rect) int { return max(r.H-1, 1) }

// Draw fills r.
func (v Network) Draw(p Paint, r Rect) {
	if len(v.Rows) == 0 {
		p.sentence(r, v.Waiting)
		return
	}
	name, state := 16, 11
	for _, row := range v.Rows {
		name = max(name, min(widget.Cells(row.Guide+row.Qube.Name)+4, r.W/2))
	}
	address := name + state + 4
	way := address + 17
	for _, c := range []struct {
		x    int
		text string
	}{{3, "NAME"}, {name + 3, "STATE"}, {address, "ADDRESS"}, {way, "WAY OUT"}} {
		p.put(r, c.x, 0, c.text, p.T.Dim)
	}
	rows := ListRows(r)
	for i := 0; i < rows && v.Top+i < len(v.Rows); i++ {
		row := v.Rows[v.Top+i]
		line := Rect{r.X, r.Y + 1 + i, r.W, 1}
		if row.Heading != "" {
			p.put(line, 1, 0, row.Heading, p.T.Accent)
			continue
		}
		q := row.Qube
		x := p.put(line, 3, 0, row.Guide, p.T.Rule)
		p.chip(line.X+x, line.Y, q.Label)
		s := v.style(p, p.T.Text)
		if q.Phase.Active() {
			s = v.style(p, p.T.Strong)
		}
		p.C.Put(line.X+x+2, line.Y, name-x, q.Name, s)
		p.C.Put(line.X+name+3, line.Y, state, string(q.Phase), v.style(p, p.phaseStyle(q.Phase)))
		if q.NetVM != "" || q.True("provides_network") {
			p.C.Put(line.X+address, line.Y, 16, orDash(q.Prop("ip")), v.style(p, p.T.Text))
		}
		s = p.T.Dim
		if row.Cut {
			s = p.T.Warn
			if !q.Phase.Active() {
				s = p.T.Dim
			}
		}
		p.put(line, way, 0, row.Way, v.style(p, s))
		if v.Top+i == v.At {
			p.C.Tint(line.X, line.Y, line.W, p.T.Cursor)
		}
	}
	p.scrolled(r, v.Top, rows, len(v.Rows), "")
}

func (v Network) style(p Paint, s theme.Style) theme.Style {
	if v.Stale {
		return p.T.Dim
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
