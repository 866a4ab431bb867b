package window

import (
	"errors"
	"fmt"
	"image"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

func (s *State) create(id uint32, m wire.Create) error {
	if len(s.windows) >= s.cfg.Limit {
		return fmt.Errorf("%w: more than %d windows", ErrState, s.cfg.Limit)
	}
	w := &win{remote: id, rect: rectangle(m.X, m.Y, max(m.Width, 1), max(m.Height, 1))}
	w.or = s.entitled(w, m.OverrideRedirect)
	local, err := s.drv.Create(display.Spec{Remote: id, Rect: w.rect, OverrideRedirect: w.or})
	if err != nil {
		return fmt.Errorf("creating a local window: %w", err)
	}
	w.local = local
	s.windows[id] = w
	s.locals[local] = w
	if w.or {
		s.settle(w)
	}
	return nil
}

func (s *State) destroy(w *win) {
	for _, o := range s.windows {
		if o.owned && o.transient == w.remote && o != w {
			o.owned = false
			s.drv.SetTransient(o.local, 0)
		}
	}
	delete(s.windows, w.remote)
	delete(s.locals, w.local)
	w.damage.n = 0
	s.dropImage(w)
	s.drv.Destroy(w.local)
	if s.version >= wire.VersionDestroyEcho {
		send(s, w.remote, wire.Destroy{})
	}
}

func (s *State) mapWindow(w *win, m wire.Map) {
	if w.mapped || w.docked || s.cfg.Invisible {
		return
	}
	if owner := s.windows[m.TransientFor]; m.TransientFor != 0 && owner != nil {
		w.owned, w.transient = true, m.TransientFor
		s.drv.SetTransient(w.local, owner.local)
	} else if w.owned {
		w.owned = false
		s.drv.SetTransient(w.local, 0)
	}
	if or := s.entitled(w, m.OverrideRedirect); or != w.or {
		w.or = or
		s.drv.SetOverrideRedirect(w.local, or)
	}
	w.restored = 0
	if w.or {
		s.settle(w)
	} else if sc := s.drv.Screen(); inSight(w.rect, sc.WorkArea, sc.Frame) != w.rect {
		s.place(w, w.rect)
	}
	w.mapped = true
	s.drv.Map(w.local)
	s.paint(w, image.Rectangle{Max: w.rect.Size()})
	if w.or {
		s.drv.RaiseOverride(w.local)
		s.drv.Flush()
	}
}

func (s *State) unmap(w *win) {
	if w.docked {
		return
	}
	w.mapped = false
	s.drv.Unmap(w.local)
	if w.remote != wire.ScreenWindow {
		s.dropImage(w)
	}
}

// configure handles the agent's wish to move or resize, or its answer to ours (§5.5).
func (s *State) configure(w *win, m wire.Configure) {
	asked := rectangle(m.X, m.Y, m.Width, m.Height)
	if w.docked {
		w.awaiting = false
		if asked != w.rect {
			s.sendConfigure(w)
		}
		return
	}
	if w.awaiting {
		if asked != w.rect {
			s.sendConfigure(w)
			return
		}
		w.awaiting = false
	}
	if asked == w.rect {
		return
	}
	resized := asked.Size() != w.rect.Size()
	w.rect = asked
	switch {
	case w.or && !s.entitled(w, w.or):
		// Too large for its privilege: a window manager must see it come anew.
		s.drv.Unmap(w.local)
		s.drv.SetOverrideRedirect(w.local, false)
		w.or = false
		s.place(w, w.rect)
		if w.mapped {
			s.drv.Map(w.local)
		}
	case w.or:
		w.rect = s.onScreen(w.rect)
		s.drv.Configure(w.local, w.rect)
	default:
		s.place(w, asked)
	}
	if resized && w.mapped && w.or {
		s.paint(w, image.Rectangle{Max: w.rect.Size()})
	}
}

func (s *State) sendConfigure(w *win) {
	send(s, w.remote, wire.Configure{X: int32(w.rect.Min.X), Y: int32(w.rect.Min.Y),
		Width: uint32(w.rect.Dx()), Height: uint32(w.rect.Dy())})
}

func (s *State) dump(w *win, m wire.WindowDump) error {
	if m.Kind == wire.DumpRegion && (s.cfg.Region == 0 || !m.FitsRegion(s.cfg.Region)) {
		return fmt.Errorf("%w: image of %d × %d at page %d in a region of %d bytes", wire.ErrValue, m.Width, m.Height, m.Offset, s.cfg.Region)
	}
	s.paintNow(w) // from the image it was meant for, before the agent may reuse it
	s.dropImage(w)
	if !s.cfg.Invisible {
		if err := s.takeImage(w, m); err != nil {
			return err
		}
	}
	s.acknowledge(w)
	return nil
}

// takeImage makes m the picture of w. One that cannot be shown is no error: upstream
// acknowledges it too.
func (s *State) takeImage(w *win, m wire.WindowDump) error {
	img := display.Image{Start: uint32(m.Start()), Width: int(m.Width), Height: int(m.Height)}
	if m.Kind == wire.DumpGrantRefs {
		memory, err := s.drv.Attach(m.Refs)
		if errors.Is(err, display.ErrRefused) {
			return fmt.Errorf("%w: %w", wire.ErrValue, err)
		}
		if err != nil {
			s.cfg.Log.Warn("a window's pages cannot be shown", "window", w.remote, "err", err)
			return nil
		}
		img.Memory = memory
	}
	w.image, w.hasImage = img, true
	return nil
}

// frames answers a dump of machine frames, which only a very old agent sends: they cannot
// be mapped any more.
func (s *State) frames(w *win, body []byte) error {
	if !s.cfg.InDom0 {
		return fmt.Errorf("%w: machine frames are for dom0 only", wire.ErrValue)
	}
	if _, err := wire.ParseMFNDump(body); err != nil {
		return err
	}
	s.dropImage(w)
	s.acknowledge(w)
	return nil
}

// dropImage forgets the picture of w.
func (s *State) dropImage(w *win) {
	if w.hasImage && w.image.Memory != 0 {
		s.drv.Detach(w.image.Memory)
	}
	w.hasImage = false
}

func (s *State) acknowledge(w *win) {
	if s.version >= wire.VersionDumpAck {
		send(s, w.remote, wire.WindowDumpAck{})
	}
}

// flags handles fullscreen, attention and minimise (§5.12).
func (s *State) flags(w *win, m wire.WindowFlags) {
	if !w.mapped {
		var st display.State
		if m.Set&wire.FlagFullscreen != 0 {
			if st = display.Fullscreen; !s.cfg.AllowFullscreen {
				st, w.fakeFull = display.Maximized, true
			}
		}
		if m.Set&wire.FlagDemandsAttention != 0 {
			st |= display.Attention
		}
		// The agent knows what it asked for itself, but not of a fullscreen that was replaced.
		if w.reported = m.Set &^ wire.FlagMinimize; st&display.Maximized != 0 {
			w.reported &^= wire.FlagFullscreen
		}
		s.drv.WriteState(w.local, st)
		return
	}
	if m.Set&wire.FlagMinimize != 0 {
		s.drv.Iconify(w.local)
		m.Set &^= wire.FlagFullscreen
	}
	if (m.Set|m.Unset)&wire.FlagFullscreen != 0 {
		on := m.Set&wire.FlagFullscreen != 0
		if s.cfg.AllowFullscreen || !on && !w.fakeFull {
			s.drv.RequestState(w.local, display.Fullscreen, on)
		} else {
			s.drv.RequestState(w.local, display.Maximized, on)
			w.fakeFull = on
		}
	}
	if m.Set&wire.FlagDemandsAttention != 0 {
		s.drv.RequestState(w.local, display.Attention, true)
	}
}

// dock takes a window out of ordinary life; it shows once a tray embeds it.
func (s *State) dock(w *win) {
	if w.mapped {
		s.cfg.Log.Info("a mapped window may not be docked", "window", w.remote)
		return
	}
	if w.or {
		w.or = false
		s.drv.SetOverrideRedirect(w.local, false)
	}
	w.docked = true
	s.drv.Dock(w.local)
}

// overrideWarning is what the user is told when a window loses its privilege.
const overrideWarning = "A window that asked to be shown without a frame covers nearly the whole screen. " +
	"It gets an ordinary frame, so that it cannot pose as something else. " +
	"The setting override_redirect_protection turns this off."

// entitled decides whether w may be override-redirect (§6.1).
func (s *State) entitled(w *win, wanted bool) bool {
	if s.cfg.DenyOverride || w.docked {
		return false
	}
	if w.mapped {
		wanted = w.or
	}
	if wanted && !s.cfg.NoOverrideLimit && !overrideFits(w.rect.Size(), s.drv.Screen().WorkArea) {
		if !s.overrideReported {
			s.overrideReported = true
			s.cfg.Log.Warn("a window without decoration is too large and gets an ordinary frame", "size", w.rect.Size().String())
			if s.cfg.Warn != nil {
				s.cfg.Warn(overrideWarning)
			}
		}
		return false
	}
	return wanted
}

// onScreen is forceOnScreen for the screen as it is now.
func (s *State) onScreen(r image.Rectangle) image.Rectangle {
	sc := s.drv.Screen()
	return forceOnScreen(r, sc.WorkArea, image.Pt(int(sc.Width), int(sc.Height)))
}

// settle brings an override-redirect window back on screen.
func (s *State) settle(w *win) {
	if r := s.onScreen(w.rect); r != w.rect {
		w.rect = r
		s.drv.Configure(w.local, r)
	}
}

func rectangle(x, y int32, width, height uint32) image.Rectangle {
	return image.Rect(int(x), int(y), int(x)+int(width), int(y)+int(height))
}
