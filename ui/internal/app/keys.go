package app

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
)

// binding is one thing a key does on the present screen. The help, the key line and the
// dispatch all read the same list, so none can promise what another does not do.
type binding struct {
	keys  []string
	shown string // how the help writes the keys; "" means keys[0]
	word  string // for the key line; "" leaves it out of there
	help  string
	topic string
	why   string // a sentence when it is not possible now
	act   action.Action
	do    func() tea.Cmd
}

const (
	topicQube  = "This qube, or the marked ones"
	topicOther = "More"
	topicMove  = "Moving and choosing"
	topicAll   = "Everywhere"

	topicScreens = "Screens"
)

// key routes a key press: an open question, form or line takes it first.
func (m *Model) key(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	switch {
	case key == "ctrl+c":
		return tea.Quit
	case m.tooSmall():
		if key == "q" {
			return tea.Quit
		}
		return nil
	case m.plan != nil:
		return m.planKey(key)
	case m.form != nil:
		return m.formKey(key, msg.Text)
	case m.input != nil:
		return m.inputKey(key, msg.Text)
	case m.help != nil:
		return m.helpKey(key)
	case m.copying:
		return m.copyKey(key)
	}
	for _, b := range m.bindings() {
		if !slices.Contains(b.keys, key) {
			continue
		}
		if b.why != "" {
			return m.warn(b.why)
		}
		return b.do()
	}
	return nil
}

func (m *Model) paste(text string) {
	switch {
	case m.input != nil:
		m.input.editor.Insert(text)
		m.inputChanged()
	case m.form != nil:
		m.form.insert(text)
	}
}

func (m *Model) tooSmall() bool { return m.width < view.MinWidth || m.height < view.MinHeight }

// bindings are the keys of the present screen, most important first.
func (m *Model) bindings() []binding {
	var out []binding
	switch m.screen {
	case home:
		out = append(m.homeKeys(), m.actionKeys()...)
		out = append(out, m.listKeys(&m.table)...)
	case detail:
		out = append(m.detailKeys(), m.actionKeys()...)
		out = append(out, m.listKeys(itemMover{m})...)
	case journal:
		out = append(m.journalKeys(), m.listKeys(noteMover{m})...)
	default:
		pg := m.pages[m.screen]
		out = pg.keys()
		if _, ok := pg.(onQubes); ok {
			out = append(out, m.actionKeys()...)
		}
		out = append(out, m.listKeys(pg)...)
	}
	return append(append(out, m.pageKeys()...), m.commonKeys()...)
}

func (m *Model) homeKeys() []binding {
	_, ok := m.table.Current()
	none := ""
	if !ok {
		none = "There is no qube here."
	}
	return []binding{
		{keys: []string{"enter", "right", "l"}, shown: "enter", word: "open", help: "show the qube's properties, features and tags", topic: topicMove, why: none, do: m.openDetail},
		{keys: []string{"space"}, word: "mark", help: "mark the qube; actions then apply to all marked ones", topic: topicMove, why: none, do: func() tea.Cmd { m.table.Mark(); m.table.Move(1); return nil }},
		{keys: []string{"*"}, help: "mark all that are shown, or none", topic: topicMove, why: none, do: func() tea.Cmd { m.table.MarkAll(); return nil }},
		{keys: []string{"/"}, word: "filter", help: "filter: words, label: state: class: template: netvm: tag: mem> cpu>, !not, /regex/", topic: topicMove, do: m.openFilter},
		{keys: []string{"o"}, help: "sort by the next column", topic: topicMove, do: func() tea.Cmd { m.table.NextSort(1); return m.rearrange() }},
		{keys: []string{"O"}, help: "sort the other way round", topic: topicMove, do: func() tea.Cmd { m.table.Reverse = !m.table.Reverse; return m.rearrange() }},
		{keys: []string{"e"}, word: "edit", help: "set a property of the qube, or of all marked ones after a preview", topic: topicQube, why: m.editWhy(), do: m.openEdit},
		{keys: []string{"n"}, help: "create a qube", topic: topicOther, why: m.env().Changes(), do: m.openForm},
		{keys: []string{"esc"}, help: "put away the message, then the marks, then the filter", topic: topicMove, do: m.escape},
		{keys: []string{"q"}, help: "leave the console; qubes keep running", topic: topicAll, do: func() tea.Cmd { return tea.Quit }},
	}
}

// editWhy says why no property of the targets can be edited, "" when one can.
func (m *Model) editWhy() string {
	if len(m.targets()) == 0 {
		return "There is no qube here."
	}
	return m.env().Changes()
}

// escape leads out one step.
func (m *Model) escape() tea.Cmd {
	switch n, ok := m.log.Last(); {
	case ok && !m.hushed && n.Grade >= state.Warn:
		m.hushed = true
	case m.table.Marks() > 0:
		m.table.ClearMarks()
	case !m.table.Filter.Empty():
		m.table.Filter = state.Filter{}
		return m.rearrange()
	default:
		m.hushed = true
	}
	return nil
}

func (m *Model) rearrange() tea.Cmd {
	m.table.Arrange(m.sys)
	return nil
}

// actionKeys are the actions on the targets, each with the reason when none can have it.
func (m *Model) actionKeys() []binding {
	targets := m.targets()
	e := m.env()
	var out []binding
	for _, a := range action.Actions {
		out = append(out, binding{
			keys: []string{a.Key}, word: a.Title, help: a.Help, topic: topicQube, act: a,
			why: whyNone(targets, func(q state.Qube) string { return a.Why(e, q) }),
			do:  func() tea.Cmd { return m.act(a, m.targets()) },
		})
	}
	return append(out,
		binding{keys: []string{"r"}, word: "run…", help: "run a command; a halted qube is started", topic: topicQube,
			why: whyNone(targets, func(q state.Qube) string { return action.RunWhy(e, q) }), do: m.openRun},
		binding{keys: []string{"D"}, help: "run a command in a fresh disposable", topic: topicQube,
			why: whyNone(targets, func(q state.Qube) string { _, why := action.DisposableTemplate(e, q); return why }), do: m.openDisposable},
		binding{keys: []string{"L"}, help: "show the qube's logs", topic: topicQube, why: m.logWhy(targets), do: func() tea.Cmd { return m.openLogOf(m.targets()[0].Name) }},
	)
}

// logWhy says why there are no logs of the targets, "" when there can be.
func (m *Model) logWhy(targets []state.Qube) string {
	if len(targets) == 0 {
		return "There is no qube here."
	}
	return m.away()
}

// whyNone is "" when at least one target can, else the first reason.
func whyNone(targets []state.Qube, why func(state.Qube) string) string {
	first := "There is no qube here."
	for i, q := range targets {
		w := why(q)
		if w == "" {
			return ""
		}
		if i == 0 {
			first = w
		}
	}
	return first
}

// mover is a list with a cursor.
type mover interface {
	Move(n int)
}

func (m *Model) listKeys(l mover) []binding {
	page := max(m.bodyHeight()-2, 1)
	move := func(n int) func() tea.Cmd { return func() tea.Cmd { l.Move(n); return nil } }
	return []binding{
		{keys: []string{"j", "down", "ctrl+n"}, shown: "j ↓", help: "down", topic: topicMove, do: move(1)},
		{keys: []string{"k", "up", "ctrl+p"}, shown: "k ↑", help: "up", topic: topicMove, do: move(-1)},
		{keys: []string{"ctrl+d", "pgdown", "ctrl+f"}, shown: "ctrl+d pgdn", help: "a page down", topic: topicMove, do: move(page)},
		{keys: []string{"ctrl+u", "pgup", "ctrl+b"}, shown: "ctrl+u pgup", help: "a page up", topic: topicMove, do: move(-page)},
		{keys: []string{"g", "home"}, shown: "g home", help: "to the first", topic: topicMove, do: move(-1 << 30)},
		{keys: []string{"G", "end"}, shown: "G end", help: "to the last", topic: topicMove, do: move(1 << 30)},
	}
}

// itemMover moves over a qube's details, past headings.
type itemMover struct{ m *Model }

func (v itemMover) Move(n int) {
	d, items := &v.m.detail, v.m.detailItems()
	step := 1
	if n < 0 {
		step = -1
	}
	at := max(min(d.at+n, len(items)-1), 0)
	for at >= 0 && at < len(items) && items[at].Heading {
		at += step
	}
	if at >= 0 && at < len(items) {
		d.at = at
	} else if len(items) > 1 && n < 0 {
		d.at = 1
	}
}

// noteMover moves over the messages, newest first.
type noteMover struct{ m *Model }

func (v noteMover) Move(n int) {
	v.m.journal.at = max(min(v.m.journal.at+n, len(v.m.log.Notes)-1), 0)
}

func (m *Model) journalKeys() []binding {
	command := ""
	if i := len(m.log.Notes) - 1 - m.journal.at; i >= 0 {
		command = m.log.Notes[i].Command
	}
	why := ""
	if command == "" {
		why = "This message has no command line."
	}
	return []binding{
		{keys: []string{"y"}, word: "copy command", help: "copy the command line of this message", topic: topicMove, why: why, do: func() tea.Cmd { return m.copyText(command) }},
		{keys: []string{"esc", "q", "m", "left", "h"}, shown: "esc", word: "back", help: "back", topic: topicMove, do: func() tea.Cmd { return m.show(m.before) }},
	}
}

func (m *Model) openJournal() tea.Cmd {
	m.journal, m.hushed = listState{}, true
	return m.show(journal)
}

func (m *Model) commonKeys() []binding {
	out := []binding{
		{keys: []string{":"}, word: "command", help: "every command by its name", topic: topicAll, do: m.openPalette},
	}
	if m.screen != journal {
		out = append(out,
			binding{keys: []string{"m"}, word: "messages", help: "running tasks and what was told, with evidence and commands", topic: topicAll, do: m.openJournal})
	}
	if m.screen != journal && m.screen != logbook {
		out = append(out,
			binding{keys: []string{"y"}, help: "then an action's key: copy its command line; then y: copy the last one", topic: topicAll, do: func() tea.Cmd { m.copying = true; return nil }},
			binding{keys: []string{"c"}, help: "save a picture of the desktop", topic: topicOther, do: func() tea.Cmd { return m.screenshot("") }},
		)
	}
	if m.opts.Attach != nil {
		why := ""
		if m.open == 0 {
			why = "No qube asks for anything."
		}
		out = append(out, binding{keys: []string{"a"}, help: "answer the waiting question, in its own program", topic: topicOther, why: why, do: m.lend})
	}
	if m.screen != journal {
		out = append(out, m.takeBackKeys()...)
	}
	return append(out, binding{keys: []string{"?", "f1"}, shown: "?", word: "keys", help: "the keys that work now", topic: topicAll, do: func() tea.Cmd { m.help = &listState{}; return nil }},
		binding{keys: []string{"ctrl+l"}, help: "draw the screen again", topic: topicAll, do: func() tea.Cmd { m.forget(); return nil }})
}

func (m *Model) screenshot(where string) tea.Cmd {
	file := where
	if file == "" {
		file = action.ScreenshotFile(m.opts.Home, m.now)
	}
	return m.start(action.ScreenshotJob(m.env(), file))
}

// forget makes the next frame be drawn from nothing.
func (m *Model) forget() {
	if m.terminal != nil {
		m.terminal.Forget()
	}
}
