package app

import (
	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
)

func (m *Model) openDetail() tea.Cmd {
	q, ok := m.table.Current()
	if !ok {
		return nil
	}
	return m.openQube(q.Name)
}

func (m *Model) openQube(name string) tea.Cmd {
	if m.detail.name != name {
		m.detail = detailState{name: name, ownOnly: m.detail.ownOnly}
	}
	m.table.Go(name)
	m.detail.at = max(m.detail.at, 1)
	if m.screen == detail {
		return nil
	}
	return m.show(detail)
}

func (m *Model) detailItems() []view.Item {
	q, ok := m.sys.Find(m.detail.name)
	if !ok {
		return nil
	}
	return view.Items(q, m.detail.ownOnly)
}

func (m *Model) detailLen() int { return len(m.detailItems()) }

func (m *Model) detailKeys() []binding {
	q, _ := m.sys.Find(m.detail.name)
	items := m.detailItems()
	var it view.Item
	if m.detail.at < len(items) {
		it = items[m.detail.at]
	}
	why := "Only properties can be edited here so far."
	reset := why
	if it.Property {
		why = action.EditWhy(m.env(), q, it.Name)
		reset = why
		if reset == "" && it.Default {
			reset = it.Name + " is at its default already."
		}
	}
	all := "show only what is set for this qube"
	if m.detail.ownOnly {
		all = "show all properties"
	}
	return []binding{
		{keys: []string{"e", "enter"}, shown: "e", word: "edit", help: "edit this property", topic: topicQube, why: why, do: func() tea.Cmd { return m.openProperty(q.Name, property(q, it.Name)) }},
		{keys: []string{"space"}, help: "turn this property over: True to False, False to True", topic: topicQube, why: m.toggleWhy(property(q, it.Name), why), do: func() tea.Cmd { return m.toggle(q.Name, property(q, it.Name)) }},
		{keys: []string{"x"}, word: "default", help: "set this property to its default", topic: topicQube, why: reset, do: func() tea.Cmd { return m.start(action.ResetJob(m.env(), q.Name, it.Name)) }},
		{keys: []string{"tab"}, word: "own/all", help: all, topic: topicMove, do: func() tea.Cmd {
			m.detail.ownOnly, m.detail.listState = !m.detail.ownOnly, listState{at: 1}
			return nil
		}},
		{keys: []string{"esc", "q", "left", "h"}, shown: "esc", word: "back", help: "back to where this was opened", topic: topicMove, do: m.leaveDetail},
	}
}

func (m *Model) leaveDetail() tea.Cmd {
	if n, ok := m.log.Last(); ok && !m.hushed && n.Grade >= state.Warn {
		m.hushed = true
		return nil
	}
	if m.before == journal || m.before == detail {
		return m.show(home)
	}
	return m.show(m.before)
}
