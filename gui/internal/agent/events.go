package agent

import (
	"qubist/gui/internal/xconn"

	"github.com/BurntSushi/xgb/damage"
	"github.com/BurntSushi/xgb/xfixes"
	"github.com/BurntSushi/xgb/xproto"
)

// event handles one event of the X server.
func (s *session) event(e xconn.Event) {
	if e.Error != nil {
		// Windows vanish between an event and our request: an everyday race.
		s.faults++
		s.log.Debug("x request failed", "err", e.Error.Error(), "count", s.faults)
		return
	}
	switch e := e.Event.(type) {
	case damage.NotifyEvent:
		if w := s.windows[xproto.Window(e.Drawable)]; w != nil {
			s.mark(w, changePart)
		}
	case xproto.MapRequestEvent:
		xproto.ConfigureWindow(s.x.X, e.Window, xproto.ConfigWindowBorderWidth, []uint32{0})
		xproto.MapWindow(s.x.X, e.Window)
	case xproto.ConfigureRequestEvent:
		s.grantConfigure(e)
	case xproto.CreateNotifyEvent:
		if e.Parent == s.root && !s.own(e.Window) && s.windows[e.Window] == nil {
			s.add(e.Window, rect{e.X, e.Y, e.Width, e.Height}, e.OverrideRedirect)
		}
	case xproto.ReparentNotifyEvent:
		s.reparented(e)
	case xproto.MapNotifyEvent:
		if w := s.windows[e.Window]; w != nil && e.Event == s.root {
			w.override = e.OverrideRedirect
			s.windowMapped(w)
		}
	case xproto.UnmapNotifyEvent:
		if w := s.windows[e.Window]; w != nil && e.Event == s.root {
			s.windowUnmapped(w)
		}
	case xproto.DestroyNotifyEvent:
		if w := s.windows[e.Window]; w != nil && e.Event == s.root {
			s.windowGone(w)
		}
	case xproto.ConfigureNotifyEvent:
		if w := s.windows[e.Window]; w != nil && e.Event == s.root {
			s.windowMoved(w, rect{e.X, e.Y, e.Width, e.Height}, e.OverrideRedirect)
		}
	case xproto.PropertyNotifyEvent:
		if w := s.windows[e.Window]; w != nil {
			w.stale |= s.propOf(e.Atom)
			s.stale[w] = struct{}{}
		}
	case xproto.ClientMessageEvent:
		if w := s.windows[e.Window]; w != nil && e.Format == 32 {
			s.clientMessage(w, e)
		}
	case xproto.MappingNotifyEvent:
		s.keys.stale = true
	case xfixes.CursorNotifyEvent:
		s.cursorChanged(e.Name)
	}
}

// reparented follows windows that enter or leave the root, as those of trays do.
func (s *session) reparented(e xproto.ReparentNotifyEvent) {
	w := s.windows[e.Window]
	switch {
	case e.Parent != s.root && w != nil:
		s.windowGone(w)
	case e.Parent == s.root && w == nil && !s.own(e.Window):
		g, err := xproto.GetGeometry(s.x.X, xproto.Drawable(e.Window)).Reply()
		if err != nil {
			return
		}
		s.add(e.Window, rect{e.X, e.Y, g.Width, g.Height}, e.OverrideRedirect)
	}
}

// grantConfigure lets a program have the place it asks for: dom0 decides about what is
// seen. Borders are for dom0 to draw.
func (s *session) grantConfigure(e xproto.ConfigureRequestEvent) {
	var values []uint32
	mask := e.ValueMask&^xproto.ConfigWindowBorderWidth | xproto.ConfigWindowBorderWidth
	for _, v := range []struct {
		bit   uint16
		value uint32
	}{
		{xproto.ConfigWindowX, uint32(int32(e.X))},
		{xproto.ConfigWindowY, uint32(int32(e.Y))},
		{xproto.ConfigWindowWidth, uint32(e.Width)},
		{xproto.ConfigWindowHeight, uint32(e.Height)},
		{xproto.ConfigWindowBorderWidth, 0},
		{xproto.ConfigWindowSibling, uint32(e.Sibling)},
		{xproto.ConfigWindowStackMode, uint32(e.StackMode)},
	} {
		if mask&v.bit != 0 {
			values = append(values, v.value)
		}
	}
	xproto.ConfigureWindow(s.x.X, e.Window, mask, values)
	w := s.windows[e.Window]
	if w == nil {
		return
	}
	want := w.place
	if mask&xproto.ConfigWindowX != 0 {
		want.x = e.X
	}
	if mask&xproto.ConfigWindowY != 0 {
		want.y = e.Y
	}
	if mask&xproto.ConfigWindowWidth != 0 {
		want.w = e.Width
	}
	if mask&xproto.ConfigWindowHeight != 0 {
		want.h = e.Height
	}
	if want == w.place {
		s.confirmPlace(w) // ICCCM 4.1.5: a request that changes nothing is answered too
	}
}

// confirmPlace sends w's program a synthetic ConfigureNotify.
func (s *session) confirmPlace(w *window) {
	e := xproto.ConfigureNotifyEvent{
		Event: w.id, Window: w.id, X: w.place.x, Y: w.place.y,
		Width: w.place.w, Height: w.place.h, OverrideRedirect: w.override,
	}
	xproto.SendEvent(s.x.X, false, w.id, xproto.EventMaskStructureNotify, string(e.Bytes()))
}
