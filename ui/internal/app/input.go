package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// historyLimit bounds each remembered list of typed lines.
const historyLimit = 100

// input is a line being typed in the status line.
type input struct {
	prompt string
	label  *state.Label
	editor widget.Editor
	hint   string
	wrong  bool
	keys   []view.Key

	changed func() // after each edit; may be nil
	enter   func(text string) tea.Cmd
	cancel  func() tea.Cmd        // esc; may be nil
	special func(key string) bool // keys before the editor; may be nil
	choices func() view.Choices   // list above the line; may be nil
}

func (m *Model) inputKey(key, text string) tea.Cmd {
	in := m.input
	switch key {
	case "esc":
		m.input = nil
		if in.cancel != nil {
			return in.cancel()
		}
		return nil
	case "enter":
		return in.enter(in.editor.Text())
	}
	if in.special != nil && in.special(key) {
		return nil
	}
	if !in.editor.Key(key) && text != "" {
		in.editor.Insert(text)
	}
	m.inputChanged()
	return nil
}

func (m *Model) inputChanged() {
	if m.input.changed != nil {
		m.input.changed()
	}
}

func enterKeys(word string) []view.Key {
	return []view.Key{{Key: "enter", Word: word}, {Key: "↑", Word: "history"}, {Key: "esc", Word: "leave"}}
}

// openFilter edits the filter; the table follows as it is typed.
func (m *Model) openFilter() tea.Cmd {
	before := m.table.Filter
	in := &input{prompt: "/", editor: widget.NewEditor(before.String(), m.finds), keys: enterKeys("keep")}
	in.changed = func() {
		f, err := state.ParseFilter(in.editor.Text())
		in.wrong, in.hint = err != nil, "words, label:red state:running !class:TemplateVM /regex/"
		if err != nil {
			in.hint = err.Error()
			return
		}
		m.table.Filter = f
		m.table.Arrange(m.sys)
		if in.editor.Text() != "" {
			in.hint = fmt.Sprintf("%d of %d", len(m.table.Rows()), len(m.sys.Qubes))
		}
	}
	in.enter = func(text string) tea.Cmd {
		if in.wrong {
			return nil
		}
		m.finds = widget.Remember(m.finds, text, historyLimit)
		m.input = nil
		return nil
	}
	in.cancel = func() tea.Cmd {
		m.table.Filter = before
		return m.rearrange()
	}
	m.input = in
	in.changed()
	return nil
}

// openRun asks for a command for the targets.
func (m *Model) openRun() tea.Cmd {
	targets := m.targets()
	prompt := fmt.Sprintf("run in %d qubes:", len(targets))
	in := &input{editor: widget.NewEditor("", m.runs), keys: enterKeys("run")}
	if len(targets) == 1 {
		q := targets[0]
		prompt, in.label = "run in "+q.Name+":", &q.Label
		if !q.Phase.Active() {
			in.hint = q.Name + " is started first"
		}
	}
	in.prompt = prompt
	in.enter = func(text string) tea.Cmd {
		if strings.TrimSpace(text) == "" {
			return nil
		}
		m.input = nil
		m.runs = widget.Remember(m.runs, text, historyLimit)
		return m.runIn(targets, text)
	}
	m.input = in
	return nil
}

// runIn runs command in the qubes, as they are now.
func (m *Model) runIn(targets []state.Qube, command string) tea.Cmd {
	now := make([]state.Qube, 0, len(targets))
	for _, q := range targets {
		if fresh, ok := m.sys.Find(q.Name); ok {
			now = append(now, fresh)
		}
	}
	return m.act(action.Action{Title: "run " + command + " in", Why: action.RunWhy,
		Job: func(e action.Env, q state.Qube) action.Job { return action.RunJob(e, q, command) }}, now)
}

// openDisposable asks for a command for a fresh disposable.
func (m *Model) openDisposable() tea.Cmd {
	targets := m.targets()
	if len(targets) == 0 {
		return nil
	}
	template, why := action.DisposableTemplate(m.env(), targets[0])
	if why != "" {
		return m.warn(why)
	}
	in := &input{prompt: "run in a disposable of " + template + ":", editor: widget.NewEditor("", m.runs), keys: enterKeys("run"), hint: "it is gone when the command ends"}
	in.enter = func(text string) tea.Cmd {
		if strings.TrimSpace(text) == "" {
			return nil
		}
		m.input = nil
		m.runs = widget.Remember(m.runs, text, historyLimit)
		return m.start(action.DisposableJob(m.env(), template, text))
	}
	m.input = in
	return nil
}

// property is q's property of that name.
func property(q state.Qube, name string) state.Property {
	i := slices.IndexFunc(q.Properties, func(p state.Property) bool { return p.Name == name })
	if i < 0 {
		return state.Property{Name: name}
	}
	return q.Properties[i]
}

// picturePath is where a picture goes that was asked for at path: what does not end in .png is a
// directory and gets a file of the default name in it.
func (m *Model) picturePath(path string) string {
	if path == "" || strings.HasSuffix(path, ".png") {
		return path
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if h, err := os.UserHomeDir(); err == nil {
			path = filepath.Join(h, rest)
		}
	}
	return action.ScreenshotFile(path, m.now)
}
