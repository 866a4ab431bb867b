package agent

import (
	"encoding/binary"

	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
)

type atoms struct {
	netSupported, netSupportingWMCheck, netWMName, utf8String                    xproto.Atom
	netWMState, fullscreen, attention, hidden                                    xproto.Atom
	wmProtocols, wmDeleteWindow, wmTakeFocus, wmState, wmChangeState, netWMClose xproto.Atom
}

func (s *session) internAtoms() error {
	for _, a := range []struct {
		name string
		atom *xproto.Atom
	}{
		{"_NET_SUPPORTED", &s.atoms.netSupported},
		{"_NET_SUPPORTING_WM_CHECK", &s.atoms.netSupportingWMCheck},
		{"_NET_WM_NAME", &s.atoms.netWMName},
		{"UTF8_STRING", &s.atoms.utf8String},
		{"_NET_WM_STATE", &s.atoms.netWMState},
		{"_NET_WM_STATE_FULLSCREEN", &s.atoms.fullscreen},
		{"_NET_WM_STATE_DEMANDS_ATTENTION", &s.atoms.attention},
		{"_NET_WM_STATE_HIDDEN", &s.atoms.hidden},
		{"WM_PROTOCOLS", &s.atoms.wmProtocols},
		{"WM_DELETE_WINDOW", &s.atoms.wmDeleteWindow},
		{"WM_TAKE_FOCUS", &s.atoms.wmTakeFocus},
		{"WM_STATE", &s.atoms.wmState},
		{"WM_CHANGE_STATE", &s.atoms.wmChangeState},
		{"_NET_CLOSE_WINDOW", &s.atoms.netWMClose},
	} {
		var err error
		if *a.atom, err = s.x.Atom(a.name); err != nil {
			return err
		}
	}
	return nil
}

// The values of WM_STATE (ICCCM 4.1.3.1).
const (
	wmStateNormal = 1
	wmStateIconic = 3
)

// advertise tells programs that a window manager runs and what it does, and makes the two
// windows we own.
func (s *session) advertise() error {
	for _, w := range []*xproto.Window{&s.check, &s.stub} {
		id, err := s.x.NewID()
		if err != nil {
			return err
		}
		*w = xproto.Window(id)
		xproto.CreateWindow(s.x.X, 0, *w, s.root, -1, -1, 1, 1, 0, xproto.WindowClassInputOnly, 0, xproto.CwOverrideRedirect, []uint32{1})
	}
	xproto.MapWindow(s.x.X, s.stub)
	for _, w := range []xproto.Window{s.root, s.check} {
		s.setAtoms(w, s.atoms.netSupportingWMCheck, xproto.AtomWindow, uint32(s.check))
	}
	const name = "Qubes"
	xproto.ChangeProperty(s.x.X, xproto.PropModeReplace, s.check, s.atoms.netWMName, s.atoms.utf8String, 8, uint32(len(name)), []byte(name))
	s.setAtoms(s.root, s.atoms.netSupported, xproto.AtomAtom,
		uint32(s.atoms.netSupported), uint32(s.atoms.netSupportingWMCheck), uint32(s.atoms.netWMState),
		uint32(s.atoms.fullscreen), uint32(s.atoms.attention), uint32(s.atoms.hidden), uint32(s.atoms.netWMClose))
	return s.x.Sync()
}

func (s *session) setAtoms(w xproto.Window, prop, kind xproto.Atom, values ...uint32) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	xproto.ChangeProperty(s.x.X, xproto.PropModeReplace, w, prop, kind, 32, uint32(len(values)), b)
}

// setWMState writes WM_STATE as ICCCM asks of a window manager.
func (s *session) setWMState(w *window, state uint32) {
	if !w.override {
		s.setAtoms(w.id, s.atoms.wmState, s.atoms.wmState, state, 0)
	}
}

// deleteStates removes what a withdrawn window must not have.
func (s *session) deleteStates(w *window) {
	if !w.override {
		xproto.DeleteProperty(s.x.X, w.id, s.atoms.wmState)
		xproto.DeleteProperty(s.x.X, w.id, s.atoms.netWMState)
	}
}

func (s *session) stateOf(a xproto.Atom) wire.Flags {
	switch a {
	case s.atoms.fullscreen:
		return wire.FlagFullscreen
	case s.atoms.attention:
		return wire.FlagDemandsAttention
	}
	return 0
}

// clientMessage handles what a program asks of its window manager.
func (s *session) clientMessage(w *window, e xproto.ClientMessageEvent) {
	data := e.Data.Data32
	if s.link == nil || !w.shown || len(data) < 3 {
		return
	}
	id := uint32(w.id)
	switch e.Type {
	case s.atoms.netWMState:
		flags := s.stateOf(xproto.Atom(data[1])) | s.stateOf(xproto.Atom(data[2]))
		const remove, add, toggle = 0, 1, 2
		m := wire.WindowFlags{}
		switch data[0] {
		case remove:
			m.Unset = flags
		case add:
			m.Set = flags
		case toggle:
			m.Set, m.Unset = flags&^w.states, flags&w.states
		}
		if m != (wire.WindowFlags{}) {
			send(s.link, id, m)
		}
	case s.atoms.wmChangeState:
		if data[0] == wmStateIconic {
			send(s.link, id, wire.WindowFlags{Set: wire.FlagMinimize})
		}
	case s.atoms.netWMClose:
		s.closeWindow(w)
	}
}

// setStates is the daemon's word on a window's states.
func (s *session) setStates(w *window, m wire.WindowFlags) {
	w.states = w.states&^m.Unset | m.Set
	if m.Set&wire.FlagMinimize == 0 {
		w.states &^= wire.FlagMinimize
	}
	var list []uint32
	for _, f := range []struct {
		flag wire.Flags
		atom xproto.Atom
	}{
		{wire.FlagFullscreen, s.atoms.fullscreen},
		{wire.FlagDemandsAttention, s.atoms.attention},
		{wire.FlagMinimize, s.atoms.hidden},
	} {
		if w.states&f.flag != 0 {
			list = append(list, uint32(f.atom))
		}
	}
	s.setAtoms(w.id, s.atoms.netWMState, xproto.AtomAtom, list...)
	if w.states&wire.FlagMinimize != 0 {
		s.setWMState(w, wmStateIconic)
	} else {
		s.setWMState(w, wmStateNormal)
	}
}

// closeWindow asks the program to close w, or ends a program that cannot be asked.
func (s *session) closeWindow(w *window) {
	if w.props.deletes {
		s.protocolMessage(w, s.atoms.wmDeleteWindow)
		return
	}
	xproto.KillClient(s.x.X, uint32(w.id))
}

func (s *session) protocolMessage(w *window, protocol xproto.Atom) {
	e := xproto.ClientMessageEvent{
		Format: 32, Window: w.id, Type: s.atoms.wmProtocols,
		Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(protocol), xproto.TimeCurrentTime, 0, 0, 0}),
	}
	xproto.SendEvent(s.x.X, false, w.id, xproto.EventMaskNoEvent, string(e.Bytes()))
}
