// Package app is the console's root: one Bubble Tea model that routes messages to the state
// (package state), asks package action what a key may do, and has package view draw the
// result. Update never waits and does no I/O; whatever takes time is a tea.Cmd with a
// deadline that returns a message. The system is known only through Source and Backend.
package app

import (
	"context"
	"log/slog"
	"os/exec"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/theme"
	"qubist/ui/internal/view"
)

// Source tells what the system is like. All methods may be called from any goroutine.
type Source interface {
	// System is the newest picture; Changed receives after one or more changes of it.
	System() state.System
	Changed() <-chan struct{}
	// Ping returns nil when the server answers at all.
	Ping(ctx context.Context) error
	// Storage reads all pools and volumes.
	Storage(ctx context.Context) (state.Storage, error)
}

// Local tells what only a program on the same machine can see.
type Local interface {
	// Logs are the lines that are new since the last call, the first time the newest ones.
	Logs(ctx context.Context) ([]state.LogLine, error)
	// Console are the last n lines of a qube's console, none when there is no such log.
	Console(vm string, n int) ([]string, error)
	// Look says what runs and how full the disks are.
	Look(pools []state.Pool) state.Machine
}

// Questions tells how many questions of qubes wait for an answer.
type Questions interface {
	Open() int
	Changed() <-chan struct{}
}

// Options are what the console is made of. Source and Backend are required.
type Options struct {
	Source    Source
	Backend   action.Backend
	Questions Questions                                // nil: not watched
	Attach    func(context.Context) (*exec.Cmd, error) // the question's front end; nil: the terminal is not lent
	Local     Local                                    // nil: the system is elsewhere, as Away says
	Away      string                                   // a sentence
	Instance  string                                   // shown in the header
	Socket    string                                   // shown while there is no connection
	Root      string                                   // --root as given, for command lines
	Home      string                                   // where pictures go
	ReadOnly  bool
	Clock     func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: nothing is logged

	Ledger state.Ledger                                   // what can be undone from earlier runs
	Keep   func(serial uint64, ledger state.Ledger) error // keeps it; nil: it ends with the console
	Notice string                                         // something to be told at the start, in a sentence
}

// place is what fills the body.
type place int

const (
	home place = iota
	detail
	journal
	network
	storage
	logbook
	health
	settings
)

// Model is the console. It is a tea.Model; New makes one.
type Model struct {
	opts Options
	ctx  context.Context // ends with the program; commands derive their deadlines from it

	width, height int
	profile       colorprofile.Profile
	dark          bool
	theme         theme.Theme
	now           time.Time

	sys      state.System
	table    state.Table
	log      state.Journal
	ledger   state.Ledger
	kept     uint64 // the ledger's serial number
	taking   int    // undo and redo jobs on their way
	trend    state.Trend
	observed time.Time // of the newest sample in trend
	faults   map[string]string

	silent    bool // the server stopped answering
	linkSince time.Time
	ticking   int // generation of the pending tick
	tickAt    time.Duration

	open     int // waiting questions
	lent     time.Time
	lentOpen int

	screen  place
	before  place // the screen that the present one was opened from
	shown   int   // grows with each change of screen
	pages   map[place]page
	detail  detailState
	journal listState

	help    *listState
	plan    *plan
	form    *form
	input   *input
	copying bool

	terminal terminal // nil in tests without one

	hushed bool // the last note was put away
	runs   []string
	typed  []string
	finds  []string
}

type listState struct{ at, top int }

type detailState struct {
	listState
	name    string
	ownOnly bool
}

// New gives a console that has not yet heard anything. ctx ends everything it starts.
func New(ctx context.Context, o Options) *Model {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Model{opts: o, ctx: ctx, profile: colorprofile.TrueColor, dark: true, now: o.Clock(), table: state.NewTable(), trend: state.NewTrend(), faults: map[string]string{}}
	m.theme = theme.New(m.profile, m.dark)
	m.pages = map[place]page{network: &networkPage{m: m}, storage: &storagePage{m: m, order: state.ByUsed}, logbook: &logPage{m: m, follow: true},
		health: &healthPage{m: m}, settings: &settingsPage{m: m}}
	m.linkSince, m.ledger = m.now, o.Ledger
	if o.Notice != "" {
		m.tell(state.Note{Grade: state.Warn, What: o.Notice})
	}
	return m
}

// Init starts the listening commands.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(m.awaitSystem(), m.awaitQuestions(), m.ping(), m.tick())
}

func (m *Model) storage() *storagePage { return m.pages[storage].(*storagePage) }
func (m *Model) logs() *logPage        { return m.pages[logbook].(*logPage) }

// away says why this machine cannot be looked at, "" when it can.
func (m *Model) away() string {
	if m.opts.Local != nil {
		return ""
	}
	return m.opts.Away
}

// env is what actions are judged by.
func (m *Model) env() action.Env {
	return action.Env{System: m.sys, ReadOnly: m.opts.ReadOnly, Root: m.opts.Root, Busy: m.log.Busy}
}

// targets are the qubes a key applies to.
func (m *Model) targets() []state.Qube {
	if m.screen == detail {
		if q, ok := m.sys.Find(m.detail.name); ok {
			return []state.Qube{q}
		}
		return nil
	}
	if pg, ok := m.pages[m.screen].(onQubes); ok {
		if q, ok := pg.current(); ok {
			return []state.Qube{q}
		}
		return nil
	}
	return m.table.Targets(m.sys)
}

func (m *Model) link() view.Link {
	switch {
	case m.sys.Connected && m.silent:
		return view.Silent
	case m.sys.Connected:
		return view.Live
	case m.sys.Ever:
		return view.Lost
	}
	return view.Connecting
}

// stale reports whether the picture may no longer be true.
func (m *Model) stale() bool { return m.link() != view.Live }

// terminal is what the model asks of the terminal besides showing frames.
type terminal interface {
	Copy(text string)
	Forget()
	// Lend gives the terminal away for the time that run takes.
	Lend(run func() error) error
}
