package agent

import (
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/damage"
	"github.com/BurntSushi/xgb/xproto"
)

// rect is a window's place on the root, without its border.
type rect struct {
	x, y int16
	w, h uint16
}

// window is a child of the root.
type window struct {
	id       xproto.Window
	place    rect // as the X server last said
	override bool
	noPixels bool // InputOnly: dom0 never hears of it
	mapped   bool
	order    uint64 // of mapping

	// Known from the first mapping on.
	depth byte
	props props
	stale propSet // properties to read again

	// origin is where the window will be once the X server has handled our requests.
	originX, originY int16

	damage damage.Damage
	image  image

	// What the daemon knows. All zero without a link.
	announced bool
	told      rect
	shown     bool // MAP sent
	states    wire.Flags
	owesMove  bool // a CONFIGURE of the daemon waits for our answer
	unacked   int  // dumps without an answer
}

func (s *session) add(id xproto.Window, place rect, override bool) *window {
	w := &window{id: id, place: place, originX: place.x, originY: place.y, override: override}
	s.windows[id] = w
	return w
}

// windowMapped makes a mapped window ready to be captured and announces it.
func (s *session) windowMapped(w *window) {
	if w.mapped || w.noPixels {
		return
	}
	if w.depth == 0 && !s.inspect(w) {
		return
	}
	s.mapped++
	w.mapped, w.order = true, s.mapped
	if id, err := s.x.NewID(); err == nil {
		w.damage = damage.Damage(id)
		damage.Create(s.x.X, w.damage, xproto.Drawable(w.id), damage.ReportLevelNonEmpty)
	}
	s.mark(w, changeAll)
	s.setWMState(w, wmStateNormal)
	s.show(w)
}

// inspect learns what a window is at its first mapping; false: it is of no interest.
func (s *session) inspect(w *window) bool {
	x := s.x.X
	attributes := xproto.GetWindowAttributes(x, w.id)
	geometry := xproto.GetGeometry(x, xproto.Drawable(w.id))
	xproto.ChangeWindowAttributes(x, w.id, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange})
	a, aerr := attributes.Reply()
	g, gerr := geometry.Reply()
	if aerr != nil || gerr != nil {
		return false // gone; its DestroyNotify is on the way
	}
	if a.Class != xproto.WindowClassInputOutput {
		w.noPixels = true
		return false
	}
	w.depth = g.Depth
	if g.BorderWidth != 0 {
		xproto.ConfigureWindow(x, w.id, xproto.ConfigWindowBorderWidth, []uint32{0})
	}
	w.stale = allProps
	s.readProps(w)
	return true
}

// windowUnmapped forgets the image of a window that is not shown any more.
func (s *session) windowUnmapped(w *window) {
	if !w.mapped {
		return
	}
	w.mapped = false
	if w.damage != 0 {
		damage.Destroy(s.x.X, w.damage)
		s.x.FreeID(uint32(w.damage))
		w.damage = 0
	}
	s.dropImage(w)
	s.hide(w)
}

// windowGone forgets a window that was destroyed or taken away from the root.
func (s *session) windowGone(w *window) {
	s.windowUnmapped(w)
	if w.announced {
		send(s.link, uint32(w.id), wire.Destroy{})
		w.announced = false
	}
	if s.focus == w.id {
		s.focus = 0
	}
	if s.pointer == w.id {
		s.pointer = 0
	}
	delete(s.windows, w.id)
	delete(s.dirty, w)
	delete(s.stale, w)
}

// windowMoved takes over a new place and tells the daemon when it does not know it yet or
// waits for an answer.
func (s *session) windowMoved(w *window, place rect, override bool) {
	if w.mapped && (place.w != w.place.w || place.h != w.place.h) {
		s.mark(w, changeAll)
		w.image.moved = true
	}
	w.place, w.override = place, override
	w.originX, w.originY = place.x, place.y
	if w.announced && (w.told != place || w.owesMove) {
		s.tellPlace(w)
	}
}
