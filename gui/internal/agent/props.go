package agent

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
)

// propSet is a set of window properties.
type propSet uint

const (
	propTitle propSet = 1 << iota
	propClass
	propHints
	propTransient
	propInput
	propProtocols
	propStates

	allProps = propStates<<1 - 1
)

// maxProp bounds how much of a property is read, in 32-bit units.
const maxProp = 1024

// maxStates is how many atoms of _NET_WM_STATE are looked at.
const maxStates = 10

// props is what a window's program says of it.
type props struct {
	title        string
	class        wire.WMClass
	hasClass     bool
	hints        wire.WindowHints
	hasHints     bool
	transientFor uint32
	noInput      bool // WM_HINTS: the window does not want SetInputFocus
	deletes      bool // WM_DELETE_WINDOW
	takesFocus   bool // WM_TAKE_FOCUS
	states       wire.Flags
}

// propOf says which of props depends on an atom.
func (s *session) propOf(a xproto.Atom) propSet {
	switch a {
	case s.atoms.netWMName, xproto.AtomWmName:
		return propTitle
	case xproto.AtomWmClass:
		return propClass
	case xproto.AtomWmNormalHints:
		return propHints
	case xproto.AtomWmTransientFor:
		return propTransient
	case xproto.AtomWmHints:
		return propInput
	case s.atoms.wmProtocols:
		return propProtocols
	case s.atoms.netWMState:
		return propStates
	}
	return 0
}

// refresh reads the properties that changed since the last turn of the loop.
func (s *session) refresh() {
	for w := range s.stale {
		delete(s.stale, w)
		if w.stale == 0 || w.depth == 0 {
			continue
		}
		before := w.props
		changed := w.stale
		s.readProps(w)
		if w.props.title == before.title {
			changed &^= propTitle
		}
		if w.props.hints == before.hints {
			changed &^= propHints
		}
		if w.props.class == before.class {
			changed &^= propClass
		}
		s.tellProps(w, changed)
	}
}

// readProps reads w's stale properties in one round trip.
func (s *session) readProps(w *window) {
	get := func(p propSet, a xproto.Atom) xproto.GetPropertyCookie {
		if w.stale&p == 0 {
			return xproto.GetPropertyCookie{}
		}
		return xproto.GetProperty(s.x.X, false, w.id, a, xproto.GetPropertyTypeAny, 0, maxProp)
	}
	order := []struct {
		set    propSet
		atom   xproto.Atom
		cookie xproto.GetPropertyCookie
		take   func(*props, *xproto.GetPropertyReply)
	}{
		{set: propTitle, atom: xproto.AtomWmName, take: s.takeName},
		{set: propTitle, atom: s.atoms.netWMName, take: s.takeNetName}, // preferred, so later
		{set: propClass, atom: xproto.AtomWmClass, take: takeClass},
		{set: propHints, atom: xproto.AtomWmNormalHints, take: takeHints},
		{set: propTransient, atom: xproto.AtomWmTransientFor, take: takeTransient},
		{set: propInput, atom: xproto.AtomWmHints, take: takeInput},
		{set: propProtocols, atom: s.atoms.wmProtocols, take: s.takeProtocols},
		{set: propStates, atom: s.atoms.netWMState, take: s.takeStates},
	}
	for i := range order {
		order[i].cookie = get(order[i].set, order[i].atom)
	}
	for _, o := range order {
		if w.stale&o.set == 0 {
			continue
		}
		if r, err := o.cookie.Reply(); err == nil {
			o.take(&w.props, r)
		}
	}
	w.stale = 0
}

func (s *session) takeName(p *props, r *xproto.GetPropertyReply) {
	p.title = ""
	if r.Format == 8 {
		p.title = cutTitle(latinOrUTF8(r.Value, r.Type == xproto.AtomString))
	}
}

func (s *session) takeNetName(p *props, r *xproto.GetPropertyReply) {
	if r.Format == 8 && len(r.Value) > 0 {
		p.title = cutTitle(latinOrUTF8(r.Value, false))
	}
}

// latinOrUTF8 reads text of the type STRING, which is Latin-1, or of a UTF-8 one. Programs
// that write UTF-8 under the type STRING are understood.
func latinOrUTF8(b []byte, latin bool) string {
	if i := strings.IndexByte(string(b), 0); i >= 0 {
		b = b[:i]
	}
	if !latin || utf8.Valid(b) {
		return string(b)
	}
	var t strings.Builder
	for _, c := range b {
		t.WriteRune(rune(c))
	}
	return t.String()
}

const (
	maxTitle = 127 // bytes in MSG_WMNAME
	ellipsis = "…"
)

// cutTitle shortens a title to what a message holds, at a character, with an ellipsis.
func cutTitle(t string) string {
	if len(t) <= maxTitle {
		return t
	}
	end := maxTitle - len(ellipsis)
	for end > 0 && !utf8.RuneStart(t[end]) {
		end--
	}
	return t[:end] + ellipsis
}

// takeClass reads WM_CLASS: the name, NUL, the class, NUL.
func takeClass(p *props, r *xproto.GetPropertyReply) {
	p.class, p.hasClass = wire.WMClass{}, false
	if r.Format != 8 || len(r.Value) == 0 {
		return
	}
	name, rest, _ := strings.Cut(string(r.Value), "\x00")
	class, _, _ := strings.Cut(rest, "\x00")
	p.class, p.hasClass = wire.WMClass{Class: class, Name: name}, true
}

// takeHints reads WM_NORMAL_HINTS: 18 numbers, 15 from old programs.
func takeHints(p *props, r *xproto.GetPropertyReply) {
	p.hints, p.hasHints = wire.WindowHints{}, false
	if r.Format != 32 || len(r.Value) < 15*4 {
		return
	}
	at := func(i int) uint32 {
		if 4*i+4 > len(r.Value) {
			return 0
		}
		return binary.LittleEndian.Uint32(r.Value[4*i:])
	}
	flags := wire.HintFlags(at(0))
	if len(r.Value) < 18*4 {
		flags &^= wire.HintBaseSize
	}
	h := wire.WindowHints{
		Flags:    flags & (wire.HintUSPosition | wire.HintPPosition | wire.HintMinSize | wire.HintMaxSize | wire.HintResizeInc | wire.HintBaseSize),
		MinWidth: at(5), MinHeight: at(6), MaxWidth: at(7), MaxHeight: at(8),
		WidthInc: at(9), HeightInc: at(10), BaseWidth: at(15), BaseHeight: at(16),
	}
	const steps = wire.HintBaseSize | wire.HintMinSize | wire.HintResizeInc
	if h.Flags&steps == steps {
		h.MinWidth = roundUp(h.MinWidth, h.BaseWidth, h.WidthInc)
		h.MinHeight = roundUp(h.MinHeight, h.BaseHeight, h.HeightInc)
	}
	p.hints, p.hasHints = h, true
}

// roundUp raises least to the next base + k·step.
func roundUp(least, base, step uint32) uint32 {
	if step == 0 || least <= base || least > wire.MaxWidth {
		return least
	}
	return base + (least-base+step-1)/step*step
}

func takeTransient(p *props, r *xproto.GetPropertyReply) {
	p.transientFor = 0
	if r.Format == 32 && len(r.Value) >= 4 {
		p.transientFor = binary.LittleEndian.Uint32(r.Value)
	}
}

// takeInput reads WM_HINTS: flags, input, …
func takeInput(p *props, r *xproto.GetPropertyReply) {
	const inputHint = 1
	p.noInput = r.Format == 32 && len(r.Value) >= 8 &&
		binary.LittleEndian.Uint32(r.Value)&inputHint != 0 && binary.LittleEndian.Uint32(r.Value[4:]) == 0
}

func (s *session) takeProtocols(p *props, r *xproto.GetPropertyReply) {
	p.deletes, p.takesFocus = false, false
	for _, a := range atomList(r) {
		p.deletes = p.deletes || a == s.atoms.wmDeleteWindow
		p.takesFocus = p.takesFocus || a == s.atoms.wmTakeFocus
	}
}

func (s *session) takeStates(p *props, r *xproto.GetPropertyReply) {
	p.states = 0
	for i, a := range atomList(r) {
		if i == maxStates {
			break
		}
		p.states |= s.stateOf(a)
	}
}

// atomList reads a property of atoms or other resource numbers.
func atomList(r *xproto.GetPropertyReply) []xproto.Atom {
	if r.Format != 32 {
		return nil
	}
	list := make([]xproto.Atom, len(r.Value)/4)
	for i := range list {
		list[i] = xproto.Atom(binary.LittleEndian.Uint32(r.Value[4*i:]))
	}
	return list
}
