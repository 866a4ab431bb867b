// Package prompt is the screen on which a question to the user is answered: a model that
// knows which key means what and when keys count, a view that draws it, and the program
// around both (Run).
//
// It never decides by itself: whatever is not the user's clear choice is a denial. Names
// are shown as plain ASCII cell by cell, never as markup; a target that cannot be shown
// faithfully cannot be chosen.
package prompt

import (
	"slices"
	"strings"
	"time"

	"qubist/core/prompt/wire"
	"qubist/core/safetext"
)

// GuardTime is how long nothing may have happened to the screen, and no key may have been
// pressed, before a key counts (spec security-lessons.md §3.2 rule 6).
const GuardTime = 500 * time.Millisecond

// maxShown is the longest target that fits on a line of the smallest screen; the longest
// real one is "@dispvm:" and a name.
const maxShown = 40

// Key is a key the screen understands; everything else is Other.
type Key int

// The keys.
const (
	Other Key = iota
	Rune      // a printable character
	Tab
	BackTab
	Enter
	Up
	Down
	Left
	Right
	Backspace
	Cancel // Esc or ctrl-C
)

// Focus is where keys go.
type Focus int

// The places, in Tab's order.
const (
	OnDeny Focus = iota
	OnTargets
	OnAllow
)

// Decision is what a key decided.
type Decision int

// The decisions. Undecided keys only change the screen.
const (
	Undecided Decision = iota
	Denied
	Allowed
)

// target is one line of the choice list.
type target struct {
	wire.Party
	shown  string // its name as shown
	honest bool   // shown is the whole name itself and fits on a line
}

// Model is the state of the screen. It has no clock and no terminal.
type Model struct {
	question wire.Question
	open     bool // there is a question and it is not decided
	waiting  int
	deadline time.Time

	targets []target
	chosen  string // target that would be allowed; empty for none
	filter  string
	cursor  int // in matches()
	focus   Focus

	complete bool      // the last drawing showed everything
	guard    time.Time // keys count after this
	guarded  bool      // nothing counts until the next complete drawing
}

// Show puts a new question on the screen.
func (m *Model) Show(q wire.Question, now time.Time) {
	if m.open && q.ID == m.question.ID { // the same one with other numbers around it
		m.question = q
		return
	}
	*m = Model{question: q, open: true, waiting: m.waiting, deadline: now.Add(q.Remaining), guarded: true}
	for _, t := range q.Targets {
		shown := safetext.Name(t.Name, wire.MaxName)
		m.targets = append(m.targets, target{Party: t, shown: shown, honest: shown == t.Name && shown != "" && len(shown) <= maxShown})
	}
	if q.DefaultTarget != "" && m.honest(q.DefaultTarget) {
		m.chosen = q.DefaultTarget
	} else if len(m.targets) == 1 && m.targets[0].honest {
		m.chosen = m.targets[0].Name
	}
	m.cursor = max(slices.IndexFunc(m.targets, func(t target) bool { return t.Name == m.chosen }), 0)
}

func (m *Model) honest(name string) bool {
	return slices.ContainsFunc(m.targets, func(t target) bool { return t.Name == name && t.honest })
}

// Close ends the question with this id.
func (m *Model) Close(id uint64) {
	if id == m.question.ID {
		m.open = false
	}
}

// Disturbed tells that the screen changed under the user: resized, focused, covered.
func (m *Model) Disturbed() { m.guarded = true }

// Drawn tells that the screen is drawn, completely or not, since now.
func (m *Model) Drawn(complete bool, now time.Time) {
	if m.guarded || complete != m.complete {
		m.guarded = false
		m.guard = now.Add(GuardTime)
	}
	m.complete = complete
	if !complete {
		m.focus = OnDeny
	}
}

// Armed reports whether keys count.
func (m *Model) Armed(now time.Time) bool {
	return m.open && !m.guarded && !now.Before(m.guard)
}

// WhyNotAllow is why Allow is off, empty when it is on.
func (m *Model) WhyNotAllow() string {
	switch {
	case !m.complete:
		return "Allow is off: the window is too small to show everything."
	case len(m.targets) == 0:
		return "Allow is off: there is no target to choose."
	case m.chosen == "":
		return "Allow is off: choose a target first (Tab)."
	}
	return ""
}

// matches are the targets that pass the filter, those that start with it first.
func (m *Model) matches() []target {
	if m.filter == "" {
		return m.targets
	}
	var start, inside []target
	for _, t := range m.targets {
		switch strings.Index(strings.ToLower(t.shown), m.filter) {
		case -1:
		case 0:
			start = append(start, t)
		default:
			inside = append(inside, t)
		}
	}
	return append(start, inside...)
}

// Press handles a key that was pressed at a time. A key that comes too early is ignored and
// starts the guard time anew, so that a held key never gets through.
func (m *Model) Press(k Key, r rune, at time.Time) (Decision, string) {
	if !m.open || m.guarded {
		return Undecided, ""
	}
	if !m.Armed(at) {
		m.guard = at.Add(GuardTime)
		return Undecided, ""
	}
	switch {
	case k == Cancel, k == Rune && r == 'q' && m.focus != OnTargets:
		return m.decide(Denied)
	case k == Enter && m.focus == OnDeny:
		return m.decide(Denied)
	case k == Enter && m.focus == OnAllow:
		if m.WhyNotAllow() == "" {
			return m.decide(Allowed)
		}
	case k == Tab:
		m.move(1)
	case k == BackTab:
		m.move(-1)
	case m.focus == OnTargets:
		m.list(k, r)
	case k == Up || k == Down:
		m.toTargets()
	case k == Right:
		m.toAllow()
	case k == Left:
		m.focus = OnDeny
	}
	return Undecided, ""
}

func (m *Model) decide(d Decision) (Decision, string) {
	m.open = false
	if d == Allowed {
		return d, m.chosen
	}
	return d, ""
}

// order is Tab's way round. Without a choice the list comes before Allow, with one after.
func (m *Model) order() []Focus {
	switch {
	case !m.complete:
		return []Focus{OnDeny}
	case len(m.targets) < 2 && m.chosen != "":
		return []Focus{OnDeny, OnAllow}
	case m.chosen == "":
		return []Focus{OnDeny, OnTargets}
	case m.focus == OnTargets:
		return []Focus{OnDeny, OnTargets, OnAllow}
	}
	return []Focus{OnDeny, OnAllow, OnTargets}
}

func (m *Model) move(step int) {
	order := m.order()
	i := slices.Index(order, m.focus)
	m.focus = order[(i+step+len(order))%len(order)]
}

func (m *Model) toTargets() {
	if slices.Contains(m.order(), OnTargets) {
		m.focus = OnTargets
	}
}

func (m *Model) toAllow() {
	if slices.Contains(m.order(), OnAllow) {
		m.focus = OnAllow
	}
}

// list handles a key on the choice list. Changing the filter takes the choice back.
func (m *Model) list(k Key, r rune) {
	matches := m.matches()
	switch k {
	case Up:
		m.cursor = max(m.cursor-1, 0)
	case Down:
		m.cursor = max(min(m.cursor+1, len(matches)-1), 0)
	case Enter:
		if m.cursor < len(matches) && matches[m.cursor].honest {
			m.chosen = matches[m.cursor].Name
			m.focus = OnAllow
		}
	case Backspace:
		if m.filter != "" {
			m.setFilter(m.filter[:len(m.filter)-1])
		}
	case Rune:
		if r > ' ' && r < 0x7f && len(m.filter) < 31 {
			m.setFilter(m.filter + strings.ToLower(string(r)))
		}
	}
}

func (m *Model) setFilter(f string) {
	m.filter, m.cursor, m.chosen = f, 0, ""
}

// Remaining is how long the question stays open.
func (m *Model) Remaining(now time.Time) time.Duration { return max(m.deadline.Sub(now), 0) }
