package agent

import (
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
)

// execute obeys one message of the daemon. Those for windows that are gone are dropped:
// the daemon could not know yet.
func (s *session) execute(c command) {
	switch m := c.body.(type) {
	case wire.WindowDumpAck:
		s.acknowledged(c.window)
		return
	case wire.KeymapNotify:
		s.releaseKeys(m)
		return
	}
	w := s.windows[xproto.Window(c.window)]
	if w == nil || !w.announced {
		s.releaseOnly(c.body)
		return
	}
	switch m := c.body.(type) {
	case wire.Keypress:
		s.key(w, m)
	case wire.Button:
		s.button(w, m)
	case wire.Motion:
		s.pointTo(w, m.X, m.Y)
	case wire.Crossing:
		s.crossing(w, m)
	case wire.Focus:
		s.focusChange(w, m)
	case wire.Configure:
		s.configure(w, m)
	case wire.Map:
		s.mapWindow(w, m)
	case wire.Close:
		s.closeWindow(w)
	case wire.WindowFlags:
		s.setStates(w, m)
	}
}

// configure moves w as dom0 wants. The daemon waits for a CONFIGURE with the result: when
// nothing changes here no event would cause one.
func (s *session) configure(w *window, m wire.Configure) {
	want := rect{int16(m.X), int16(m.Y), uint16(m.Width), uint16(m.Height)}
	xproto.ConfigureWindow(s.x.X, w.id,
		xproto.ConfigWindowX|xproto.ConfigWindowY|xproto.ConfigWindowWidth|xproto.ConfigWindowHeight,
		[]uint32{uint32(m.X), uint32(m.Y), m.Width, m.Height})
	w.originX, w.originY = want.x, want.y
	w.owesMove = true
	if want == w.place {
		s.tellPlace(w)
	}
}

// mapWindow shows a window again that dom0's user brought back.
func (s *session) mapWindow(w *window, m wire.Map) {
	override := uint32(0)
	if m.OverrideRedirect {
		override = 1
	}
	xproto.ChangeWindowAttributes(s.x.X, w.id, xproto.CwOverrideRedirect, []uint32{override})
	xproto.MapWindow(s.x.X, w.id)
}

// focusChange gives the keyboard to w or takes it away.
func (s *session) focusChange(w *window, m wire.Focus) {
	switch m.Event {
	case wire.FocusIn:
		s.repeatOff()
		s.raise(w)
		s.focusOn(w)
	case wire.FocusOut:
		if s.focus == w.id {
			xproto.SetInputFocus(s.x.X, xproto.InputFocusNone, xproto.InputFocusNone, xproto.TimeCurrentTime)
			s.focus = 0
		}
	}
}

func (s *session) focusOn(w *window) {
	if !w.props.noInput {
		xproto.SetInputFocus(s.x.X, xproto.InputFocusPointerRoot, w.id, xproto.TimeCurrentTime)
	}
	if w.props.takesFocus {
		s.protocolMessage(w, s.atoms.wmTakeFocus)
	}
	s.focus = w.id
}

// raise puts w on top, so that the X server finds it under the pointer as dom0 does. What
// covers it here is invisible in dom0.
func (s *session) raise(w *window) {
	xproto.ConfigureWindow(s.x.X, w.id, xproto.ConfigWindowStackMode, []uint32{xproto.StackModeAbove})
}
