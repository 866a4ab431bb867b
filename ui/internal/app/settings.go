package app

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
)

// settingsPage is the system's own properties.
type settingsPage struct {
	m *Model
	list
}

func (g *settingsPage) read() func(context.Context) any { return nil }
func (g *settingsPage) take(any) time.Duration          { return 0 }

func (g *settingsPage) keys() []binding {
	var p state.Property
	why := "There is no setting here."
	if props := g.m.sys.Globals; g.at < len(props) {
		p = props[g.at]
		why = g.m.env().Changes()
	}
	reset := why
	if reset == "" && p.Default {
		reset = p.Name + " is at its default already."
	}
	return []binding{
		{keys: []string{"e", "enter"}, shown: "e", word: "edit", help: "edit this setting", topic: topicQube, why: why, do: func() tea.Cmd { return g.m.openProperty("", p) }},
		{keys: []string{"space"}, help: "turn this setting over: True to False, False to True", topic: topicQube, why: g.m.toggleWhy(p, why), do: func() tea.Cmd { return g.m.toggle("", p) }},
		{keys: []string{"x"}, word: "default", help: "set this setting to its default", topic: topicQube, why: reset, do: func() tea.Cmd { return g.m.start(action.ResetJob(g.m.env(), "", p.Name)) }},
		backKeys(g.m),
	}
}

func (g *settingsPage) layout(r view.Rect) { g.scroll(len(g.m.sys.Globals), view.SettingsRows(r)) }

func (g *settingsPage) draw(p view.Paint, r view.Rect) {
	view.Settings{Props: g.m.sys.Globals, At: g.at, Top: g.top, Stale: g.m.stale(), Waiting: g.m.waiting()}.Draw(p, r)
}
