package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"qubist/gui/internal/agent/region"
	"qubist/gui/internal/xconn"

	"github.com/BurntSushi/xgb"
	"github.com/BurntSushi/xgb/composite"
	"github.com/BurntSushi/xgb/damage"
	"github.com/BurntSushi/xgb/randr"
	"github.com/BurntSushi/xgb/shm"
	"github.com/BurntSushi/xgb/xfixes"
	"github.com/BurntSushi/xgb/xproto"
	"github.com/BurntSushi/xgb/xtest"
)

// session is the work on one X server.
type session struct {
	cfg   Config
	log   *slog.Logger
	x     *xconn.Conn
	root  xproto.Window
	atoms atoms
	names map[xproto.Atom]string // cursor names seen

	seg     shm.Seg
	alloc   *region.Alloc // nil: no region
	scratch xfixes.Region
	gcs     map[byte]xproto.Gcontext // by depth

	windows map[xproto.Window]*window
	dirty   map[*window]struct{} // images out of date
	stale   map[*window]struct{} // properties out of date
	mapped  uint64               // counts mappings, for their order
	starved bool                 // some window got no place in the region
	faults  uint64               // X errors of unchecked requests

	link *link // nil: no daemon

	check   xproto.Window // proves that a window manager runs
	stub    xproto.Window // lies under the pointer when it is in no window
	pointer xproto.Window // the window that the pointer is in, as the daemon says
	focus   xproto.Window
	keys    keyboard

	timer *time.Timer
	due   time.Time // of timer; zero when it is not set
}

func newSession(x *xconn.Conn, c Config) *session {
	return &session{
		cfg: c, log: c.Log, x: x, root: x.Screen.Root,
		names: map[xproto.Atom]string{}, gcs: map[byte]xproto.Gcontext{}, windows: map[xproto.Window]*window{},
		dirty: map[*window]struct{}{}, stale: map[*window]struct{}{},
	}
}

func initExtensions(x *xgb.Conn) error {
	for _, e := range []struct {
		name string
		init func(*xgb.Conn) error
	}{
		{"MIT-SHM", shm.Init}, {"Composite", composite.Init}, {"DAMAGE", damage.Init},
		{"XFIXES", xfixes.Init}, {"XTEST", xtest.Init}, {"RANDR", randr.Init},
	} {
		if err := e.init(x); err != nil {
			return fmt.Errorf("the x server lacks %s: %w", e.name, err)
		}
	}
	return nil
}

// negotiate tells the extensions which version we speak, as they demand before use.
func (s *session) negotiate() error {
	x := s.x.X
	m, err := shm.QueryVersion(x).Reply()
	if err != nil {
		return fmt.Errorf("asking for MIT-SHM: %w", err)
	}
	if !m.SharedPixmaps && s.alloc != nil {
		return fmt.Errorf("the x server has no shared pixmaps")
	}
	if _, err := composite.QueryVersion(x, 0, 4).Reply(); err != nil {
		return fmt.Errorf("asking for Composite: %w", err)
	}
	if _, err := damage.QueryVersion(x, 1, 1).Reply(); err != nil {
		return fmt.Errorf("asking for DAMAGE: %w", err)
	}
	if _, err := xfixes.QueryVersion(x, 5, 0).Reply(); err != nil {
		return fmt.Errorf("asking for XFIXES: %w", err)
	}
	if _, err := randr.QueryVersion(x, 1, 4).Reply(); err != nil {
		return fmt.Errorf("asking for RANDR: %w", err)
	}
	return nil
}

// start becomes the window manager and takes in the windows that exist already.
func (s *session) start() error {
	x := s.x.X
	if err := initExtensions(x); err != nil {
		return err
	}
	if err := s.negotiate(); err != nil {
		return err
	}
	if err := s.internAtoms(); err != nil {
		return err
	}
	err := xproto.ChangeWindowAttributesChecked(x, s.root, xproto.CwEventMask,
		[]uint32{xproto.EventMaskSubstructureRedirect | xproto.EventMaskSubstructureNotify}).Check()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrManaged, err)
	}
	if err := composite.RedirectSubwindowsChecked(x, s.root, composite.RedirectManual).Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrManaged, err)
	}
	id, err := s.x.NewID()
	if err != nil {
		return err
	}
	s.scratch = xfixes.Region(id)
	xfixes.CreateRegion(x, s.scratch, nil)
	xfixes.SelectCursorInput(x, s.root, xfixes.CursorNotifyMaskDisplayCursor)
	if err := s.advertise(); err != nil {
		return err
	}
	s.repeatOff()
	if err := s.keys.load(x); err != nil {
		return err
	}
	return s.adopt()
}

// adopt takes in the windows that were there before us.
func (s *session) adopt() error {
	tree, err := xproto.QueryTree(s.x.X, s.root).Reply()
	if err != nil {
		return fmt.Errorf("listing windows: %w", err)
	}
	for _, id := range tree.Children {
		if s.own(id) || s.windows[id] != nil {
			continue
		}
		a, err := xproto.GetWindowAttributes(s.x.X, id).Reply()
		if err != nil {
			continue // gone already
		}
		g, err := xproto.GetGeometry(s.x.X, xproto.Drawable(id)).Reply()
		if err != nil {
			continue
		}
		w := s.add(id, rect{g.X, g.Y, g.Width, g.Height}, a.OverrideRedirect)
		if a.MapState != xproto.MapStateUnmapped {
			s.windowMapped(w)
		}
	}
	return s.x.Err()
}

func (s *session) own(id xproto.Window) bool { return id == s.check || id == s.stub }

// run is the loop that owns all state.
func (s *session) run(ctx context.Context, links <-chan *link) error {
	s.timer = time.NewTimer(time.Hour)
	defer s.timer.Stop()
	defer s.unlink()
	var events []xconn.Event
	for {
		var in <-chan command
		var dead <-chan struct{}
		if s.link != nil {
			in, dead = s.link.in, s.link.dead
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.x.Lost():
			return s.x.Err()
		case <-s.x.Wake():
		case l := <-links:
			s.attach(l)
		case <-dead:
			s.log.Info("daemon gone", "err", s.link.reason())
			s.unlink()
		case c := <-in:
			s.execute(c)
			s.executeWaiting(in)
		case <-s.timer.C:
			s.due = time.Time{}
		}
		events = s.x.Poll(events[:0])
		for _, e := range events {
			s.event(e)
		}
		s.refresh()
		s.capture(time.Now())
	}
}

// executeWaiting handles what else has arrived, within reason: X events must not starve.
func (s *session) executeWaiting(in <-chan command) {
	for range 64 {
		select {
		case c := <-in:
			s.execute(c)
		default:
			return
		}
	}
}

// wakeAt makes the loop turn at t at the latest.
func (s *session) wakeAt(t time.Time) {
	if !s.due.IsZero() && !t.Before(s.due) {
		return
	}
	s.due = t
	s.timer.Reset(max(0, time.Until(t)))
}

func (s *session) unlink() {
	if s.link == nil {
		return
	}
	s.link.close()
	for _, e := range s.link.expected {
		s.release(e.span)
	}
	s.link = nil
	for _, w := range s.windows {
		s.forgetDaemon(w)
	}
	s.status(StateStarted)
}
