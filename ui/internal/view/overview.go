package view

import (
	"fmt"
	"strings"
	"time"

	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

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
