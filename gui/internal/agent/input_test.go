package agent_test

import (
	"testing"

	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xfixes"
	"github.com/BurntSushi/xgb/xproto"
)

// Keycodes of the evdev numbering that X servers here use.
const (
	keyA      = 38
	keyRShift = 62
)

const (
	stateShift = 1
	stateLock  = 2
	stateCtrl  = 4
	stateNum   = 16
)

// pressed returns the next press of a key that is not a modifier.
func pressed(t *testing.T, a *app) xproto.KeyPressEvent {
	t.Helper()
	return event(t, a.c, func(e xproto.KeyPressEvent) bool { return e.Detail == keyA })
}

func TestKeysReachTheWindowWithTheirModifiers(t *testing.T) {
	b := newBench(t, 1024)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 0, 0, 100, 100, appOptions{})
	other := newApp(t, b.client(), 0, 0, 100, 100, appOptions{})
	expectBody[wire.Map](d, a.remote(), nil)
	tell(d, a.remote(), wire.Focus{Event: wire.FocusIn})
	event(t, c, func(e xproto.FocusInEvent) bool { return true })
	for _, state := range []uint32{0, stateShift, 0, stateCtrl, stateCtrl | stateShift, stateLock, stateLock | stateShift, 0, stateNum, 0, stateNum | stateLock, 0} {
		tell(d, a.remote(), wire.Keypress{Event: wire.KeyPress, Keycode: keyA, State: state})
		if e := pressed(t, a); uint32(e.State) != state || e.Event != a.id {
			t.Errorf("state %#x at window %#x, want %#x", e.State, e.Event, state)
		}
		tell(d, a.remote(), wire.Keypress{Event: wire.KeyRelease, Keycode: keyA, State: state})
		event(t, c, func(e xproto.KeyReleaseEvent) bool { return e.Detail == keyA })
	}
	// Shift held with its other key is let go too.
	tell(d, a.remote(), wire.Keypress{Event: wire.KeyPress, Keycode: keyRShift})
	tell(d, a.remote(), wire.Keypress{Event: wire.KeyPress, Keycode: keyA})
	if e := pressed(t, a); e.State != 0 {
		t.Errorf("state %#x after right shift, want 0", e.State)
	}
	// A key goes to the window that the daemon names, focus or not.
	tell(d, other.remote(), wire.Keypress{Event: wire.KeyRelease, Keycode: keyA})
	tell(d, other.remote(), wire.Keypress{Event: wire.KeyPress, Keycode: keyA})
	if e := pressed(t, other); e.Event != other.id {
		t.Errorf("key at %#x", e.Event)
	}
	// The daemon knows of no key that is down: all are released.
	tell(d, 0, wire.KeymapNotify{})
	event(t, other.c, func(e xproto.KeyReleaseEvent) bool { return e.Detail == keyA })
	for _, bad := range []uint32{0, 7, 256, 1 << 31} {
		tell(d, a.remote(), wire.Keypress{Event: wire.KeyPress, Keycode: bad})
	}
	tell(d, a.remote(), wire.Keypress{Event: wire.KeyPress, Keycode: keyA})
	pressed(t, a)
	k, err := xproto.GetKeyboardControl(c.X).Reply()
	if err != nil || k.GlobalAutoRepeat != xproto.AutoRepeatModeOff {
		t.Errorf("auto-repeat is %d, %v", k.GlobalAutoRepeat, err)
	}
}

func TestPointer(t *testing.T) {
	b := newBench(t, 1024)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 100, 100, 200, 100, appOptions{})
	expectBody[wire.Map](d, a.remote(), nil)
	above := newApp(t, b.client(), 100, 100, 200, 100, appOptions{})
	expectBody[wire.Map](d, above.remote(), nil)

	// a is covered here but not in dom0: the pointer finds it all the same.
	tell(d, a.remote(), wire.Crossing{Event: wire.EnterNotify, X: 3, Y: 4})
	event(t, c, func(e xproto.EnterNotifyEvent) bool { return e.Event == a.id })
	tell(d, a.remote(), wire.Motion{X: 30, Y: 40})
	event(t, c, func(e xproto.MotionNotifyEvent) bool { return e.EventX == 30 && e.EventY == 40 })
	for button := range uint32(5) {
		tell(d, a.remote(), wire.Button{Event: wire.ButtonPress, X: 50, Y: 60, Button: button + 1})
		e := event(t, c, func(e xproto.ButtonPressEvent) bool { return true })
		if uint32(e.Detail) != button+1 || e.EventX != 50 || e.EventY != 60 {
			t.Errorf("button %d at %d, %d", e.Detail, e.EventX, e.EventY)
		}
		tell(d, a.remote(), wire.Button{Event: wire.ButtonRelease, X: 51, Y: 60, Button: button + 1})
		event(t, c, func(e xproto.ButtonReleaseEvent) bool { return e.EventX == 51 })
	}
	// A move by the daemon counts at once for what it sends next.
	tell(d, a.remote(), wire.Configure{X: 300, Y: 300, Width: 200, Height: 100})
	tell(d, a.remote(), wire.Motion{X: 7, Y: 8})
	event(t, c, func(e xproto.MotionNotifyEvent) bool { return e.EventX == 7 && e.EventY == 8 && e.RootX == 307 })
	tell(d, a.remote(), wire.Crossing{Event: wire.LeaveNotify, Mode: 1}) // a grab's: ignored
	tell(d, a.remote(), wire.Crossing{Event: wire.LeaveNotify})
	event(t, c, func(e xproto.LeaveNotifyEvent) bool { return e.Event == a.id })
	tell(d, a.remote(), wire.Crossing{Event: wire.EnterNotify, X: 7, Y: 8})
	event(t, c, func(e xproto.EnterNotifyEvent) bool { return e.Event == a.id })
}

// Pressing opens a menu; dom0 tells the motion over it for the window that was pressed.
func TestDragOverMenu(t *testing.T) {
	b := newBench(t, 1024)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 100, 100, 200, 100, appOptions{})
	expectBody[wire.Map](d, a.remote(), nil)
	tell(d, a.remote(), wire.Crossing{Event: wire.EnterNotify, X: 10, Y: 10})
	tell(d, a.remote(), wire.Button{Event: wire.ButtonPress, X: 10, Y: 10, Button: 1})
	event(t, c, func(e xproto.ButtonPressEvent) bool { return true })
	menu := newApp(t, c, 105, 105, 50, 50, appOptions{override: true})
	expectBody[wire.Map](d, menu.remote(), nil)
	tell(d, a.remote(), wire.Crossing{Event: wire.LeaveNotify, X: 10, Y: 10})
	tell(d, a.remote(), wire.Motion{X: 20, Y: 20})
	event(t, c, func(e xproto.MotionNotifyEvent) bool { return e.RootX == 120 })
	if p, err := xproto.QueryPointer(c.X, c.Screen.Root).Reply(); err != nil || p.Child != menu.id {
		t.Errorf("the pointer is in %#x, want the menu %#x (%v)", p.Child, menu.id, err)
	}
	// The window that was pressed is gone when the button is let go.
	xproto.DestroyWindow(c.X, a.id)
	expectBody[wire.Destroy](d, a.remote(), nil)
	tell(d, a.remote(), wire.Button{Event: wire.ButtonRelease, X: 10, Y: 10, Button: 1})
	await(t, "the release", func() bool {
		p, err := xproto.QueryPointer(c.X, c.Screen.Root).Reply()
		return err == nil && p.Mask&xproto.KeyButMaskButton1 == 0
	})
}

func TestStatesAndFocus(t *testing.T) {
	b := newBench(t, 1024)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 0, 0, 100, 100, appOptions{unmapped: true})
	atom := func(name string) xproto.Atom {
		v, err := c.Atom(name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	state, fullscreen, take := atom("_NET_WM_STATE"), atom("_NET_WM_STATE_FULLSCREEN"), atom("WM_TAKE_FOCUS")
	one := func(prop, kind, value xproto.Atom) {
		xproto.ChangeProperty(c.X, xproto.PropModeReplace, a.id, prop, kind, 32, 1, []byte{byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24)})
	}
	one(state, xproto.AtomAtom, fullscreen)
	one(atom("WM_PROTOCOLS"), xproto.AtomAtom, take)
	xproto.MapWindow(c.X, a.id)
	if _, m := expectBody[wire.WindowFlags](d, a.remote(), nil); m.Set != wire.FlagFullscreen {
		t.Errorf("before MAP: %+v", m)
	}
	expectBody[wire.Map](d, a.remote(), nil)
	holds := func(want ...xproto.Atom) func() bool {
		return func() bool {
			r, err := xproto.GetProperty(c.X, false, a.id, state, xproto.AtomAtom, 0, 10).Reply()
			if err != nil || len(r.Value) != 4*len(want) {
				return false
			}
			for i, w := range want {
				if r.Value[4*i] != byte(w) || r.Value[4*i+1] != byte(w>>8) {
					return false
				}
			}
			return true
		}
	}
	tell(d, a.remote(), wire.WindowFlags{Unset: wire.FlagFullscreen})
	await(t, "no state", holds())
	tell(d, a.remote(), wire.WindowFlags{Set: wire.FlagMinimize})
	await(t, "hidden", holds(atom("_NET_WM_STATE_HIDDEN")))
	tell(d, a.remote(), wire.WindowFlags{})
	await(t, "not hidden", holds())
	ask := func(kind xproto.Atom, data ...uint32) {
		e := xproto.ClientMessageEvent{Format: 32, Window: a.id, Type: kind, Data: xproto.ClientMessageDataUnionData32New(append(data, make([]uint32, 5-len(data))...))}
		xproto.SendEvent(c.X, false, c.Screen.Root, xproto.EventMaskSubstructureRedirect|xproto.EventMaskSubstructureNotify, string(e.Bytes()))
	}
	for _, c := range []struct {
		action uint32
		want   wire.WindowFlags
	}{{1, wire.WindowFlags{Set: wire.FlagFullscreen}}, {0, wire.WindowFlags{Unset: wire.FlagFullscreen}}, {2, wire.WindowFlags{Set: wire.FlagFullscreen}}} {
		ask(state, c.action, uint32(fullscreen))
		if _, m := expectBody[wire.WindowFlags](d, a.remote(), nil); m != c.want {
			t.Errorf("action %d became %+v", c.action, m)
		}
	}
	ask(atom("WM_CHANGE_STATE"), 3)
	if _, m := expectBody[wire.WindowFlags](d, a.remote(), nil); m.Set != wire.FlagMinimize {
		t.Errorf("iconify became %+v", m)
	}
	tell(d, a.remote(), wire.Focus{Event: wire.FocusIn})
	event(t, c, func(e xproto.ClientMessageEvent) bool { return xproto.Atom(e.Data.Data32[0]) == take })
	tell(d, a.remote(), wire.Focus{Event: wire.FocusOut})
	event(t, c, func(e xproto.FocusOutEvent) bool { return e.Event == a.id && e.Mode == xproto.NotifyModeNormal })
}

func TestCursorsGoByName(t *testing.T) {
	b := newServer(t, 1024)
	c := b.client()
	if err := xfixes.Init(c.X); err != nil {
		t.Fatal(err)
	}
	if _, err := xfixes.QueryVersion(c.X, 5, 0).Reply(); err != nil {
		t.Fatal(err)
	}
	b.startAgent()
	d := connect(t, b.vchan, screen)
	a := newApp(t, c, 0, 0, 100, 100, appOptions{})
	expectBody[wire.Map](d, a.remote(), nil)
	tell(d, a.remote(), wire.Crossing{Event: wire.EnterNotify, X: 3, Y: 4})
	event(t, c, func(e xproto.EnterNotifyEvent) bool { return true })
	setCursor(t, a, "xterm")
	if _, m := expectBody[wire.Cursor](d, a.remote(), nil); m != wire.CursorGlyph(152) {
		t.Errorf("cursor %#x", m)
	}
	setCursor(t, a, "no such shape")
	if _, m := expectBody[wire.Cursor](d, a.remote(), nil); m != 0 {
		t.Errorf("unknown cursor became %#x", m)
	}
}
