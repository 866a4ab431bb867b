package agent

import (
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
	"github.com/BurntSushi/xgb/xtest"
)

// maxButton is the highest button number passed on.
const maxButton = 15

func (s *session) fake(event, detail byte, x, y int16) {
	xtest.FakeInput(s.x.X, event, detail, xproto.TimeCurrentTime, s.root, x, y, 0)
}

// buttonMask are the bits of an event's state that are buttons.
const buttonMask = xproto.KeyButMaskButton1 | xproto.KeyButMaskButton2 | xproto.KeyButMaskButton3 | xproto.KeyButMaskButton4 | xproto.KeyButMaskButton5

// dragging reports whether a button is down. All motion is then told for the window in
// which it was pressed, wherever the pointer is.
func (s *session) dragging() bool {
	p, err := xproto.QueryPointer(s.x.X, s.root).Reply()
	return err == nil && p.Mask&buttonMask != 0
}

// pointTo moves the pointer to a place in w. The first time in w it also puts w on top: at
// that place dom0 shows w. Not during a drag: the pointer may be over the menu it opened.
func (s *session) pointTo(w *window, x, y int32) {
	if s.pointer != w.id && !s.dragging() {
		s.raise(w)
		s.pointer = w.id
	}
	s.fake(xproto.MotionNotify, 0, coordinate(w.originX, x), coordinate(w.originY, y))
}

func coordinate(origin int16, offset int32) int16 {
	return int16(max(-1<<15, min(1<<15-1, int64(origin)+int64(offset))))
}

func (s *session) button(w *window, m wire.Button) {
	if m.Button == 0 || m.Button > maxButton {
		return
	}
	switch m.Event {
	case wire.ButtonPress:
		s.pointTo(w, m.X, m.Y)
		s.fake(xproto.ButtonPress, byte(m.Button), 0, 0)
	case wire.ButtonRelease:
		s.fake(xproto.MotionNotify, 0, coordinate(w.originX, m.X), coordinate(w.originY, m.Y))
		s.fake(xproto.ButtonRelease, byte(m.Button), 0, 0)
	}
}

// releaseOnly obeys a release in a window that is gone: what was pressed must not stay so.
func (s *session) releaseOnly(body any) {
	switch m := body.(type) {
	case wire.Button:
		if m.Event == wire.ButtonRelease && m.Button >= 1 && m.Button <= maxButton {
			s.fake(xproto.ButtonRelease, byte(m.Button), 0, 0)
		}
	case wire.Keypress:
		if m.Event == wire.KeyRelease && m.Keycode >= 8 && m.Keycode <= 255 {
			s.fake(xproto.KeyRelease, byte(m.Keycode), 0, 0)
		}
	}
}

// crossing follows the pointer into or out of w. Crossings caused by grabs are dom0's own.
func (s *session) crossing(w *window, m wire.Crossing) {
	if m.Mode != wire.NotifyNormal {
		return
	}
	switch m.Event {
	case wire.EnterNotify:
		s.pointTo(w, m.X, m.Y)
	case wire.LeaveNotify:
		if s.pointer == w.id && !s.dragging() {
			s.pointAway()
		}
	}
}

// pointAway slips a window of ours under the pointer, so that the program sees it leave.
func (s *session) pointAway() {
	s.pointer = 0
	p, err := xproto.QueryPointer(s.x.X, s.root).Reply()
	if err != nil {
		return
	}
	xproto.ConfigureWindow(s.x.X, s.stub, xproto.ConfigWindowX|xproto.ConfigWindowY|xproto.ConfigWindowStackMode,
		[]uint32{uint32(int32(p.RootX)), uint32(int32(p.RootY)), xproto.StackModeAbove})
}

// key presses or releases a key in w, after the modifiers are as dom0 has them.
func (s *session) key(w *window, m wire.Keypress) {
	if m.Keycode < 8 || m.Keycode > 255 {
		return
	}
	s.syncModifiers(uint8(m.State))
	switch m.Event {
	case wire.KeyPress:
		if s.focus != w.id { // never to another window than dom0 means
			s.focusOn(w)
		}
		s.fake(xproto.KeyPress, byte(m.Keycode), 0, 0)
	case wire.KeyRelease:
		s.fake(xproto.KeyRelease, byte(m.Keycode), 0, 0)
	}
}

// releaseKeys lets go of the keys that are down here but not in dom0.
func (s *session) releaseKeys(m wire.KeymapNotify) {
	r, err := xproto.QueryKeymap(s.x.X).Reply()
	if err != nil {
		return
	}
	for k := 8; k < 256; k++ {
		if r.Keys[k/8]>>(k%8)&1 != 0 && !m.Down(uint8(k)) {
			s.fake(xproto.KeyRelease, byte(k), 0, 0)
		}
	}
}

// repeatOff switches auto-repeat off: only dom0 repeats keys. Programs may have switched
// it on again.
func (s *session) repeatOff() {
	xproto.ChangeKeyboardControl(s.x.X, xproto.KbAutoRepeatMode, []uint32{xproto.AutoRepeatModeOff})
}
