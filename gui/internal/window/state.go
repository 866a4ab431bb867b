// Package window is the state machine of one qube's windows: a message of the agent or an
// event of the screen goes in, operations on a display.Driver and bytes for the agent come
// out. It decides everything a qube may and may not do with its windows; it opens nothing,
// waits for nothing and never sees a pixel.
//
// The rules are those of spec gui-protocol.md §5, §6, §9 and §10. Where the original has a
// known weakness there, this package does what the page recommends.
package window

import (
	"errors"
	"fmt"
	"image"
	"log/slog"
	"time"

	"qubist/gui/internal/display"
	"qubist/gui/internal/tray"
	"qubist/gui/wire"
)

// DefaultLimit is how many windows a qube may have.
const DefaultLimit = 500

// ErrState is wrapped by errors about messages that are well formed but not legal now: a
// window that exists already or does not exist, or one too many.
var ErrState = errors.New("gui message out of place")

// Config is what never changes during a session.
type Config struct {
	Name        string // of the qube, validated
	Limit       int    // windows; 0 means DefaultLimit
	TitlePrefix bool   // titles start with "[name] "
	Titles      Titles
	Region      int64 // bytes of the window region; 0 without one

	DenyOverride    bool // the setting override_redirect = disabled
	NoOverrideLimit bool // override-redirect windows may cover the whole work area
	AllowFullscreen bool // else fullscreen only maximises
	Exact           bool // send the original's messages, even those that say nothing
	Invisible       bool // windows are kept but never shown
	InDom0          bool // machine frames may be named, though they cannot be shown
	Tray            tray.Mode
	Label           uint32 // the label's colour, for icons

	// Suspicious asks the user about a message that upstream asks about (§11); nil drops
	// the message, an error ends the session. Without it such a message ends the session.
	Suspicious func(wire.Type) error
	// Warn tells the user something, once; nil does not.
	Warn func(text string)

	Now func() time.Time
	Log *slog.Logger
}

// State is one session, from handshake to the end of the channel. It is used by one
// goroutine.
type State struct {
	cfg     Config
	drv     display.Driver
	version wire.Version

	icons   *tray.Painter
	windows map[uint32]*win
	locals  map[display.Window]*win
	dirty   []*win // with damage

	overrideReported bool
	out              []byte // for the agent
	motion           struct {
		pending bool
		window  uint32
		msg     wire.Motion
	}
}

// win is one window of the qube.
type win struct {
	remote uint32
	local  display.Window
	rect   image.Rectangle // content, root coordinates; what the agent was told or told us
	mapped bool
	docked bool // is or waits to be an icon in the tray
	or     bool

	image     display.Image
	hasImage  bool
	transient uint32 // remote id it was last declared transient for
	owned     bool   // transient is set

	awaiting   bool // we sent MSG_CONFIGURE and wait for the answer
	fakeFull   bool // maximised in place of fullscreen
	reported   wire.Flags
	titled     bool
	title      string
	damage     damage
	isDirty    bool
	restored   int // times forced back on screen since restoring began
	restoredAt time.Time
}

// New starts a session with an agent of the negotiated version.
func New(cfg Config, drv display.Driver, version wire.Version) *State {
	if cfg.Limit == 0 {
		cfg.Limit = DefaultLimit
	}
	return &State{cfg: cfg, drv: drv, version: version, icons: tray.NewPainter(cfg.Tray, cfg.Label),
		windows: map[uint32]*win{}, locals: map[display.Window]*win{}}
}

// Message carries out one message of the agent; body has the length that
// Header.BodyFromAgent demands. An error ends the session: nothing of the message was
// carried out then.
func (s *State) Message(h wire.Header, body []byte) error {
	err := s.dispatch(h, body)
	if errors.Is(err, wire.ErrSuspicious) && s.cfg.Suspicious != nil {
		s.cfg.Log.Warn("a suspicious message", "window", h.Window, "err", err)
		if err = s.cfg.Suspicious(h.Type); err == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("window %#x: %w", h.Window, err)
	}
	return nil
}

func (s *State) dispatch(h wire.Header, body []byte) error {
	if h.Type == wire.TypeClipboardData {
		return nil // nobody asked: the window field is meaningless and the content is dropped
	}
	w := s.windows[h.Window]
	if h.Type == wire.TypeCreate {
		if w != nil {
			return fmt.Errorf("%w: created twice", ErrState)
		}
		m, err := wire.ParseCreate(body)
		if err != nil {
			return err
		}
		return s.create(h.Window, m)
	}
	if w == nil {
		return fmt.Errorf("%w: type %d for a window that does not exist", ErrState, uint32(h.Type))
	}
	switch h.Type {
	case wire.TypeShmImage:
		m, err := wire.ParseShmImage(body)
		if err != nil {
			return err
		}
		s.damaged(w, m)
		return nil
	case wire.TypeWindowDump:
		m, err := wire.ParseWindowDump(body)
		if err != nil {
			return err
		}
		return s.dump(w, m)
	}
	s.paintNow(w) // what was damaged before must not be painted after what follows
	switch h.Type {
	case wire.TypeDestroy:
		s.destroy(w)
	case wire.TypeUnmap:
		s.unmap(w)
	case wire.TypeDock:
		s.dock(w)
	default:
		return s.change(w, h.Type, body)
	}
	return nil
}

// change carries out the messages that alter a window's attributes.
func (s *State) change(w *win, t wire.Type, body []byte) error {
	switch t {
	case wire.TypeMap:
		m, err := wire.ParseMap(body)
		if err != nil {
			return err
		}
		s.mapWindow(w, m)
	case wire.TypeConfigure:
		m, err := wire.ParseConfigure(body)
		if err != nil {
			return err
		}
		s.configure(w, m)
	case wire.TypeWMName:
		m, err := wire.ParseWMName(body)
		if err != nil {
			return err
		}
		if title := s.title(m); title != w.title || !w.titled {
			w.title, w.titled = title, true
			s.drv.SetTitle(w.local, title)
		}
	case wire.TypeWMClass:
		m, err := wire.ParseWMClass(body)
		if err != nil {
			return err
		}
		if !w.mapped {
			s.drv.SetClass(w.local, s.cfg.Name+":"+ascii(m.Name), s.cfg.Name+":"+ascii(m.Class))
		}
	case wire.TypeWindowHints:
		m, err := wire.ParseWindowHints(body)
		if err != nil {
			return err
		}
		s.drv.SetHints(w.local, modest(m, s.drv.Screen()))
	case wire.TypeWindowFlags:
		m, err := wire.ParseWindowFlags(body)
		if err != nil {
			return err
		}
		s.flags(w, m)
	case wire.TypeCursor:
		m, err := wire.ParseCursor(body)
		if err != nil {
			return err
		}
		s.drv.SetCursor(w.local, m)
	case wire.TypeMFNDump:
		return s.frames(w, body)
	default:
		return fmt.Errorf("%w: %d", wire.ErrType, uint32(t))
	}
	return nil
}

// Out returns what is to be sent to the agent and forgets it. The bytes are valid until
// the next call of any other method.
func (s *State) Out() []byte {
	b := s.out
	s.out = s.out[:0]
	return b
}

// EndTurn paints what was damaged and sends what was held back in the hope of more.
func (s *State) EndTurn() {
	for _, w := range s.dirty {
		s.paintDamage(w)
		w.isDirty = false
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	s.sendMotion()
}

// Reset destroys all windows, for the end of the session.
func (s *State) Reset() {
	for _, w := range s.windows {
		s.dropImage(w)
		s.drv.Destroy(w.local)
	}
	clear(s.windows)
	clear(s.locals)
	clear(s.dirty)
	s.dirty, s.out, s.motion.pending = s.dirty[:0], s.out[:0], false
	s.drv.Flush()
}

// Windows is the number of windows.
func (s *State) Windows() int { return len(s.windows) }

// send queues a message for the agent, after the motion that came before it.
func send[M wire.Message](s *State, window uint32, m M) {
	s.sendMotion()
	s.out = wire.Append(s.out, window, m)
}

func (s *State) sendMotion() {
	if s.motion.pending {
		s.motion.pending = false
		s.out = wire.Append(s.out, s.motion.window, s.motion.msg)
	}
}
