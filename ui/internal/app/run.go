package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"qubist/ui/internal/screen"
)

// frameGap is the least time between two frames that no key asked for.
const frameGap = 16 * time.Millisecond

// Run shows the console on the terminal of in and out until the user leaves, ctx ends or the
// terminal is lost, then says goodbye. The terminal is as before whatever happened.
func Run(ctx context.Context, o Options, in, out *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := New(ctx, o)
	w, h, err := term.GetSize(int(out.Fd()))
	if err != nil {
		return fmt.Errorf("reading the terminal's size: %w", err)
	}
	s := screen.New(in, out)
	if err := s.Enter(); err != nil {
		return err
	}
	defer s.Leave()
	p := &painter{Model: m, screen: s}
	// Bubble Tea routes messages and reads keys; the frames are painted here.
	program := tea.NewProgram(p, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithWindowSize(w, h),
		tea.WithoutRenderer(), tea.WithoutSignalHandler(), tea.WithFPS(1))
	m.terminal = &tty{Screen: s, out: out, program: program}
	stop := followSize(ctx, m.terminal.(*tty))
	defer stop()
	s.AskBackground()
	_, err = program.Run()
	s.Leave()
	switch {
	case err == nil:
		goodbye(out, m)
		return nil
	case ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled):
		return nil
	}
	return fmt.Errorf("running the console: %w", err)
}

func goodbye(out io.Writer, m *Model) {
	if s := m.goodbye(); s != "" {
		fmt.Fprintln(out, s)
	}
}

// followSize tells the program of every new size until the returned function is called.
func followSize(ctx context.Context, t *tty) func() {
	ctx, cancel := context.WithCancel(ctx)
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer signal.Stop(sig)
		for {
			select {
			case <-sig:
				t.sendSize()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// tty is the terminal as the model knows it.
type tty struct {
	*screen.Screen
	out     *os.File
	program *tea.Program
}

// Lend gives the terminal away while run runs.
func (t *tty) Lend(run func() error) error {
	t.Leave()
	err := run()
	if again := t.Enter(); err == nil {
		err = again
	}
	go t.sendSize() // the program is still waiting for us; it may have a new size
	return err
}

// sendSize gives up when the program has ended.
func (t *tty) sendSize() {
	if w, h, err := term.GetSize(int(t.out.Fd())); err == nil {
		t.program.Send(tea.WindowSizeMsg{Width: w, Height: h})
	}
}

// painter is the model with its frames put on the screen: at once after a key, and not more
// often than one can see after anything else.
type painter struct {
	*Model
	screen  *screen.Screen
	last    time.Time
	pending bool
}

// paintMsg says that a postponed frame is due.
type paintMsg struct{}

// Update implements tea.Model.
func (p *painter) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, due := msg.(paintMsg); due {
		p.pending = false
		return p, p.paint()
	}
	_, cmd := p.Model.Update(msg)
	switch msg.(type) {
	case tea.KeyPressMsg, tea.PasteMsg, tea.WindowSizeMsg:
		return p, tea.Batch(p.paint(), cmd)
	}
	if wait := frameGap - time.Since(p.last); wait > 0 {
		if p.pending {
			return p, cmd
		}
		p.pending = true
		return p, tea.Batch(cmd, tea.Tick(wait, func(time.Time) tea.Msg { return paintMsg{} }))
	}
	return p, tea.Batch(p.paint(), cmd)
}

// paint writes the frame. A terminal that cannot be written to is gone.
func (p *painter) paint() tea.Cmd {
	p.last = time.Now()
	if err := p.screen.Paint(p.Frame()); err != nil {
		return tea.Quit
	}
	return nil
}
