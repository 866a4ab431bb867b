package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/core/safetext"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/view"
	"qubist/ui/internal/widget"
)

// jobMsg is the end of a job.
type jobMsg struct {
	id  int
	job action.Job
	err error
}

// plan is what waits for the user's yes.
type plan struct {
	title, danger, verb string
	jobs                []action.Job
	lines               []view.PlanLine
}

// start runs jobs, each as a task of its own. New edits among them are one change.
func (m *Model) start(jobs ...action.Job) tea.Cmd {
	cmds := make([]tea.Cmd, 0, len(jobs))
	change := int64(0)
	for _, j := range jobs {
		switch {
		case j.Edit == nil:
		case j.Way != action.Fresh:
			m.taking++
		default:
			if change == 0 {
				change = m.ledger.Begin()
			}
			j.Change = change
		}
		j.Doing, j.Done, j.Failed = shownText(j.Doing), shownText(j.Done), shownText(j.Failed)
		delete(m.faults, j.Qube)
		id := m.log.Begin(state.Task{Doing: j.Doing, Qube: j.Qube, Phase: j.Phase, Command: shownText(j.Command), Since: m.now})
		m.opts.Log.Info("doing", "command", j.Command)
		parent, b := m.ctx, m.opts.Backend
		cmds = append(cmds, func() tea.Msg {
			ctx, cancel := context.WithTimeout(parent, j.Timeout)
			defer cancel()
			return jobMsg{id, j, j.Run(ctx, b)}
		})
	}
	m.hushed = true
	return tea.Batch(cmds...)
}

// shownText makes words that contain what the user typed fit to show.
func shownText(s string) string { return safetext.Line(s, 400) }

func (m *Model) finished(msg jobMsg) tea.Cmd {
	t, ok := m.log.End(msg.id)
	if !ok {
		return nil
	}
	j := msg.job
	save := m.enter(j, msg.err)
	if cmd, was := m.obstacle(j, msg.err); was {
		return cmd
	}
	n := state.Note{Grade: state.Done, What: j.Done, Command: shownText(j.Command), Call: j.Call}
	if took := m.now.Sub(t.Since); took >= 500*time.Millisecond {
		n.What += fmt.Sprintf(" in %.1f s", took.Seconds())
	}
	if save != nil {
		n.Offer = offers[j.Way]
	}
	if msg.err != nil {
		evidence, next := action.Explain(msg.err)
		n.Grade, n.What, n.Evidence, n.Next = state.Bad, action.Sentence(j.Failed), evidence, next
		if j.Phase == "starting" || j.Phase == "restarting" {
			m.faults[j.Qube] = evidence
		}
		m.opts.Log.Warn("failed", "command", j.Command, "err", safetext.Line(msg.err.Error(), 2000))
	}
	m.tell(n)
	return save
}

// act does a to the targets: at once, or after showing what it means.
func (m *Model) act(a action.Action, targets []state.Qube) tea.Cmd {
	if len(targets) == 0 {
		return m.warn("There is no qube to " + a.Title + ".")
	}
	e := m.env()
	p := plan{verb: a.Title, danger: a.Danger}
	refusal := ""
	for _, q := range targets {
		line := view.PlanLine{Label: q.Label, Name: q.Name}
		if why := a.Why(e, q); why != "" {
			line.No, line.Text = true, why
			refusal = why
		} else {
			j := a.Job(e, q)
			line.Text = string(q.Phase)
			p.jobs = append(p.jobs, j)
		}
		p.lines = append(p.lines, line)
	}
	switch {
	case len(p.jobs) == 0 && len(targets) == 1:
		return m.warn(refusal)
	case len(p.jobs) == 0:
		return m.warn(fmt.Sprintf("None of the %d marked qubes can be done: %s", len(targets), refusal))
	case len(targets) == 1 && a.Danger == "":
		return m.start(p.jobs...)
	case len(targets) == 1:
		p.title = fmt.Sprintf("%s %s?", capital(a.Title), targets[0].Name)
	case len(p.jobs) == len(targets):
		p.title = fmt.Sprintf("%s %d qubes", capital(a.Title), len(targets))
	default:
		p.title = fmt.Sprintf("%s %d of %d qubes", capital(a.Title), len(p.jobs), len(targets))
	}
	m.plan = &p
	return nil
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (p *plan) view() view.Plan {
	verb := p.verb
	switch {
	case len(p.jobs) == 1 && p.jobs[0].Qube != "":
		verb += " " + p.jobs[0].Qube
	case len(p.lines) > 1:
		verb = fmt.Sprintf("%s %d", verb, len(p.jobs))
	}
	commands := "copy command"
	if len(p.jobs) > 1 {
		commands = fmt.Sprintf("copy %d commands", len(p.jobs))
	}
	return view.Plan{Title: p.title, Danger: p.danger, Lines: p.lines,
		Keys: []view.Key{{Key: "enter", Word: verb}, {Key: "y", Word: commands}, {Key: "esc", Word: "leave"}}}
}

func (m *Model) planKey(key string) tea.Cmd {
	p := m.plan
	switch key {
	case "enter":
		m.plan = nil
		m.table.ClearMarks()
		return m.start(p.jobs...)
	case "y":
		return m.copy(p.jobs)
	case "esc", "q", "n":
		m.plan = nil
	}
	return nil
}

// copy puts the jobs' command lines on the clipboard.
func (m *Model) copy(jobs []action.Job) tea.Cmd {
	lines := make([]string, len(jobs))
	for i, j := range jobs {
		lines[i] = j.Command
	}
	return m.copyText(strings.Join(lines, "\n"))
}

// copyText asks the terminal to take text: our own words and what the user typed, never a
// qube's.
func (m *Model) copyText(text string) tea.Cmd {
	lines := strings.Split(text, "\n")
	what := "copied: " + shownText(lines[0])
	if n := len(lines) - 1; n > 0 {
		what += fmt.Sprintf(" and %d more", n)
	}
	for i, l := range lines {
		lines[i] = m.env().Portable(l)
	}
	m.tell(state.Note{What: what})
	all, t := widget.Printable(strings.Join(lines, "\n")), m.terminal
	return func() tea.Msg {
		if t != nil {
			t.Copy(all)
		}
		return nil
	}
}

// copyPlain asks the terminal to take one cleaned line.
func (m *Model) copyPlain(text, told string) tea.Cmd {
	m.tell(state.Note{What: told})
	line, t := safetext.Line(text, 0), m.terminal
	return func() tea.Msg {
		if t != nil {
			t.Copy(line)
		}
		return nil
	}
}

// lastCommand is the newest command line told.
func (m *Model) lastCommand() string {
	for i := len(m.log.Notes) - 1; i >= 0; i-- {
		if c := m.log.Notes[i].Command; c != "" {
			return c
		}
	}
	return ""
}
