package app

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/screen"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// View is empty: package screen paints the frames (see painter).
func (m *Model) View() tea.View { return tea.View{} }

// Frame draws what is to be seen now.
func (m *Model) Frame() screen.Frame {
	c, spot := m.frame()
	return screen.Frame{Lines: c.Lines(), Cursor: spot.On, X: spot.X, Y: spot.Y, Title: m.title()}
}

// title is the terminal window's: constant words and numbers only.
func (m *Model) title() string {
	active, all := m.sys.Counts()
	return fmt.Sprintf("Qubist: %d of %d running", active, all)
}

// frame draws everything onto a canvas.
func (m *Model) frame() (*widget.Canvas, view.Spot) {
	p := view.Paint{C: widget.NewCanvas(m.width, m.height), T: m.theme, Now: m.now}
	if m.tooSmall() {
		view.TooSmall(p)
		return p.C, view.Spot{}
	}
	body, spot := view.Frame(p, m.head(), m.foot())
	m.body(p, body)
	switch {
	case m.plan != nil:
		m.plan.view().Draw(p, body)
	case m.form != nil:
		spot = m.formView().Draw(p, body)
	case m.input != nil && m.input.choices != nil:
		m.input.choices().Draw(p, body)
	}
	return p.C, spot
}

func (m *Model) body(p view.Paint, r view.Rect) {
	if m.help != nil {
		view.Help{Topics: m.topics(), Top: m.help.top}.Draw(p, r)
		return
	}
	switch m.screen {
	case home:
		view.Home{System: m.sys, Table: &m.table, Journal: &m.log, Trend: &m.trend, Faults: m.faults, Stale: m.stale(), Waiting: m.waiting()}.Draw(p, r)
	case detail:
		q, _ := m.sys.Find(m.detail.name)
		busy, _ := m.log.Busy(q.Name)
		view.Detail{Overview: view.Overview{System: m.sys, Qube: q, Trend: &m.trend, Busy: busy, Fault: m.faults[q.Name]},
			Items: m.detailItems(), At: m.detail.at, Top: m.detail.top, Stale: m.stale()}.Draw(p, r)
	case journal:
		view.Journal{Journal: &m.log, At: m.journal.at, Top: m.journal.top}.Draw(p, r)
	default:
		m.pages[m.screen].draw(p, r)
	}
}

// waiting is said while there are no qubes to show.
func (m *Model) waiting() string {
	switch {
	case m.sys.Connected:
		return "This system has no qubes yet. n creates one."
	case m.sys.Why == "":
		return "Connecting to qubesd at " + m.opts.Socket + " …"
	}
	return fmt.Sprintf("qubesd does not answer at %s. It said: %s. The console keeps trying; it fills as soon as there is an answer.", m.opts.Socket, m.sys.Why)
}

func (m *Model) head() view.Head {
	h := view.Head{Instance: m.opts.Instance, MemKiB: m.sys.Memory(), Questions: m.open, ReadOnly: m.opts.ReadOnly,
		Link: m.link(), LinkSince: m.linkSince, Platform: platform(m.sys.Status)}
	h.Active, h.All = m.sys.Counts()
	switch {
	case m.help != nil:
		h.Screen = "Keys"
	case m.screen == detail:
		h.Screen = "Qube " + m.detail.name
	case m.screen == journal:
		h.Screen = "Messages"
	}
	for _, t := range tabs {
		h.Tabs = append(h.Tabs, view.Tab{Key: t.key, Name: t.name, Here: m.screen == t.at && m.help == nil})
	}
	return h
}

// platform says in a line what runs the qubes, and why it is not faster.
func platform(status map[string]string) string {
	accel, why := strings.ToLower(status["accel"]), status["accel_reason"]
	text := ""
	switch accel {
	case "":
		return ""
	case "kvm":
		text = "KVM: hardware virtualisation"
	case "tcg":
		text = "TCG: software emulation, qubes are slow"
	default:
		text = status["accel"]
	}
	if why != "" {
		text += " (" + why + ")"
	}
	return text
}

func (m *Model) foot() view.Foot {
	f := view.Foot{Tasks: m.log.Tasks, Keys: m.keyLine()}
	if n, ok := m.log.Last(); ok && !m.hushed {
		f.Note = &n
	}
	if in := m.input; in != nil {
		f.Input = &view.Input{Prompt: in.prompt, Label: in.label, Editor: &in.editor, Hint: in.hint, Wrong: in.wrong}
	}
	if m.copying {
		f.Note = &state.Note{What: "Copy the command line of which action?"}
		f.Tasks = nil
	}
	return f
}

// bodyRect is the room of the body in the next frame.
func (m *Model) bodyRect() view.Rect {
	if m.tooSmall() {
		return view.Rect{}
	}
	return view.Room(m.width, m.height, m.foot())
}

func (m *Model) bodyHeight() int { return max(m.height-6, 1) }

// layout keeps every list's cursor in view after anything changed.
func (m *Model) layout() {
	r := m.bodyRect()
	if r.H < 1 {
		return
	}
	if n := m.detailLen(); m.screen == detail && n > 0 {
		_, rows := view.DetailRows(r)
		d := &m.detail
		d.at = max(min(d.at, n-1), 0)
		d.top = state.Scroll(d.top, d.at, n, rows)
		if d.at == 1 {
			d.top = 0 // the heading above the first line
		}
	}
	if pg := m.pages[m.screen]; pg != nil {
		pg.layout(r)
	}
	if n := len(m.log.Notes); m.screen == journal && n > 0 {
		j := &m.journal
		j.at = max(min(j.at, n-1), 0)
		j.top = state.Scroll(j.top, j.at, n, view.JournalRows(r, len(m.log.Tasks)))
	}
	if m.help != nil {
		n := view.Help{Topics: m.topics()}.Lines(r.W)
		m.help.top = max(min(m.help.top, n-r.H), 0)
	}
}
