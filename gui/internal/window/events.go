package window

import (
	"image"
	"maps"
	"slices"
	"time"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

const (
	// maxRestores is how often within restoreWindow an override-redirect window is moved
	// back on screen before it is hidden instead (QSB-073).
	maxRestores   = 10
	restoreWindow = time.Second
	// notifyWhileGrabbed is the X notify mode that counts as an ordinary focus change.
	notifyWhileGrabbed = 3
)

// Event carries out one event of the screen (§10).
func (s *State) Event(e *display.Event) {
	if e.Kind == display.TrayCame {
		s.dockAll()
		return
	}
	w := s.locals[e.Window]
	if w == nil {
		return
	}
	x, y := int32(e.Pos.X), int32(e.Pos.Y)
	switch e.Kind {
	case display.Motion:
		if s.motion.window != w.remote {
			s.sendMotion()
		}
		s.motion.pending, s.motion.window = true, w.remote
		s.motion.msg = wire.Motion{X: x, Y: y, State: e.State}
	case display.Key:
		send(s, w.remote, wire.Keypress{Event: e.Code, X: x, Y: y, State: e.State, Keycode: e.Detail})
	case display.Button:
		send(s, w.remote, wire.Button{Event: e.Code, X: x, Y: y, State: e.State, Button: e.Detail})
	case display.Crossing:
		if e.Code == wire.EnterNotify && (e.Focus || s.cfg.Exact) {
			send(s, 0, e.Keys) // without the keyboard all are up
		}
		if e.Code == wire.EnterNotify && w.docked && !e.Rect.Empty() {
			s.moved(w, e.Rect)
		}
		send(s, w.remote, wire.Crossing{Event: e.Code, X: x, Y: y, State: e.State, Mode: e.Mode, Detail: e.Detail, Focus: bit(e.Focus)})
	case display.Focus:
		if e.Mode != wire.NotifyNormal && e.Mode != notifyWhileGrabbed {
			return
		}
		if e.Code == wire.FocusIn {
			send(s, 0, e.Keys)
		}
		send(s, w.remote, wire.Focus{Event: e.Code, Mode: wire.NotifyNormal, Detail: e.Detail})
	case display.Configured:
		s.configured(w, e.Rect)
	case display.Mapped:
		s.shown(w, e.Viewable)
	case display.Exposed:
		s.paint(w, e.Rect)
	case display.Embedded:
		s.drv.Map(w.local)
		s.moved(w, e.Rect)
	case display.Closing:
		send(s, w.remote, wire.Close{})
	case display.Restated:
		s.restated(w, e.States)
	}
}

// configured follows a move or resize by the user or the window manager.
func (s *State) configured(w *win, r image.Rectangle) {
	if w.docked {
		s.moved(w, r)
		return
	}
	if r == w.rect {
		return
	}
	w.rect = r
	if w.or {
		forced := s.onScreen(r)
		if forced != r && !s.restore(w) {
			return
		}
		if forced != r {
			w.rect = forced
			s.drv.Configure(w.local, forced)
		}
	}
	s.report(w)
}

// report tells the agent where w is, unless it has not answered yet when told last.
func (s *State) report(w *win) {
	if w.awaiting || w.remote == wire.ScreenWindow {
		return
	}
	w.awaiting = true
	s.sendConfigure(w)
}

// moved follows an icon in the tray; partly off the screen it counts as being in the corner.
func (s *State) moved(w *win, r image.Rectangle) {
	if r.Min.X < 0 || r.Min.Y < 0 {
		r = r.Sub(r.Min)
	}
	if r != w.rect {
		w.rect = r
		s.report(w)
	}
}

// dockAll asks a new tray to take in all icons.
func (s *State) dockAll() {
	for _, id := range slices.Sorted(maps.Keys(s.windows)) {
		if w := s.windows[id]; w.docked {
			s.drv.Dock(w.local)
		}
	}
}

// restore counts how often w had to be brought back; false means that it was hidden.
func (s *State) restore(w *win) bool {
	now := s.cfg.Now()
	if now.Sub(w.restoredAt) > restoreWindow {
		w.restored, w.restoredAt = 0, now
	}
	w.restored++
	if w.restored <= maxRestores {
		return true
	}
	if w.mapped {
		s.cfg.Log.Warn("another program keeps moving a window off the screen: hiding it", "window", w.remote)
		w.mapped = false
		s.drv.Unmap(w.local)
	}
	return false
}

// shown reacts to a window that became visible without the agent's wish. It counts as
// mapped only when the agent agrees.
func (s *State) shown(w *win, viewable bool) {
	if w.mapped {
		return
	}
	if !viewable && !w.docked {
		s.drv.Unmap(w.local)
		return
	}
	send(s, w.remote, wire.Map{OverrideRedirect: w.or})
	s.paint(w, image.Rectangle{Max: w.rect.Size()})
}

// restated reports what the window manager did to fullscreen, attention and minimise.
func (s *State) restated(w *win, st display.State) {
	if !w.mapped {
		return
	}
	var now wire.Flags
	if st&display.Attention != 0 {
		now |= wire.FlagDemandsAttention
	}
	if st&display.Hidden != 0 {
		now |= wire.FlagMinimize
	}
	if st&display.Fullscreen != 0 || st&display.Maximized == 0 {
		w.fakeFull = false
	}
	if st&display.Fullscreen != 0 || w.fakeFull {
		now |= wire.FlagFullscreen
	}
	if now != w.reported {
		send(s, w.remote, wire.WindowFlags{Set: now &^ w.reported, Unset: w.reported &^ now})
		w.reported = now
	}
}

func bit(v bool) uint32 {
	if v {
		return 1
	}
	return 0
}
