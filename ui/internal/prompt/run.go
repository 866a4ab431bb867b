package prompt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"qubist/core/prompt"
	"qubist/core/prompt/wire"
)

// tick is how often the countdown is drawn anew.
const tick = 250 * time.Millisecond

// Options say how Run behaves.
type Options struct {
	Socket string // the agent's prompt socket
	Once   bool   // leave as soon as no question is open
}

// Run shows questions on this process's terminal until the agent goes away, ctx ends, the
// user leaves, or, with Once, nothing is open any more. The terminal is as before when it
// returns. Leaving while a question is shown denies it.
func Run(ctx context.Context, o Options) error {
	raw, err := tcell.NewScreen()
	if err == nil {
		err = raw.Init()
	}
	if err != nil {
		return fmt.Errorf("preparing the terminal: %w", err)
	}
	defer raw.Fini()
	agent, err := prompt.Attach(ctx, o.Socket)
	if err != nil {
		return err
	}
	defer agent.Close()
	p := &program{once: o.Once, agent: agent, app: tview.NewApplication()}
	p.screen = &screen{Screen: raw, program: p}
	raw.EnableFocus()
	p.app.SetScreen(p.screen).EnablePaste(true).SetInputCapture(p.key)
	p.app.SetRoot(&view{Box: tview.NewBox(), program: p}, true)
	defer context.AfterFunc(ctx, p.app.Stop)()

	done := make(chan struct{})
	defer close(done)
	// tview has no way to take back an update queued after its end; these two may then wait
	// until the process ends, which is next.
	go p.follow()
	go p.countdown(done)
	if err := p.app.Run(); err != nil {
		return fmt.Errorf("using the terminal: %w", err)
	}
	if ctx.Err() != nil {
		return nil
	}
	return p.err
}

// program is what runs in tview's loop. Only that loop touches its model.
type program struct {
	once   bool
	agent  *prompt.FrontEnd
	app    *tview.Application
	screen *screen
	err    error

	model         Model
	complete      bool
	width, height int
	disturbed     atomic.Bool // set by the event reader
}

// follow applies the agent's updates.
func (p *program) follow() {
	for {
		u, err := p.agent.Next()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = errors.New("the policy agent went away")
			}
			p.app.QueueUpdate(func() { p.err = err; p.app.Stop() })
			return
		}
		p.app.QueueUpdateDraw(func() { p.update(u) })
	}
}

func (p *program) update(u wire.Update) {
	now := time.Now()
	if u.Closed != 0 {
		p.model.Close(u.Closed)
	}
	p.model.waiting = u.Waiting
	if u.Question != nil {
		p.model.Show(*u.Question, now)
	}
	if p.once && u.Waiting == 0 {
		p.app.Stop()
	}
}

// countdown redraws until done.
func (p *program) countdown(done <-chan struct{}) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			p.app.QueueUpdateDraw(func() {})
		}
	}
}

// key handles every key before tview does, which never sees one.
func (p *program) key(e *tcell.EventKey) *tcell.EventKey {
	p.noteDisturbance()
	k, r := translate(e)
	if !p.model.open {
		if k == Cancel || r == 'q' {
			p.app.Stop()
		}
		return nil
	}
	id := p.model.question.ID
	switch d, target := p.model.Press(k, r, e.When()); d {
	case Denied:
		p.reply(wire.Reply{ID: id})
	case Allowed:
		p.reply(wire.Reply{ID: id, Allow: true, Target: target})
	}
	return nil
}

func (p *program) reply(r wire.Reply) {
	if err := p.agent.Reply(r); err != nil {
		p.err = err
		p.app.Stop()
	}
}

func (p *program) noteDisturbance() {
	if p.disturbed.Swap(false) {
		p.model.Disturbed()
	}
}

// translate knows keys as they are typed without modifiers. With modifiers they are nothing:
// the answers of terminals to queries look like such keys.
func translate(e *tcell.EventKey) (Key, rune) {
	switch mod := e.Modifiers(); {
	case mod == tcell.ModNone:
	case mod == tcell.ModShift && (e.Key() == tcell.KeyRune || e.Key() == tcell.KeyBacktab):
	case mod == tcell.ModCtrl && e.Key() == tcell.KeyCtrlC:
	default:
		return Other, 0
	}
	switch e.Key() {
	case tcell.KeyRune:
		return Rune, e.Rune()
	case tcell.KeyTab:
		return Tab, 0
	case tcell.KeyBacktab:
		return BackTab, 0
	case tcell.KeyEnter:
		return Enter, 0
	case tcell.KeyUp:
		return Up, 0
	case tcell.KeyDown:
		return Down, 0
	case tcell.KeyLeft:
		return Left, 0
	case tcell.KeyRight:
		return Right, 0
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		return Backspace, 0
	case tcell.KeyEscape, tcell.KeyCtrlC:
		return Cancel, 0
	}
	return Other, 0
}

// view is the one tview primitive: the whole screen.
type view struct {
	*tview.Box
	program *program
}

// Draw implements tview.Primitive.
func (v *view) Draw(s tcell.Screen) {
	p := v.program
	p.noteDisturbance()
	if w, h := s.Size(); w != p.width || h != p.height {
		p.width, p.height = w, h
		p.model.Disturbed()
	}
	p.complete = p.model.draw(s, time.Now())
}

// screen tells the program when a drawing has reached the terminal and when the terminal's
// focus changed, which tview passes over.
type screen struct {
	tcell.Screen
	program *program
}

// Init implements tcell.Screen. Run has initialised it already and looked at the error,
// which tview would not.
func (s *screen) Init() error { return nil }

// Show implements tcell.Screen.
func (s *screen) Show() {
	s.Screen.Show()
	s.program.model.Drawn(s.program.complete, time.Now())
}

// PollEvent implements tcell.Screen. A change of focus becomes a redraw.
func (s *screen) PollEvent() tcell.Event {
	e := s.Screen.PollEvent()
	switch e.(type) {
	case *tcell.EventFocus:
		s.program.disturbed.Store(true)
		return tcell.NewEventResize(s.Size())
	case *tcell.EventResize:
		s.program.disturbed.Store(true)
	}
	return e
}
