package app

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// logRest is the pause between two looks at the logs while they are shown.
const logRest = 400 * time.Millisecond

// logPage is the merged log.
type logPage struct {
	m *Model
	list
	book   state.LogBook
	filter state.LogFilter
	lines  []state.LogLine // that the filter lets through
	follow bool
	fresh  bool // lines must be selected again
	ever   bool // something was read
	wrong  string
}

func (g *logPage) read() func(context.Context) any {
	local := g.m.opts.Local
	if local == nil {
		return nil
	}
	return func(ctx context.Context) any {
		lines, err := local.Logs(ctx)
		if err != nil {
			return err
		}
		return lines
	}
}

func (g *logPage) take(data any) time.Duration {
	switch d := data.(type) {
	case []state.LogLine:
		g.ever, g.wrong = true, ""
		dropped := g.book.Dropped()
		g.book.Add(d)
		g.fresh = g.fresh || len(d) > 0
		if !g.follow && g.filter.Empty() { // stay on the same line
			g.at = max(g.at-(g.book.Dropped()-dropped), 0)
		}
	case error:
		g.wrong = failure(d)
	}
	return logRest
}

func (g *logPage) Move(n int) {
	g.list.Move(n)
	g.follow = g.at == len(g.lines)-1 && n > 0
}

func (g *logPage) keys() []binding {
	none := g.m.away()
	follow := "follow what is written"
	if g.follow {
		follow = "stay here while more is written"
	}
	vm := ""
	if g.at < len(g.lines) {
		vm = g.lines[g.at].Qube
	}
	noQube := ""
	switch {
	case none != "":
		noQube = none
	case vm == "":
		noQube = "This line is not about a qube."
	}
	return []binding{
		{keys: []string{"/"}, word: "filter", help: "show only lines with these words; qube: from: level: /regex/ !not", topic: topicMove, why: none, do: g.openFind},
		{keys: []string{"f"}, word: "follow", help: follow, topic: topicMove, why: none, do: func() tea.Cmd { g.follow = !g.follow; return nil }},
		{keys: []string{"space"}, word: "this qube", help: "only the lines of this line's qube", topic: topicMove, why: noQube, do: func() tea.Cmd { return g.only("qube:" + vm) }},
		{keys: []string{"enter", "right", "l"}, shown: "enter", word: "open qube", help: "show the details of the line's qube", topic: topicMove, why: noQube, do: func() tea.Cmd { return g.m.openNamed(vm) }},
		{keys: []string{"y"}, help: "copy this line", topic: topicMove, why: none, do: g.copyLine},
		{keys: []string{"esc", "q", "left", "h"}, shown: "esc", word: "back", help: "put away the message, then the filter, then back to the table", topic: topicMove, do: g.leave},
	}
}

func (g *logPage) leave() tea.Cmd {
	if n, ok := g.m.log.Last(); (!ok || g.m.hushed || n.Grade < state.Warn) && !g.filter.Empty() {
		return g.only("")
	}
	return g.m.back()
}

// copyLine copies a line as it is shown: cleaned.
func (g *logPage) copyLine() tea.Cmd {
	if g.at >= len(g.lines) {
		return g.m.warn("There is no line here.")
	}
	return g.m.copyPlain(g.lines[g.at].Text, "copied the line")
}

// only filters by text, which must be right.
func (g *logPage) only(text string) tea.Cmd {
	f, err := state.ParseLogFilter(text)
	if err != nil {
		return g.m.warn(action.Sentence(err.Error()))
	}
	g.filter, g.fresh, g.follow = f, true, true
	return nil
}

func (g *logPage) openFind() tea.Cmd {
	before := g.filter
	in := &input{prompt: "/", editor: widget.NewEditor(before.String(), g.m.finds), keys: enterKeys("keep")}
	in.changed = func() {
		f, err := state.ParseLogFilter(in.editor.Text())
		in.wrong, in.hint = err != nil, "words, qube:work from:qubesd level:warn !not /regex/"
		if err != nil {
			in.hint = err.Error()
			return
		}
		g.filter, g.fresh = f, true
	}
	in.enter = func(text string) tea.Cmd {
		if in.wrong {
			return nil
		}
		g.m.finds = widget.Remember(g.m.finds, text, historyLimit)
		g.m.input = nil
		return nil
	}
	in.cancel = func() tea.Cmd { g.filter, g.fresh = before, true; return nil }
	g.m.input = in
	in.changed()
	return nil
}

func (g *logPage) layout(r view.Rect) {
	if g.fresh {
		g.lines, g.fresh = g.book.Select(g.filter), false
	}
	if g.follow {
		g.at = len(g.lines) - 1
	}
	g.scroll(len(g.lines), view.LogRows(r))
}

func (g *logPage) draw(p view.Paint, r view.Rect) {
	waiting := "Reading the logs …"
	switch {
	case g.m.opts.Local == nil:
		waiting = g.m.opts.Away
	case g.wrong != "":
		waiting = "The logs cannot be read: " + g.wrong
	case g.ever && g.filter.Empty():
		waiting = "Nothing has been written yet."
	case g.ever:
		waiting = "No line matches " + shownText(g.filter.String()) + ". esc shows all again."
	}
	view.Logs{Lines: g.lines, Find: shownText(g.filter.String()), Follow: g.follow, Dropped: g.book.Dropped(), At: g.at, Top: g.top, Waiting: waiting}.Draw(p, r)
}

// openLogOf shows the log of one qube.
func (m *Model) openLogOf(name string) tea.Cmd {
	if why := m.away(); why != "" {
		return m.warn(why)
	}
	m.logs().only("qube:" + name)
	return m.show(logbook)
}
