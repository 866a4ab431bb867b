package app

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"qubist/core/qube"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// creatable are the classes the form offers, with what they are.
var creatable = []struct {
	class qube.Class
	hint  string
}{
	{qube.AppVM, "keeps its home"},
	{qube.DispVM, "forgets everything"},
}

// The form's fields.
const (
	fieldName = iota
	fieldClass
	fieldTemplate
	fieldLabel
	fieldCount
)

// form is the creation of a qube.
type form struct {
	at     int
	name   widget.Editor
	chosen [fieldCount]int // index into the choices of each field but the name
	wrong  string
}

func (m *Model) openForm() tea.Cmd {
	f := &form{name: widget.NewEditor("", nil)}
	f.chosen[fieldLabel] = max(slices.IndexFunc(m.sys.Labels, func(l state.Label) bool { return l.Name == "blue" }), 0)
	f.chosen[fieldTemplate] = max(slices.Index(m.templates(f), m.sys.Global("default_template")), 0)
	m.form = f
	return nil
}

func (f *form) insert(text string) {
	if f.at == fieldName {
		f.name.Insert(text)
	}
}

// templates are the possible templates of the form's class.
func (m *Model) templates(f *form) []string {
	class := creatable[f.chosen[fieldClass]].class
	var out []string
	for _, q := range m.sys.Qubes {
		switch {
		case class == qube.AppVM && q.Class == string(qube.TemplateVM),
			class == qube.DispVM && q.True("template_for_dispvms"):
			out = append(out, q.Name)
		}
	}
	return out
}

func (m *Model) choices(field int) int {
	switch field {
	case fieldClass:
		return len(creatable)
	case fieldTemplate:
		return len(m.templates(m.form))
	case fieldLabel:
		return len(m.sys.Labels)
	}
	return 0
}

func (m *Model) formKey(key, text string) tea.Cmd {
	f := m.form
	switch key {
	case "esc":
		m.form = nil
	case "enter":
		return m.create()
	case "tab", "down":
		f.at = (f.at + 1) % fieldCount
	case "shift+tab", "up":
		f.at = (f.at + fieldCount - 1) % fieldCount
	default:
		f.wrong = ""
		if f.at == fieldName {
			if !f.name.Key(key) {
				f.name.Insert(text)
			}
			return nil
		}
		m.choose(key)
	}
	return nil
}

// choose moves the choice of the current field.
func (m *Model) choose(key string) {
	f := m.form
	n := m.choices(f.at)
	if n == 0 {
		return
	}
	step := 0
	switch key {
	case "left", "h":
		step = n - 1
	case "right", "l", "space":
		step = 1
	}
	f.chosen[f.at] = (f.chosen[f.at] + step) % n
	if f.at == fieldClass {
		f.chosen[fieldTemplate] = max(slices.Index(m.templates(f), m.sys.Global("default_template")), 0)
	}
}

func (f *form) pick(list []string) string {
	if i := f.chosen[fieldTemplate]; i < len(list) {
		return list[i]
	}
	return ""
}

// create checks the form and begins.
func (m *Model) create() tea.Cmd {
	f := m.form
	name, err := qube.ParseName(f.name.Text())
	_, exists := m.sys.Find(f.name.Text())
	class := creatable[f.chosen[fieldClass]].class
	template := f.pick(m.templates(f))
	switch {
	case err != nil:
		f.at, f.wrong = fieldName, "A name is a letter, then letters, digits, - _ or ., at most 31."
	case exists:
		f.at, f.wrong = fieldName, "There is a qube of that name already."
	case template == "":
		f.at, f.wrong = fieldTemplate, "There is no template for a "+string(class)+"."
	case f.chosen[fieldLabel] >= len(m.sys.Labels):
		f.wrong = "The system has no labels."
	default:
		m.form = nil
		m.table.Go(string(name))
		return m.start(action.CreateJob(m.env(), class, name, m.sys.Labels[f.chosen[fieldLabel]].Name, template))
	}
	return nil
}

func (m *Model) formView() view.Form {
	f := m.form
	class := creatable[f.chosen[fieldClass]]
	v := view.Form{Title: "New qube", At: f.at, Wrong: f.wrong, Fields: []view.Field{
		{Name: "name", Editor: &f.name},
		{Name: "class", Value: string(class.class), Hint: class.hint},
		{Name: "template", Value: f.pick(m.templates(f))},
		{Name: "label"},
	}, Keys: []view.Key{{Key: "enter", Word: "create"}, {Key: "tab", Word: "next field"}, {Key: "← →", Word: "choose"}, {Key: "esc", Word: "leave"}}}
	if i := f.chosen[fieldLabel]; i < len(m.sys.Labels) {
		l := m.sys.Labels[i]
		v.Fields[fieldLabel].Value, v.Fields[fieldLabel].Label = l.Name, &l
	}
	return v
}
