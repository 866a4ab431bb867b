package view

import (
	"fmt"
	"strings"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

// Item is one line of a qube's details.
type Item struct {
	Heading  bool
	Property bool // otherwise a feature or tag
	Name     string
	Value    string
	Default  bool
}

// Items are the lines of q's details; ownOnly leaves out properties at their default.
func Items(q state.Qube, ownOnly bool) []Item {
	var out []Item
	title := "Properties"
	if ownOnly {
		title = "Properties set for this qube"
	}
	out = append(out, Item{Heading: true, Name: title})
	for _, pr := range q.Properties {
		if !ownOnly || !pr.Default {
			out = append(out, Item{Property: true, Name: pr.Name, Value: pr.Value, Default: pr.Default})
		}
	}
	if len(q.Features) > 0 {
		out = append(out, Item{Heading: true, Name: "Features"})
		for _, f := range q.Features {
			out = append(out, Item{Name: f.Name, Value: f.Value})
		}
	}
	if len(q.Tags) > 0 {
		out = append(out, Item{Heading: true, Name: "Tags"})
		for _, t := range q.Tags {
			out = append(out, Item{Name: t})
		}
	}
	return out
}

// Detail is one qube's screen: what it is on the right (or above), its settings as a list.
type Detail struct {
	Overview Overview
	Items    []Item
	At, Top  int
	Stale    bool
}

// DetailRows is how many items fit into r, and where the list lies.
func DetailRows(r Rect) (list Rect, rows int) {
	list = Rect{r.X, r.Y, r.W, r.H}
	if panel := PanelWidth(r.W); panel > 0 {
		list.W -= panel + 1
	} else {
		list.Y, list.H = r.Y+3, r.H-3
	}
	return list, max(list.H, 1)
}

// Draw fills r.
func (v Detail) Draw(p Paint, r Rect) {
	list, rows := DetailRows(r)
	if panel := PanelWidth(r.W); panel > 0 {
		p.C.Fill(r.X+list.W, r.Y, 1, r.H, '▏', p.T.Rule)
		v.Overview.Draw(p, Rect{r.X + list.W + 2, r.Y, panel - 2, r.H})
	} else {
		v.top(p, r)
	}
	name := 12
	for _, it := range v.Items {
		if !it.Heading {
			name = max(name, min(widget.Cells(it.Name), 26))
		}
	}
	for i := 0; i < rows && v.Top+i < len(v.Items); i++ {
		v.item(p, Rect{list.X, list.Y + i, list.W, 1}, v.Items[v.Top+i], name, v.Top+i == v.At)
	}
	if n := len(v.Items); n > rows {
		p.C.PutRight(list.X+list.W-2, list.Y+list.H, list.W, fmt.Sprintf(" %d–%d of %d ", v.Top+1, min(v.Top+rows, n), n), p.T.Accent)
	}
}

// top is the overview in two lines, for narrow terminals.
func (v Detail) top(p Paint, r Rect) {
	q := v.Overview.Qube
	x := p.chip(1, r.Y, q.Label)
	x = p.C.Put(x, r.Y, r.W, q.Name, p.T.Strong)
	parts := []string{q.Label.Name, q.Class}
	if q.Template != "" {
		parts = append(parts, q.Template)
	}
	p.C.Put(x+2, r.Y, r.W-x-3, strings.Join(parts, " · "), p.T.Dim)
	x = p.C.Put(3, r.Y+1, r.W, v.Overview.stateText(p), p.phaseStyle(q.Phase))
	if q.MemKiB > 0 {
		x = p.C.Put(x+3, r.Y+1, r.W, widget.KiB(q.MemKiB), p.T.Text)
	}
	if chain := v.Overview.System.Chain(q); len(chain) > 0 {
		x = p.C.Put(x+3, r.Y+1, r.W, "net ", p.T.Dim)
		p.C.Put(x, r.Y+1, r.W-x-1, strings.Join(chain, " → "), p.T.Text)
	}
}

func (v Detail) item(p Paint, r Rect, it Item, name int, here bool) {
	switch {
	case it.Heading:
		p.C.Put(r.X+1, r.Y, r.W-2, it.Name, p.T.Accent)
		return
	case v.Stale:
		p.C.Put(r.X+3, r.Y, name, it.Name, p.T.Dim)
		p.C.Put(r.X+5+name, r.Y, r.W-name-6, it.Value, p.T.Dim)
	default:
		value, s := it.Value, p.T.Strong
		if it.Default {
			s = p.T.Dim
		}
		note := ""
		if it.Property && it.Default {
			note = "default"
		}
		if value == "" && it.Property {
			value, s = "–", p.T.Dim
		}
		p.C.Put(r.X+3, r.Y, name, it.Name, p.T.Text)
		p.C.Put(r.X+5+name, r.Y, r.W-name-6-len(note)-2, value, s)
		p.C.PutRight(r.X+r.W-2, r.Y, len(note), note, p.T.Dim)
	}
	if here {
		p.C.Tint(r.X, r.Y, r.W-1, p.T.Cursor)
	}
}

// Journal is the screen of running tasks and of everything told, newest first.
type Journal struct {
	Journal *state.Journal
	At      int // index into Notes from the newest
	Top     int
}

// JournalRows is how many notes fit into r besides the running tasks and the chosen note's text.
func JournalRows(r Rect, tasks int) int { return max(r.H-tasks-8, 3) }

// Draw fills r.
func (v Journal) Draw(p Paint, r Rect) {
	y := 0
	for _, t := range v.Journal.Tasks {
		x := p.put(r, 1, y, p.clock(t.Since), p.T.Dim)
		x = p.put(r, x+2, y, t.Doing+p.elapsed(t.Since, ", "), p.T.Warn)
		p.put(r, x+3, y, t.Command, p.T.Dim)
		y++
	}
	notes := v.Journal.Notes
	if len(notes) == 0 {
		p.put(r, 1, y, "Nothing has happened yet.", p.T.Dim)
		return
	}
	rows := JournalRows(r, y)
	for i := 0; i < rows && v.Top+i < len(notes); i++ {
		n := notes[len(notes)-1-v.Top-i]
		x := p.put(r, 1, y+i, p.clock(n.At), p.T.Dim)
		x = p.put(r, x+2, y+i, n.What, p.noteStyle(n.Grade))
		p.put(r, x+3, y+i, n.Command, p.T.Dim)
		if v.Top+i == v.At {
			p.C.Tint(r.X, r.Y+y+i, r.W, p.T.Cursor)
		}
	}
	if v.At < len(notes) {
		v.note(p, Rect{r.X, r.Y + y + rows, r.W, r.H - y - rows}, notes[len(notes)-1-v.At])
	}
}

func (v Journal) note(p Paint, r Rect, n state.Note) {
	p.C.Fill(r.X, r.Y, r.W, 1, '─', p.T.Rule)
	y := 1
	add := func(key, text string, s theme.Style) {
		if text == "" {
			return
		}
		p.put(r, 1, y, key, p.T.Dim)
		for _, l := range widget.Wrap(text, r.W-12, 3) {
			p.put(r, 11, y, l, s)
			y++
		}
	}
	add("what", n.What, p.noteStyle(n.Grade))
	add("evidence", n.Evidence, p.T.Text)
	add("next", n.Next, p.T.Text)
	add("command", n.Command, p.T.Text)
	add("call", n.Call, p.T.Dim)
}
