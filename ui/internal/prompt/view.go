package prompt

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gdamore/tcell/v2"

	"qubist/core/prompt/wire"
	"qubist/core/safetext"
)

// The smallest screen on which a question can be shown.
const (
	minWidth  = 56
	minHeight = 12
)

var (
	plain  = tcell.StyleDefault
	dim    = plain.Foreground(tcell.ColorGray)
	bold   = plain.Bold(true)
	warn   = plain.Foreground(tcell.ColorYellow)
	accent = plain.Foreground(tcell.ColorTeal)
)

// draw draws the screen and reports whether everything the user must see is on it.
func (m *Model) draw(s tcell.Screen, now time.Time) (complete bool) {
	w, h := s.Size()
	c := canvas{s, w, h}
	if !m.open {
		m.drawIdle(c)
		return false
	}
	l := m.layout(w, h)
	if !l.fits {
		m.drawSmall(c, now)
		return false
	}
	m.drawSource(c, l)
	m.drawService(c, l)
	m.drawTargets(c, l)
	m.drawFacts(c, l)
	m.drawButtons(c, l.buttons, now)
	return true
}

// layout says on which rows what stands.
type layout struct {
	fits              bool
	barHeight         int
	asks, service     int
	serviceLines      []string
	argumentLines     []string
	targets, listRows int
	altered           bool
	facts, buttons    int
}

const indent = 3

// layout spends rows on what must be seen first, then on air.
func (m *Model) layout(w, h int) layout {
	q := &m.question
	service, argument := safetext.Name(q.Service, wire.MaxService), safetext.Name(strings.TrimPrefix(q.Argument, "+"), wire.MaxArgument)
	if w < minWidth || h < minHeight {
		return layout{}
	}
	l := layout{barHeight: 1, altered: service != q.Service || argument != strings.TrimPrefix(q.Argument, "+") || safetext.Name(q.Source.Name, wire.MaxName) != q.Source.Name}
	l.serviceLines = wrap(service, w-2*indent-4)
	if argument != "" {
		l.argumentLines = wrap(argument, w-2*indent-15)
	}
	rows := min(len(m.targets), 3)
	// bar, asks, service, argument, "in" and list, facts 2, buttons 2
	need := 1 + 1 + len(l.serviceLines) + len(l.argumentLines) + 1 + max(rows, 1) + 2 + 2
	if l.altered {
		need++
	}
	spare := h - need
	l.fits = spare >= 0 && len(safetext.Name(q.Source.Name, wire.MaxName))+indent+4 <= w
	take := func(n int) int {
		if spare < n {
			return 0
		}
		spare -= n
		return n
	}
	air := [4]int{}
	for i := range air {
		air[i] = take(1)
	}
	l.barHeight += take(2)
	rows += min(max(spare-1, 0), max(len(m.targets)-rows, 0))
	l.listRows = max(rows, 1)
	l.asks = l.barHeight + air[0]
	l.service = l.asks + 1
	l.targets = l.service + len(l.serviceLines) + len(l.argumentLines) + air[1]
	if l.altered {
		l.targets++
	}
	l.facts = l.targets + 1 + l.listRows + air[2]
	l.buttons = h - 2 - min(air[3], 1)
	return l
}

func (m *Model) drawSource(c canvas, l layout) {
	p := m.question.Source
	style := c.labelStyle(p)
	for y := range l.barHeight {
		for x := range c.w {
			c.s.SetContent(x, y, ' ', nil, style)
		}
	}
	y := l.barHeight / 2
	c.text(indent, y, style, safetext.Name(p.Name, wire.MaxName))
	name := labelName(p)
	if indent+len(p.Name)+len(name)+6 <= c.w {
		c.right(y, indent, style, name)
	}
	c.text(indent, l.asks, plain, "asks to run")
}

func (m *Model) drawService(c canvas, l layout) {
	y := l.service
	for i, line := range l.serviceLines {
		x := indent + 4
		if i == 0 {
			// The part before the first dot says who defined the service, the rest what it does.
			if dot := strings.IndexByte(line, '.'); dot >= 0 && dot < len(line)-1 {
				x = c.text(x, y, plain, line[:dot+1])
				line = line[dot+1:]
			}
		}
		c.text(x, y, bold, line)
		y++
	}
	for i, line := range l.argumentLines {
		if i == 0 {
			c.text(indent+4, y, dim, "argument")
		}
		c.text(indent+13, y, plain, line)
		y++
	}
	if l.altered {
		c.text(indent, y, warn, "Some characters cannot be shown and appear as '_'.")
	}
}

func (m *Model) drawTargets(c canvas, l layout) {
	y := l.targets
	x := c.text(indent, y, plain, "in")
	if len(m.targets) > 1 {
		hint := "  Tab: choose"
		switch {
		case m.filter != "":
			hint = "  filter: " + m.filter
		case m.focus == OnTargets:
			hint = "  type to filter, up and down, Enter chooses"
		}
		x = c.text(x, y, dim, hint)
		if m.focus == OnTargets {
			c.text(x, y, accent.Reverse(true), " ")
		}
	}
	matches := m.matches()
	if len(matches) > l.listRows {
		c.right(y, indent, dim, fmt.Sprintf("%d of %d", min(m.cursor+1, len(matches)), len(matches)))
	}
	if len(matches) == 0 {
		why := "no target is left to choose"
		if m.filter != "" {
			why = "no target has this in its name"
		}
		c.text(indent+4, y+1, dim, why)
		return
	}
	names := 12
	for _, t := range matches {
		names = max(names, len(t.shown))
	}
	names = min(names, c.w-2*indent-8)
	at := m.cursor
	if m.focus != OnTargets { // what would be allowed is always in view
		at = max(slices.IndexFunc(matches, func(t target) bool { return t.Name == m.chosen }), 0)
	}
	first := min(max(at-l.listRows/2, 0), max(len(matches)-l.listRows, 0))
	for i := first; i < min(first+l.listRows, len(matches)); i++ {
		y++
		m.drawTarget(c, y, names, matches[i], i == m.cursor && m.focus == OnTargets)
	}
}

// drawTarget draws one line of the list; names is the width of the name's column.
func (m *Model) drawTarget(c canvas, y, names int, t target, cursor bool) {
	style := plain
	mark := "  "
	if t.Name == m.chosen {
		mark, style = "> ", bold
	}
	if cursor {
		style = style.Reverse(true)
	}
	c.text(indent+2, y, accent.Bold(true), mark)
	chip := c.chip(indent+4, y, t.Party)
	c.text(chip+1, y, style, fmt.Sprintf(" %-*s ", names, safetext.Name(t.shown, names)))
	x := chip + 4 + names
	if !t.honest {
		c.text(x, y, warn, "cannot be shown")
	} else if name := labelName(t.Party); x+len(name)+indent <= c.w {
		c.text(x, y, dim, name)
	}
}

func (m *Model) drawFacts(c canvas, l layout) {
	rule := "not told"
	if r := m.question.Rule; r != "" {
		rule = safetext.Name(r, wire.MaxRule)
		if room := c.w - 2*indent - 8; len(rule) > room { // file and line are at its end
			rule = "..." + rule[len(rule)-room+3:]
		}
	}
	c.text(indent, l.facts, dim, "Rule")
	c.text(indent+8, l.facts, plain, rule)
	more := "nothing else is waiting"
	if n := m.waiting - 1; n > 0 {
		more = fmt.Sprintf("%d more waiting", n)
		if m.question.Same > 0 {
			more += fmt.Sprintf("; Deny also denies %d like this", m.question.Same)
		}
	}
	c.text(indent, l.facts+1, dim, "Queue")
	c.text(indent+8, l.facts+1, plain, more)
}

func (m *Model) drawButtons(c canvas, y int, now time.Time) {
	armed := m.Armed(now)
	x := m.button(c, indent, y, "Deny", m.focus == OnDeny, armed)
	label, why := "Allow", m.WhyNotAllow()
	left := fmt.Sprintf("closes in %d s", int(m.Remaining(now).Round(time.Second)/time.Second))
	if named := "Allow in " + m.chosen; why == "" && x+4+len(named)+6+len(left)+indent <= c.w {
		label = named
	}
	m.button(c, x+4, y, label, m.focus == OnAllow, armed && why == "")
	c.right(y, indent, dim, left)
	switch {
	case !armed:
		c.text(indent, y+1, dim, "Read first: keys count in a moment.")
	case why != "":
		c.text(indent, y+1, warn, why)
	case m.focus == OnAllow:
		c.text(indent, y+1, dim, "Enter allows this one call. Esc denies.")
	default:
		c.text(indent, y+1, dim, "Enter, Esc: deny.   Tab: other choice.")
	}
}

// button draws one button; brackets show the focus without colour.
func (m *Model) button(c canvas, x, y int, label string, focused, enabled bool) int {
	style := plain
	switch {
	case !enabled:
		style = dim
	case focused:
		style = accent.Bold(true).Reverse(true)
	}
	open, end := "  ", "  "
	if focused {
		open, end = "[ ", " ]"
	}
	return c.text(x, y, style, open+label+end)
}

// drawSmall offers to deny when there is no room for the question.
func (m *Model) drawSmall(c canvas, now time.Time) {
	c.text(0, 0, warn, "This window is too small for a question.")
	c.text(0, 1, plain, fmt.Sprintf("Make it larger (%dx%d now), or", c.w, c.h))
	m.button(c, 0, 2, "Deny", true, m.Armed(now))
	c.right(2, 0, dim, fmt.Sprintf("%d s", int(m.Remaining(now).Round(time.Second)/time.Second)))
}

func (m *Model) drawIdle(c canvas) {
	if m.waiting == 0 {
		c.text(indent, 1, plain, "No question is open.")
	}
	c.text(indent, 2, dim, "q leaves.")
}
