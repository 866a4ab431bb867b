package app

import (
	"errors"
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"qubist/core/adminapi"
	"qubist/core/safetext"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
)

// offers are what the status line adds to an edit of each way.
var offers = map[action.Way]string{action.Fresh: "u undo", action.Undo: "ctrl+r redo", action.Redo: "u undo"}

// keptMsg is the end of writing the ledger.
type keptMsg struct{ err error }

// enter puts a finished job into the ledger and gives the command that keeps it; nil when
// there is nothing to keep.
func (m *Model) enter(j action.Job, err error) tea.Cmd {
	if j.Edit == nil {
		return nil
	}
	if j.Way != action.Fresh {
		m.taking = max(m.taking-1, 0)
	}
	e := j.Edit()
	if err != nil || e == nil {
		return nil
	}
	switch j.Way {
	case action.Undo:
		m.ledger.Undo(j.Change, j.Origin)
	case action.Redo:
		m.ledger.Redo(j.Change, j.Origin)
	default:
		if e.Before == e.After {
			return nil
		}
		m.ledger.Record(j.Change, m.now, *e)
	}
	return m.keepLedger()
}

func (m *Model) keepLedger() tea.Cmd {
	m.kept++
	keep, serial, ledger := m.opts.Keep, m.kept, m.ledger
	if keep == nil {
		return func() tea.Msg { return keptMsg{} }
	}
	return func() tea.Msg { return keptMsg{keep(serial, ledger)} }
}

func (m *Model) keptAs(err error) {
	if err != nil {
		m.opts.Log.Warn("the undo list is not kept", "err", err)
		m.tell(state.Note{Grade: state.Warn, What: "The change can be undone only until the console ends.", Evidence: action.Sentence(safetext.Line(err.Error(), 400))})
	}
}

// next is what undo or redo would do, and why it cannot be done now.
func (m *Model) next(way action.Way) (c state.Change, why string) {
	var ok bool
	if way == action.Undo {
		c, ok = m.ledger.NextUndo()
		why = "No change has been made that could be undone."
	} else {
		c, ok = m.ledger.NextRedo()
		why = "Nothing has been undone that could be made again."
	}
	switch {
	case !ok:
		return c, why
	case m.taking > 0:
		return c, "The last undo or redo is still on its way."
	}
	return c, m.env().Changes()
}

func (m *Model) undoWhy() string { _, why := m.next(action.Undo); return why }
func (m *Model) redoWhy() string { _, why := m.next(action.Redo); return why }

// changeWords says what a change is about.
func changeWords(c state.Change) string {
	if len(c.Edits) == 0 {
		return ""
	}
	e := c.Edits[0]
	text := action.Of(e.Property, e.Owner)
	if n := len(c.Edits); n > 1 {
		text = fmt.Sprintf("%s of %d qubes", e.Property, n)
	}
	return shownText(text)
}

func (m *Model) takeBackKeys() []binding {
	key := func(way action.Way, keys []string, verb, none string) binding {
		c, why := m.next(way)
		help := none
		if what := changeWords(c); what != "" {
			help = fmt.Sprintf("%s the change of %s", verb, what)
		}
		return binding{keys: keys, help: help, topic: topicOther, why: why, do: func() tea.Cmd { return m.takeBack(way) }}
	}
	return []binding{
		key(action.Undo, []string{"u"}, "undo", "undo the last change"),
		key(action.Redo, []string{"ctrl+r"}, "make again", "make the change again that was undone"),
	}
}

// takeBack undoes the newest change or makes the last undone one again.
func (m *Model) takeBack(way action.Way) tea.Cmd {
	c, why := m.next(way)
	if why != "" {
		return m.warn(why)
	}
	jobs := make([]action.Job, 0, len(c.Edits))
	for _, e := range slices.Backward(c.Edits) {
		jobs = append(jobs, action.TakeBack(m.env(), c.ID, e, way, false))
	}
	return m.start(jobs...)
}

// obstacle handles what can be in the way of undo and redo, and reports whether it was that:
// somebody changed the same since, which is asked about, or the qube is gone.
func (m *Model) obstacle(j action.Job, err error) (tea.Cmd, bool) {
	if err == nil || j.Way == action.Fresh || j.Edit == nil {
		return nil, false
	}
	verb := map[action.Way]string{action.Undo: "undo", action.Redo: "redo"}[j.Way]
	what := shownText(action.Of(j.Origin.Property, j.Origin.Owner))
	var clash *action.ErrClash
	switch {
	case errors.As(err, &clash):
		m.askAgain(j, verb, clash)
	case adminapi.KindOf(err) == adminapi.VMNotFound:
		m.ledger.Forget(j.Change, j.Origin)
		m.tell(state.Note{Grade: state.Warn, What: fmt.Sprintf("There is nothing left to %s of %s: there is no such qube any more.", verb, what)})
		return m.keepLedger(), true
	default:
		return nil, false
	}
	return nil, true
}

// askAgain shows what a clash would lose; enter does it all the same.
func (m *Model) askAgain(j action.Job, verb string, clash *action.ErrClash) {
	if m.plan == nil {
		m.plan = &plan{verb: verb, title: capital(verb), danger: "Somebody changed this after the console did. That change would be lost."}
	} else if m.plan.verb != verb {
		m.tell(state.Note{Grade: state.Warn, What: action.Sentence(j.Failed), Evidence: action.Sentence(shownText(clash.Error())), Next: "u tries again."})
		return
	}
	want := j.Origin.After
	if j.Way == action.Undo {
		want = j.Origin.Before
	}
	q, _ := m.sys.Find(j.Origin.Owner)
	name := j.Origin.Owner
	if name == "" {
		name = "system"
	}
	m.plan.jobs = append(m.plan.jobs, action.TakeBack(m.env(), j.Change, j.Origin, j.Way, true))
	m.plan.lines = append(m.plan.lines, view.PlanLine{Label: q.Label, Name: name,
		Text: shownText(j.Origin.Property + " → " + action.Shown(want) + "; " + clash.Error())})
}
