package app

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/core/safetext"
	"qubist/ui/internal/action"
	"qubist/ui/internal/cause"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
)

const (
	// consoleLines is how much of a console is kept of a failed start.
	consoleLines = 60
	// consoleCells bounds one of those lines.
	consoleCells = 400
)

// run carries out a job outside Update. Of a start that fails it brings what the guest
// printed meanwhile.
func run(ctx context.Context, local Local, b action.Backend, msg jobMsg) jobMsg {
	starts := local != nil && startsQube(msg.job)
	var from int64
	if starts {
		from = local.ConsoleEnd(msg.job.Qube)
	}
	msg.err = msg.job.Run(ctx, b)
	if msg.err != nil && starts {
		var err error
		if msg.console, err = local.ConsoleSince(msg.job.Qube, from, consoleLines); err != nil {
			msg.deaf = action.Sentence("The console of the guest cannot be read: " + err.Error())
		}
	}
	return msg
}

// startsQube reports whether a job is a start, or contains one.
func startsQube(j action.Job) bool { return j.Phase == "starting" || j.Phase == "restarting" }

// fail is what is known of a start that failed.
func (m *Model) fail(msg jobMsg, t state.Task, said, advice string) view.Failure {
	q, _ := m.sys.Find(msg.job.Qube)
	f := view.Failure{Qube: msg.job.Qube, Label: q.Label, At: m.now, Took: m.now.Sub(t.Since), Command: shownText(msg.job.Command), Said: said, Next: advice, Deaf: m.away()}
	if msg.deaf != "" {
		f.Deaf = safetext.Line(msg.deaf, consoleCells)
	}
	for _, l := range msg.console {
		f.Console = append(f.Console, safetext.Line(l, consoleCells))
	}
	if g, ok := cause.Of(f.Qube, said, f.Console, f.Deaf == ""); ok {
		f.Likely, f.Sign, f.Next = g.Likely, g.Evidence, g.Next
	}
	return f
}

// failureWhy says why there is no failed start to show, "" when there is.
func (m *Model) failureWhy(targets []state.Qube) string {
	if len(targets) == 0 {
		return "There is no qube here."
	}
	if _, ok := m.failures[targets[0].Name]; !ok {
		return "No start of " + targets[0].Name + " has failed since this console was opened."
	}
	return ""
}

func (m *Model) openFailure() tea.Cmd {
	m.pages[failure].(*failurePage).of = m.targets()[0].Name
	m.hushed = true
	return m.show(failure)
}

// failurePage is one failed start.
type failurePage struct {
	m *Model
	list
	of string
}

func (g *failurePage) read() func(context.Context) any { return nil }
func (g *failurePage) take(any) time.Duration          { return 0 }
func (g *failurePage) layout(view.Rect)                {}

func (g *failurePage) current() (state.Qube, bool) { return g.m.sys.Find(g.of) }

func (g *failurePage) keys() []binding {
	return []binding{
		{keys: []string{"enter"}, word: "details", help: "show the qube's details", topic: topicMove, do: func() tea.Cmd { return g.m.openNamed(g.of) }},
		backKeys(g.m),
	}
}

func (g *failurePage) draw(p view.Paint, r view.Rect) {
	f, ok := g.m.failures[g.of]
	if !ok {
		view.Settings{Waiting: shownText(g.of) + " has started since. esc goes back."}.Draw(p, r)
		return
	}
	f.Draw(p, r)
}
