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

// command is an entry of the palette.
type command struct {
	name, arg string // arg describes what may follow, "" for nothing
	key, help string
	needsArg  bool
	why       func() string              // nil: always possible
	complete  func(args string) []string // candidates for the last word; may be nil
	run       func(args string) tea.Cmd
}

func (m *Model) commands() []command {
	var out []command
	for _, a := range action.Actions {
		out = append(out, command{name: a.ID, arg: "[qube…]", key: a.Key, help: a.Help, complete: m.qubeNames,
			why: func() string {
				return whyNone(m.targets(), func(q state.Qube) string { return a.Why(m.env(), q) })
			},
			run: func(args string) tea.Cmd { return m.actOnNamed(a, args) }})
	}
	for _, t := range tabs {
		out = append(out, command{name: t.word, key: t.key, help: t.help, run: func(string) tea.Cmd { return m.show(t.at) }})
	}
	changes := func() string { return m.env().Changes() }
	return append(out,
		command{name: "run", arg: "command", key: "r", help: "run a command in the qube", needsArg: true, why: m.runWhy,
			run: func(args string) tea.Cmd { return m.runIn(m.targets(), args) }},
		command{name: "disposable", arg: "command", key: "D", help: "run a command in a fresh disposable", needsArg: true, why: changes, run: m.runDisposable},
		command{name: "screenshot", arg: "[file.png or directory]", key: "c", help: "save a picture of the desktop",
			run: func(args string) tea.Cmd { return m.screenshot(m.picturePath(args)) }},
		command{name: "create", key: "n", help: "create a qube", why: changes, run: func(string) tea.Cmd { return m.openForm() }},
		command{name: "open", arg: "qube", key: "enter", help: "show a qube's details", needsArg: true, complete: m.qubeNames, run: m.openNamed},
		command{name: "edit", key: "e", help: "choose a property and its value", why: m.editWhy, run: func(string) tea.Cmd { return m.openEdit() }},
		command{name: "set", arg: "property value", help: "set a property of the qube or the marked ones", needsArg: true, why: changes, complete: m.propertyNames, run: m.setNamed},
		command{name: "reset", arg: "property", help: "set a property to its default", needsArg: true, why: changes, complete: m.propertyNames, run: m.resetNamed},
		command{name: "undo", key: "u", help: "take the last change back", why: m.undoWhy, run: func(string) tea.Cmd { return m.takeBack(action.Undo) }},
		command{name: "redo", key: "ctrl+r", help: "make the change again that was undone last", why: m.redoWhy, run: func(string) tea.Cmd { return m.takeBack(action.Redo) }},
		command{name: "filter", arg: "[terms]", key: "/", help: "show only what matches", complete: filterWords, run: m.filterBy},
		command{name: "sort", arg: "column", key: "o", help: "sort by a column", needsArg: true, complete: columnNames, run: m.sortBy},
		command{name: "messages", key: "m", help: "running tasks and what was told", run: func(string) tea.Cmd { return m.openJournal() }},
		command{name: "help", key: "?", help: "the keys that work now", run: func(string) tea.Cmd { m.help = &listState{}; return nil }},
		command{name: "quit", key: "q", help: "leave the console; qubes keep running", run: func(string) tea.Cmd { return tea.Quit }},
	)
}

func (m *Model) runWhy() string {
	return whyNone(m.targets(), func(q state.Qube) string { return action.RunWhy(m.env(), q) })
}

// openPalette edits a command line with what can be typed listed above it.
func (m *Model) openPalette() tea.Cmd {
	at := 0
	in := &input{prompt: ":", editor: widget.NewEditor("", m.typed),
		keys: []view.Key{{Key: "enter", Word: "do"}, {Key: "tab", Word: "complete"}, {Key: "↑ ↓", Word: "choose"}, {Key: "ctrl+p", Word: "history"}, {Key: "esc", Word: "leave"}}}
	in.choices = func() view.Choices {
		list := m.candidates(in.editor.Text())
		at = max(min(at, len(list)-1), 0)
		c := view.Choices{At: at}
		for _, o := range list {
			c.List = append(c.List, o.Choice)
		}
		return c
	}
	in.changed = func() { at = 0 }
	in.special = func(key string) bool {
		list := m.candidates(in.editor.Text())
		switch key {
		case "up":
			at = (at + max(len(list), 1) - 1) % max(len(list), 1)
		case "down":
			at = (at + 1) % max(len(list), 1)
		case "tab":
			if at < len(list) {
				in.editor.Set(list[at].insert)
				at = 0
			}
		default:
			return false
		}
		return true
	}
	in.enter = func(text string) tea.Cmd {
		if c, _, ok := m.parse(text); !ok || c.needsArg && !strings.Contains(strings.TrimLeft(text, " "), " ") {
			list := m.candidates(text)
			if at >= len(list) {
				in.wrong, in.hint = true, "There is no such command."
				return nil
			}
			text = list[at].insert
		}
		c, args, ok := m.parse(text)
		if !ok || c.needsArg && args == "" {
			in.editor.Set(text)
			return nil
		}
		return m.command(c, text, args)
	}
	m.input = in
	return nil
}

func (m *Model) command(c command, text, args string) tea.Cmd {
	m.input = nil
	m.typed = widget.Remember(m.typed, strings.TrimSpace(text), historyLimit)
	if c.why != nil && (args == "" || c.complete == nil) {
		if why := c.why(); why != "" {
			return m.warn(why)
		}
	}
	return c.run(args)
}

// parse finds the command that text begins with.
func (m *Model) parse(text string) (c command, args string, ok bool) {
	name, args, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	all := m.commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, "", false
	}
	return all[i], strings.TrimSpace(args), true
}

// offer is a choice and the line it stands for.
type offer struct {
	view.Choice
	insert string
}

// candidates are what could be meant by text: commands, or words that fit a command.
func (m *Model) candidates(text string) []offer {
	text = strings.TrimLeft(text, " ")
	var out []offer
	name, args, inArgs := strings.Cut(text, " ")
	if !inArgs {
		var close, far []offer
		for _, c := range m.commands() {
			o := offer{view.Choice{Text: strings.TrimSpace(c.name + " " + c.arg), Key: c.key, Help: c.help}, c.name}
			if c.why != nil {
				o.Why = c.why()
			}
			if c.needsArg {
				o.insert += " "
			}
			switch {
			case strings.HasPrefix(c.name, name):
				close = append(close, o)
			case state.Fuzzy(name, c.name):
				far = append(far, o)
			}
		}
		return append(close, far...)
	}
	c, _, ok := m.parse(name)
	if !ok || c.complete == nil {
		return nil
	}
	head, last := args[:strings.LastIndex(args, " ")+1], args[strings.LastIndex(args, " ")+1:]
	for _, w := range c.complete(head) {
		if state.Fuzzy(last, w) {
			out = append(out, offer{view.Choice{Text: w}, name + " " + head + w})
		}
	}
	return out
}

func (m *Model) qubeNames(string) []string {
	var out []string
	for _, q := range m.sys.Qubes {
		out = append(out, q.Name)
	}
	return out
}

func (m *Model) propertyNames(args string) []string {
	t := m.targets()
	if len(t) == 0 || args != "" {
		return nil
	}
	var out []string
	for _, p := range t[0].Properties {
		if action.EditWhy(m.env(), t[0], p.Name) == "" {
			out = append(out, p.Name)
		}
	}
	return out
}

func columnNames(string) []string {
	var out []string
	for _, c := range state.Columns {
		out = append(out, string(c))
	}
	return out
}

func filterWords(string) []string {
	var out []string
	for _, k := range state.FilterKeys {
		if k != "mem" && k != "cpu" {
			out = append(out, k+":")
		}
	}
	return out
}

func (m *Model) actOnNamed(a action.Action, args string) tea.Cmd {
	if args == "" {
		return m.act(a, m.targets())
	}
	var targets []state.Qube
	for _, n := range strings.Fields(args) {
		q, ok := m.sys.Find(n)
		if !ok {
			return m.warn(fmt.Sprintf("There is no qube named %s.", shownText(n)))
		}
		targets = append(targets, q)
	}
	return m.act(a, targets)
}

func (m *Model) openNamed(args string) tea.Cmd {
	if _, ok := m.sys.Find(args); !ok {
		return m.warn(fmt.Sprintf("There is no qube named %s.", shownText(args)))
	}
	return m.openQube(args)
}

func (m *Model) runDisposable(args string) tea.Cmd {
	t := m.targets()
	if len(t) == 0 {
		return m.warn("There is no qube here.")
	}
	template, why := action.DisposableTemplate(m.env(), t[0])
	if why != "" {
		return m.warn(why)
	}
	return m.start(action.DisposableJob(m.env(), template, args))
}

func (m *Model) setNamed(args string) tea.Cmd {
	name, value, _ := strings.Cut(args, " ")
	return m.change(m.targets(), name, state.Setting{Text: strings.TrimSpace(value)})
}

func (m *Model) resetNamed(args string) tea.Cmd {
	return m.change(m.targets(), args, state.Setting{Default: true})
}

func (m *Model) filterBy(args string) tea.Cmd {
	f, err := state.ParseFilter(args)
	if err != nil {
		return m.warn(action.Sentence(err.Error()))
	}
	m.table.Filter = f
	return tea.Batch(m.show(home), m.rearrange())
}

func (m *Model) sortBy(args string) tea.Cmd {
	c := state.Column(args)
	if !slices.Contains(state.Columns, c) {
		return m.warn("There is no column " + shownText(args) + ".")
	}
	m.table.Sort, m.table.Reverse = c, false
	return tea.Batch(m.show(home), m.rearrange())
}
