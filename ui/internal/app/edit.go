package app

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// pick asks for one of a list above the line being typed, which filters it. options may
// change while it is open; each edit begins at the first again.
func (m *Model) pick(prompt string, label *state.Label, options func() []action.Option, chosen func(action.Option) tea.Cmd) tea.Cmd {
	at := 0
	in := &input{prompt: prompt, label: label, editor: widget.NewEditor("", nil),
		keys: []view.Key{{Key: "enter", Word: "choose"}, {Key: "↑ ↓", Word: "move"}, {Key: "letters", Word: "filter"}, {Key: "esc", Word: "leave"}}}
	left := func() []action.Option {
		var out []action.Option
		for _, o := range options() {
			if state.Fuzzy(strings.TrimSpace(in.editor.Text()), o.Text) {
				out = append(out, o)
			}
		}
		at = max(min(at, len(out)-1), 0)
		return out
	}
	in.choices = func() view.Choices {
		c := view.Choices{}
		for _, o := range left() {
			c.List = append(c.List, view.Choice{Text: o.Text, Label: o.Label, Help: o.Help})
		}
		c.At = at
		return c
	}
	in.changed = func() {
		at = 0
		in.wrong, in.hint = len(left()) == 0, ""
		if in.wrong {
			in.hint = "nothing of that name"
		}
	}
	in.special = func(key string) bool {
		n := max(len(left()), 1)
		switch key {
		case "up", "ctrl+p":
			at = (at + n - 1) % n
		case "down", "ctrl+n", "tab":
			at = (at + 1) % n
		default:
			return false
		}
		return true
	}
	in.enter = func(string) tea.Cmd {
		list := left()
		if len(list) == 0 {
			return nil
		}
		m.input = nil
		return chosen(list[at])
	}
	now := slices.IndexFunc(options(), func(o action.Option) bool { return strings.HasSuffix(o.Help, "now") })
	at = max(now, 0)
	m.input = in
	return nil
}

// openProperty edits one property of one owner, "" for the system.
func (m *Model) openProperty(owner string, p state.Property) tea.Cmd {
	q, _ := m.sys.Find(owner)
	return m.openValue(action.Of(p.Name, owner)+":", q, p, func(v state.Setting) tea.Cmd {
		if !v.Default && !p.Default && v.Text == p.Value || v.Default && p.Default {
			return nil
		}
		return m.start(action.ChangeJob(m.env(), owner, p.Name, v))
	})
}

// openValue asks for a value of p in the way of its type.
func (m *Model) openValue(prompt string, q state.Qube, p state.Property, chosen func(state.Setting) tea.Cmd) tea.Cmd {
	var label *state.Label
	if q.Name != "" {
		label = &q.Label
	}
	if len(action.Options(m.sys, q, p)) > 0 {
		return m.pick(prompt, label, func() []action.Option { return action.Options(m.sys, q, p) }, func(o action.Option) tea.Cmd { return chosen(o.Value) })
	}
	in := &input{prompt: prompt, label: label, editor: widget.NewEditor(p.Value, nil), keys: []view.Key{{Key: "enter", Word: "set"}, {Key: "esc", Word: "leave"}}}
	in.changed = func() {
		in.hint = action.CheckValue(p, strings.TrimSpace(in.editor.Text()))
		in.wrong = in.hint != ""
	}
	in.enter = func(text string) tea.Cmd {
		in.changed()
		if in.wrong {
			return nil
		}
		m.input = nil
		return chosen(state.Setting{Text: strings.TrimSpace(text)})
	}
	m.input = in
	in.changed()
	return nil
}

// openEdit asks for a property of the targets and then for its value.
func (m *Model) openEdit() tea.Cmd {
	targets := m.targets()
	if len(targets) == 0 {
		return m.warn("There is no qube here.")
	}
	what, label := fmt.Sprintf("%d qubes", len(targets)), (*state.Label)(nil)
	if len(targets) == 1 {
		what, label = targets[0].Name, &targets[0].Label
	}
	return m.pick("property of "+what+":", label, func() []action.Option { return m.editable(targets) }, func(o action.Option) tea.Cmd {
		p := common(targets, o.Text)
		return m.openValue(o.Text+" of "+what+":", m.stand(targets, o.Text), p, func(v state.Setting) tea.Cmd { return m.change(targets, o.Text, v) })
	})
}

// editable are the properties that at least one of the targets has and that can be set.
func (m *Model) editable(targets []state.Qube) []action.Option {
	values := map[string]map[string]bool{}
	for _, q := range targets {
		for _, p := range q.Properties {
			if action.EditWhy(m.env(), q, p.Name) == "" {
				if values[p.Name] == nil {
					values[p.Name] = map[string]bool{}
				}
				values[p.Name][p.Value] = true
			}
		}
	}
	var out []action.Option
	for name, vs := range values {
		o := action.Option{Text: name, Help: fmt.Sprintf("%d different values", len(vs))}
		if len(vs) == 1 {
			for v := range vs {
				o.Help = action.Shown(state.Setting{Text: v})
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b action.Option) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// common is the property as the first target that has it has it; its value is left out when
// the others differ.
func common(targets []state.Qube, name string) (p state.Property) {
	for _, q := range targets {
		own, ok := action.Has(q, name)
		switch {
		case !ok:
		case p.Name == "":
			p = own
		case own.Value != p.Value:
			p.Value = ""
		}
	}
	return p
}

// stand is the qube whose choices are offered for all targets: the first that has the property.
func (m *Model) stand(targets []state.Qube, name string) state.Qube {
	for _, q := range targets {
		if _, ok := action.Has(q, name); ok {
			if len(targets) > 1 {
				q.Name = "" // no one of them is left out of the choices
			}
			return q
		}
	}
	return state.Qube{}
}

// change makes property name of the targets v: of one at once, of many after showing it.
func (m *Model) change(targets []state.Qube, name string, v state.Setting) tea.Cmd {
	e := m.env()
	p := plan{verb: "change", title: fmt.Sprintf("Set %s of %d qubes to %s", name, len(targets), shownText(action.Shown(v)))}
	refusal := ""
	for _, was := range targets {
		q, ok := m.sys.Find(was.Name)
		if !ok {
			continue
		}
		line := view.PlanLine{Label: q.Label, Name: q.Name}
		if why := action.ChangeWhy(e, q, name, v); why != "" {
			line.No, line.Text, refusal = true, why, why
		} else {
			own, _ := action.Has(q, name)
			line.Text = shownText(action.ChangeText(own, v))
			p.jobs = append(p.jobs, action.ChangeJob(e, q.Name, name, v))
		}
		p.lines = append(p.lines, line)
	}
	switch {
	case len(p.lines) == 0:
		return m.warn("There is no qube here.")
	case len(p.jobs) == 0 && len(p.lines) == 1:
		return m.warn(refusal)
	case len(p.jobs) == 0:
		return m.warn(fmt.Sprintf("Nothing of the %d marked qubes would change: %s", len(p.lines), refusal))
	case len(p.lines) == 1:
		return m.start(p.jobs...)
	}
	m.plan = &p
	return nil
}

// toggleWhy says why p is not turned over by one key, "" when it is.
func (m *Model) toggleWhy(p state.Property, why string) string {
	if why == "" && p.Type != "bool" {
		return "Only what is True or False can be toggled; e edits this."
	}
	return why
}

// toggle turns a bool over.
func (m *Model) toggle(owner string, p state.Property) tea.Cmd {
	v := state.Setting{Text: "True"}
	if p.Value == "True" {
		v.Text = "False"
	}
	return m.start(action.ChangeJob(m.env(), owner, p.Name, v))
}
