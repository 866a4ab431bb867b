package app

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"qubist/core/adminapi"
	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/view"
)

const (
	pingEvery   = 5 * time.Second
	pingTimeout = 4 * time.Second
	// fastTick is the clock's step while something on the screen counts seconds.
	fastTick = time.Second
	slowTick = 30 * time.Second
	// sampleGap keeps the curves at one sample per statistics report.
	sampleGap = 2500 * time.Millisecond
)

type (
	systemMsg    struct{ sys state.System }
	questionsMsg struct{ open int }
	pingMsg      struct{ err error }
	pingDueMsg   struct{}
	tickMsg      struct{ gen int }
	lentMsg      struct{ err error }
)

// Update handles one message. It never waits.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.now = m.opts.Clock()
	cmd := m.handle(msg)
	m.layout()
	return m, tea.Batch(cmd, m.retick())
}

func (m *Model) handle(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.forget()
	case tea.ColorProfileMsg:
		m.profile = msg.Profile
		m.theme = theme.New(m.profile, m.dark)
	case tea.BackgroundColorMsg:
		m.dark = msg.IsDark()
		m.theme = theme.New(m.profile, m.dark)
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	case systemMsg:
		m.take(msg.sys)
		return m.awaitSystem()
	case questionsMsg:
		m.open = msg.open
		return tea.Batch(m.awaitQuestions(), m.lendIfAsked())
	case pingMsg:
		m.ponged(msg.err)
		return tea.Tick(pingEvery, func(time.Time) tea.Msg { return pingDueMsg{} })
	case pingDueMsg:
		return m.ping()
	case tickMsg:
		if msg.gen == m.ticking {
			return m.tick()
		}
	case jobMsg:
		return m.finished(msg)
	case pageMsg:
		return m.pageRead(msg)
	case pageDueMsg:
		if msg.gen == m.shown && msg.at == m.screen {
			return m.readPage()
		}
	case keptMsg:
		m.keptAs(msg.err)
	case lentMsg:
		return m.returned(msg.err)
	}
	return nil
}

// take puts a new picture in place of the old one.
func (m *Model) take(sys state.System) {
	if sys.Connected != m.sys.Connected {
		m.linkSince = m.now
		m.silent = m.silent && sys.Connected
	}
	m.sys = sys
	for name := range m.faults {
		if q, ok := sys.Find(name); !ok || q.Phase.Active() {
			delete(m.faults, name)
		}
	}
	if m.now.Sub(m.observed) >= sampleGap {
		m.observed = m.now
		m.trend.Observe(sys)
	}
	m.table.Arrange(sys)
	if _, ok := sys.Find(m.detail.name); !ok && m.screen == detail && sys.Connected {
		m.show(home) // which reads nothing
		m.tell(state.Note{Grade: state.Warn, What: m.detail.name + " is gone."})
	}
}

func (m *Model) awaitSystem() tea.Cmd {
	src, ctx := m.opts.Source, m.ctx
	return func() tea.Msg {
		select {
		case <-src.Changed():
			return systemMsg{src.System()}
		case <-ctx.Done():
			return nil
		}
	}
}

// ping asks for a sign of life. An answer of any kind, also an exception, is one.
func (m *Model) ping() tea.Cmd {
	src, parent := m.opts.Source, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, pingTimeout)
		defer cancel()
		err := src.Ping(ctx)
		var answer *adminapi.Error
		if errors.As(err, &answer) || errors.Is(err, adminapi.ErrRefused) {
			err = nil
		}
		return pingMsg{err}
	}
}

func (m *Model) ponged(err error) {
	silent := m.sys.Connected && err != nil
	if silent != m.silent {
		m.silent, m.linkSince = silent, m.now
		if silent {
			m.linkSince = m.now.Add(-pingTimeout)
			m.opts.Log.Warn("qubesd does not answer", "err", err)
		}
	}
}

// interval is how often the clock must move for what is on the screen.
func (m *Model) interval() time.Duration {
	if len(m.log.Tasks) > 0 || m.link() != view.Live {
		return fastTick
	}
	return slowTick
}

func (m *Model) tick() tea.Cmd {
	m.ticking++
	gen := m.ticking
	m.tickAt = m.interval()
	return tea.Tick(m.tickAt, func(time.Time) tea.Msg { return tickMsg{gen} })
}

// retick replaces a slow tick when seconds begin to count.
func (m *Model) retick() tea.Cmd {
	if m.interval() < m.tickAt {
		return m.tick()
	}
	return nil
}

func (m *Model) tell(n state.Note) {
	n.At = m.now
	m.hushed = false
	m.log.Tell(n)
}

func (m *Model) warn(why string) tea.Cmd {
	m.tell(state.Note{Grade: state.Warn, What: why})
	return nil
}
