package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
)

// lendPause is the least time between two loans of the terminal for the same questions, so
// that a front end which ends at once does not flicker for ever.
const lendPause = time.Second

func (m *Model) awaitQuestions() tea.Cmd {
	q, ctx := m.opts.Questions, m.ctx
	if q == nil {
		return nil
	}
	return func() tea.Msg {
		select {
		case <-q.Changed():
			return questionsMsg{q.Open()}
		case <-ctx.Done():
			return nil
		}
	}
}

// lendIfAsked gives the terminal to the question's own program when one waits.
func (m *Model) lendIfAsked() tea.Cmd {
	if m.open == 0 || m.opts.Attach == nil {
		return nil
	}
	if m.now.Sub(m.lent) < lendPause && m.open <= m.lentOpen {
		m.tell(state.Note{Grade: state.Warn, What: fmt.Sprintf("Qubes wait for %d answers.", m.open), Next: "a shows the question."})
		return nil
	}
	return m.lend()
}

func (m *Model) lend() tea.Cmd {
	c, err := m.opts.Attach(m.ctx)
	if err != nil {
		return m.lendFailed(err)
	}
	m.lentOpen = m.open
	m.opts.Log.Info("lending the terminal to the question")
	said := &lastWords{}
	c.Stderr = said
	return tea.Exec(&loan{c, m.terminal}, func(err error) tea.Msg {
		if text := said.String(); err != nil && text != "" {
			err = errors.New(text)
		}
		return lentMsg{err}
	})
}

func (m *Model) returned(err error) tea.Cmd {
	m.lent = m.now
	if m.opts.Questions != nil {
		m.open = m.opts.Questions.Open()
	}
	if err != nil {
		return m.lendFailed(err)
	}
	return m.lendIfAsked()
}

func (m *Model) lendFailed(err error) tea.Cmd {
	evidence, _ := action.Explain(err)
	m.lent, m.lentOpen = m.now, m.open
	m.tell(state.Note{Grade: state.Bad, What: "The question could not be shown.", Evidence: evidence,
		Next: "It is denied when its time is over. a tries again."})
	return nil
}

// lastWords keeps the beginning of what a program writes to its standard error.
type lastWords struct{ bytes.Buffer }

// wordsLimit bounds it, in bytes.
const wordsLimit = 2000

func (w *lastWords) Write(p []byte) (int, error) {
	if room := wordsLimit - w.Len(); room > 0 {
		w.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// loan runs a program on the terminal, which is ours before and after.
type loan struct {
	*exec.Cmd
	t terminal
}

// Run implements tea.ExecCommand.
func (l *loan) Run() error { return l.t.Lend(l.Cmd.Run) }

// SetStdin implements tea.ExecCommand; the program gets what we have.
func (l *loan) SetStdin(r io.Reader) { l.Stdin = r }

// SetStdout implements tea.ExecCommand.
func (l *loan) SetStdout(w io.Writer) { l.Stdout = w }

// SetStderr implements tea.ExecCommand; its standard error is kept for the report.
func (l *loan) SetStderr(io.Writer) {}
