package app

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/core/safetext"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// page is a screen besides the table, a qube's details and the messages.
type page interface {
	mover
	// keys are the page's own; moving and what works everywhere come after them.
	keys() []binding
	// layout keeps the cursor in view; r is the body's room in the next frame.
	layout(r view.Rect)
	draw(p view.Paint, r view.Rect)
	// read fetches what the page shows; nil when events bring it. It runs outside Update.
	read() func(ctx context.Context) any
	// take receives what read gave and says when to read again; 0 is never.
	take(data any) time.Duration
}

// onQubes is a page whose cursor stands on a qube: actions apply to it.
type onQubes interface {
	current() (state.Qube, bool)
}

// tabs are the screens with a key, in the order of the second line.
var tabs = []struct {
	key, name, word string
	at              place
	help            string
}{
	{"1", "Qubes", "home", home, "the table of qubes"},
	{"5", "Network", "network", network, "who is connected through whom, with addresses"},
	{"7", "Storage", "storage", storage, "pools and volumes: how full, what is kept"},
	{"9", "Logs", "logs", logbook, "what daemons and guests write, merged"},
	{"0", "Health", "health", health, "everything that needs a look, on one page"},
	{",", "Settings", "settings", settings, "properties of the whole system"},
}

// readLimit bounds one reading of a page.
const readLimit = 30 * time.Second

type (
	pageMsg struct {
		at   place
		gen  int
		data any
	}
	pageDueMsg struct {
		at  place
		gen int
	}
)

func (m *Model) pageKeys() []binding {
	out := make([]binding, 0, len(tabs))
	for _, t := range tabs {
		out = append(out, binding{keys: []string{t.key}, help: t.help, topic: topicScreens, do: func() tea.Cmd { return m.show(t.at) }})
	}
	return out
}

// show changes the screen.
func (m *Model) show(at place) tea.Cmd {
	if m.screen != at {
		m.before = m.screen
	}
	m.screen = at
	m.shown++ // readings for what was shown before end here
	return m.readPage()
}

// back leaves a page: to the table.
func (m *Model) back() tea.Cmd {
	if n, ok := m.log.Last(); ok && !m.hushed && n.Grade >= state.Warn {
		m.hushed = true
		return nil
	}
	return m.show(home)
}

func backKeys(m *Model) binding {
	return binding{keys: []string{"esc", "q", "left", "h"}, shown: "esc", word: "back", help: "back to the table", topic: topicMove, do: m.back}
}

// readPage starts the reading that the present page needs.
func (m *Model) readPage() tea.Cmd {
	pg := m.pages[m.screen]
	if pg == nil {
		return nil
	}
	read := pg.read()
	if read == nil {
		return nil
	}
	at, gen, parent := m.screen, m.shown, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, readLimit)
		defer cancel()
		return pageMsg{at, gen, read(ctx)}
	}
}

// pageRead takes a reading. One that comes late is still the newest there is.
func (m *Model) pageRead(msg pageMsg) tea.Cmd {
	again := m.pages[msg.at].take(msg.data)
	if again == 0 || msg.gen != m.shown {
		return nil
	}
	return tea.Tick(again, func(time.Time) tea.Msg { return pageDueMsg{msg.at, msg.gen} })
}

// list is the cursor of a page over n lines.
type list struct {
	listState
	n int
}

func (l *list) Move(n int) { l.at = max(min(l.at+n, l.n-1), 0) }

// scroll keeps the cursor inside and in view.
func (l *list) scroll(n, rows int) {
	l.n = n
	l.at = max(min(l.at, n-1), 0)
	l.top = state.Scroll(l.top, l.at, n, rows)
}

// failure is an error of a reading in a sentence.
func failure(err error) string {
	evidence, _ := action.Explain(err)
	return evidence
}

// networkPage is the tree of qubes by netvm.
type networkPage struct {
	m *Model
	list
	name string // the qube under the cursor
	rows []state.NetRow
}

func (g *networkPage) read() func(context.Context) any { return nil }
func (g *networkPage) take(any) time.Duration          { return 0 }

// arrange follows the system; the cursor stays on its qube.
func (g *networkPage) arrange() {
	g.rows = state.NetTree(g.m.sys)
	for i, r := range g.rows {
		if r.Qube.Name == g.name && r.Heading == "" {
			g.at = i
		}
	}
}

func (g *networkPage) Move(n int) {
	g.list.Move(n)
	for g.at < len(g.rows)-1 && g.rows[g.at].Heading != "" {
		if n < 0 && g.at > 0 {
			g.at--
		} else {
			g.at++
		}
	}
	g.note()
}

func (g *networkPage) note() {
	if g.at < len(g.rows) {
		g.name = g.rows[g.at].Qube.Name
	}
}

func (g *networkPage) current() (state.Qube, bool) {
	if g.at < len(g.rows) && g.rows[g.at].Heading == "" {
		return g.rows[g.at].Qube, true
	}
	return state.Qube{}, false
}

func (g *networkPage) keys() []binding {
	q, ok := g.current()
	why := ""
	if !ok {
		why = "There is no qube here."
	}
	return []binding{
		{keys: []string{"enter", "right", "l"}, shown: "enter", word: "open", help: "show the qube's details", topic: topicMove, why: why, do: func() tea.Cmd { return g.m.openQube(q.Name) }},
		backKeys(g.m),
	}
}

func (g *networkPage) layout(r view.Rect) {
	g.arrange()
	g.scroll(len(g.rows), view.ListRows(r))
	g.note()
}

func (g *networkPage) draw(p view.Paint, r view.Rect) {
	view.Network{Rows: g.rows, At: g.at, Top: g.top, Stale: g.m.stale(), Waiting: g.m.waiting()}.Draw(p, r)
}

// storagePage is pools and volumes.
type storagePage struct {
	m *Model
	list
	storage state.Storage
	volumes []state.Volume
	order   state.VolumeOrder
	find    string
	reading bool
	wrong   string // why the last reading failed
}

// storageRest is the pause between two readings while the page is shown.
const storageRest = 20 * time.Second

func (g *storagePage) read() func(context.Context) any {
	if g.m.opts.Source == nil || !g.m.sys.Connected {
		return func(context.Context) any { return nil }
	}
	g.reading = true
	src := g.m.opts.Source
	return func(ctx context.Context) any {
		s, err := src.Storage(ctx)
		if err != nil {
			return err
		}
		return s
	}
}

func (g *storagePage) take(data any) time.Duration {
	g.reading = false
	switch d := data.(type) {
	case state.Storage:
		g.storage, g.wrong = d, ""
	case error:
		g.wrong = failure(d)
	default:
		return time.Second // not connected yet
	}
	return storageRest
}

func (g *storagePage) keys() []binding {
	why := ""
	if g.at >= len(g.volumes) {
		why = "There is no volume here."
	}
	return []binding{
		{keys: []string{"enter", "right", "l"}, shown: "enter", word: "open qube", help: "show the details of the volume's qube", topic: topicMove, why: why, do: func() tea.Cmd { return g.m.openQube(g.volumes[g.at].Owner) }},
		{keys: []string{"/"}, word: "filter", help: "show only volumes whose qube, name and pool have these words", topic: topicMove, do: g.openFind},
		{keys: []string{"o"}, word: "sort", help: "sort by use, size or qube", topic: topicMove, do: func() tea.Cmd { g.order, g.at = g.order.Next(), 0; return nil }},
		backKeys(g.m),
	}
}

func (g *storagePage) openFind() tea.Cmd {
	before := g.find
	in := &input{prompt: "/", editor: widget.NewEditor(before, nil), keys: enterKeys("keep"), hint: "words of qube, volume or pool"}
	in.changed = func() { g.find = strings.TrimSpace(in.editor.Text()) }
	in.enter = func(string) tea.Cmd { g.m.input = nil; return nil }
	in.cancel = func() tea.Cmd { g.find = before; return nil }
	g.m.input = in
	return nil
}

func (g *storagePage) layout(r view.Rect) {
	g.volumes = g.storage.Sorted(g.order, g.find)
	g.scroll(len(g.volumes), g.view().StorageRows(r))
}

func (g *storagePage) view() view.Storage {
	waiting := "Reading pools and volumes …"
	switch {
	case g.wrong != "":
		waiting = "Pools and volumes could not be read: " + g.wrong
	case !g.m.sys.Connected:
		waiting = g.m.waiting()
	}
	return view.Storage{Storage: g.storage, Volumes: g.volumes, Order: g.order, Find: shownText(g.find), At: g.at, Top: g.top, Reading: g.reading, Waiting: waiting}
}

func (g *storagePage) draw(p view.Paint, r view.Rect) { g.view().Draw(p, r) }

// healthPage is what needs a look.
type healthPage struct {
	m *Model
	list
	machine  state.Machine
	findings []state.Finding
}

// healthRest is the pause between two looks at the machine.
const healthRest = 5 * time.Second

func (g *healthPage) read() func(context.Context) any {
	local := g.m.opts.Local
	if local == nil {
		return nil
	}
	pools := g.m.storage().storage.Pools
	return func(context.Context) any { return local.Look(pools) }
}

func (g *healthPage) take(data any) time.Duration {
	if d, ok := data.(state.Machine); ok {
		g.machine = d
	}
	return healthRest
}

func (g *healthPage) current() (state.Qube, bool) {
	if g.at < len(g.findings) {
		return g.m.sys.Find(g.findings[g.at].Qube)
	}
	return state.Qube{}, false
}

func (g *healthPage) keys() []binding {
	q, ok := g.current()
	why := ""
	if !ok {
		why = "This line is not about a qube."
	}
	return []binding{
		{keys: []string{"enter", "right", "l"}, shown: "enter", word: "open", help: "show the qube's details", topic: topicMove, why: why, do: func() tea.Cmd { return g.m.openQube(q.Name) }},
		backKeys(g.m),
	}
}

func (g *healthPage) layout(r view.Rect) {
	g.findings = g.connection()
	away := g.m.away()
	if g.m.opts.Local != nil && g.machine.At.IsZero() {
		away = "Looking …"
	}
	g.findings = append(g.findings, state.Examine(g.m.sys, g.machine, away, g.m.faults, g.m.now)...)
	g.n = len(g.findings)
	g.at = max(min(g.at, g.n-1), 0)
	g.top = view.Health{Findings: g.findings, At: g.at}.Window(g.top, r)
}

// connection is the finding about the server itself.
func (g *healthPage) connection() []state.Finding {
	m := g.m
	f := state.Finding{Topic: "Connection", Grade: state.Done}
	since := widget.Span(m.now.Sub(m.linkSince))
	switch m.link() {
	case view.Live:
		f.Text = "qubesd answers at " + m.opts.Socket + " and has sent events for " + since + "."
		if v := m.sys.Status["version"]; v != "" {
			f.Text += " It is version " + v + "."
		}
	case view.Silent:
		f.Grade, f.Text, f.Next = state.Bad, "qubesd has not answered for "+since+".", "What is shown may be old. The console keeps asking."
	default:
		f.Grade, f.Text, f.Next = state.Bad, action.Sentence("There is no connection to qubesd at "+m.opts.Socket+": "+m.sys.Why), "What is shown is old. The console keeps trying."
	}
	f.Text = safetext.Line(f.Text, 1000)
	return []state.Finding{f}
}

func (g *healthPage) draw(p view.Paint, r view.Rect) {
	view.Health{Findings: g.findings, At: g.at, Top: g.top}.Draw(p, r)
}
