package app

import (
	"fmt"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/view"
)

// copyKey is the key after y.
func (m *Model) copyKey(key string) tea.Cmd {
	m.copying = false
	if key == "y" {
		if last := m.lastCommand(); last != "" {
			return m.copyText(last)
		}
		return m.warn("No command has been given yet.")
	}
	for _, a := range action.Actions {
		if a.Key != key {
			continue
		}
		var jobs []action.Job
		for _, q := range m.targets() {
			jobs = append(jobs, a.Job(m.env(), q))
		}
		if len(jobs) > 0 {
			return m.copy(jobs)
		}
	}
	return nil
}

func (m *Model) helpKey(key string) tea.Cmd {
	page := max(m.bodyHeight(), 1)
	switch key {
	case "j", "down":
		m.help.top++
	case "k", "up":
		m.help.top--
	case "pgdown", "ctrl+d", "space":
		m.help.top += page
	case "pgup", "ctrl+u":
		m.help.top -= page
	case "esc", "q", "?", "enter", "f1":
		m.help = nil
	}
	return nil
}

// topics are the bindings as the help shows them.
func (m *Model) topics() []view.Topic {
	order := []string{topicQube, topicMove, topicOther, topicScreens, topicAll}
	out := make([]view.Topic, 0, len(order))
	for _, title := range order {
		t := view.Topic{Title: title}
		for _, b := range m.bindings() {
			if b.topic != title {
				continue
			}
			shown := b.shown
			if shown == "" {
				shown = b.keys[0]
			}
			t.Keys = append(t.Keys, view.HelpKey{Key: shown, Text: b.help, Why: b.why})
		}
		if len(t.Keys) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// keyLine are the keys at the bottom.
func (m *Model) keyLine() []view.Key {
	switch {
	case m.plan != nil, m.form != nil:
		return nil
	case m.input != nil:
		return m.input.keys
	case m.help != nil:
		return []view.Key{{Key: "j k", Word: "scroll"}, {Key: "esc", Word: "back"}}
	case m.copying:
		return []view.Key{{Key: "y", Word: "last command"}, {Key: "s S K …", Word: "command of that key"}, {Key: "esc", Word: "leave"}}
	}
	var out []view.Key
	for _, b := range m.bindings() {
		if b.word != "" {
			out = append(out, view.Key{Key: b.keys[0], Word: b.word, Off: b.why != ""})
		}
	}
	return out
}

// goodbye is said after the console has left the terminal.
func (m *Model) goodbye() string {
	active, _ := m.sys.Counts()
	switch {
	case len(m.log.Tasks) > 0:
		return fmt.Sprintf("The console has ended. %d started tasks go on in qubesd; %d qubes were running.", len(m.log.Tasks), active)
	case !m.sys.Ever && !m.sys.Connected:
		return ""
	case active == 1:
		return "The console has ended; 1 qube keeps running."
	}
	return fmt.Sprintf("The console has ended; %d qubes keep running.", active)
}
