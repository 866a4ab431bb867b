package x11

import (
	"image"

	"github.com/BurntSushi/xgb/xproto"
)

const (
	placeStep   = 24 // pixels between the places that are tried
	placeMargin = 16 // distance a window keeps from the edges, if there is room
)

// place finds a free place for a new window where no window manager does: over its owner
// when it has one, else where it covers least of the windows that are there. A window that
// is larger than the work area is made to fit.
func (d *Display) place(w *win) {
	work := d.screen.WorkArea
	size := image.Pt(min(w.outer.Dx(), work.Dx()), min(w.outer.Dy(), work.Dy()))
	var at image.Point
	if o := d.wins[xproto.Window(w.owner)]; o != nil && o != w {
		at = o.outer.Min.Add(image.Pt((o.outer.Dx()-size.X)/2, (o.outer.Dy()-size.Y)/3))
		at.X = max(work.Min.X, min(at.X, work.Max.X-size.X))
		at.Y = max(work.Min.Y, min(at.Y, work.Max.Y-size.Y))
	} else {
		at = leastCovered(size, work, d.others(w))
	}
	if r := (image.Rectangle{at, at.Add(size)}); r != w.outer {
		d.configure(w, r)
	}
}

// leastCovered is the place, the nearest to the upper left corner, where a window of this
// size overlaps the others least. Where all places are equally full it cascades.
func leastCovered(size image.Point, work image.Rectangle, others []image.Rectangle) image.Point {
	room := work.Inset(placeMargin)
	if size.X > room.Dx() || size.Y > room.Dy() {
		room = work
	}
	best, least := room.Min, -1
	for y := room.Min.Y; y+size.Y <= room.Max.Y; y += placeStep {
		for x := room.Min.X; x+size.X <= room.Max.X; x += placeStep {
			r := image.Rectangle{image.Pt(x, y), image.Pt(x, y).Add(size)}
			covered := 0
			for _, o := range others {
				in := r.Intersect(o)
				covered += in.Dx() * in.Dy()
				// A title bar that is covered exactly is worse than a little more overlap.
				if o.Min == r.Min {
					covered += size.X * size.Y
				}
			}
			if least < 0 || covered < least {
				best, least = r.Min, covered
			}
		}
	}
	return best
}

// others are the rectangles of the visible top-level windows besides w, with some air.
func (d *Display) others(w *win) []image.Rectangle {
	tree, err := xproto.QueryTree(d.c.X, d.root).Reply()
	if err != nil {
		return nil
	}
	attrs := make([]xproto.GetWindowAttributesCookie, len(tree.Children))
	sizes := make([]xproto.GetGeometryCookie, len(tree.Children))
	for i, c := range tree.Children {
		attrs[i] = xproto.GetWindowAttributes(d.c.X, c)
		sizes[i] = xproto.GetGeometry(d.c.X, xproto.Drawable(c))
	}
	var rs []image.Rectangle
	for i, c := range tree.Children {
		at, err := attrs[i].Reply()
		g, err2 := sizes[i].Reply()
		if err != nil || err2 != nil || c == w.top() || at.MapState != xproto.MapStateViewable || at.Class != xproto.WindowClassInputOutput {
			continue
		}
		r := image.Rect(int(g.X), int(g.Y), int(g.X)+int(g.Width), int(g.Y)+int(g.Height))
		rs = append(rs, image.Rectangle{r.Min, r.Max.Add(image.Pt(placeMargin, placeMargin))})
	}
	return rs
}

// raise puts a frame on top of everything but a screen locker.
func (d *Display) raise(w *win) {
	mask, values := uint16(xproto.ConfigWindowStackMode), []uint32{xproto.StackModeAbove}
	if locker := d.findLocker(); locker != 0 {
		mask, values = xproto.ConfigWindowSibling|xproto.ConfigWindowStackMode, []uint32{uint32(locker), xproto.StackModeBelow}
	}
	xproto.ConfigureWindow(d.c.X, w.top(), mask, values)
}

// The values of the input focus that are no windows.
const (
	focusNone        = 0
	focusPointerRoot = 1
)

// focusIfFree gives a new window the keyboard if no window has it, or another one of the
// same qube: a qube must not be able to catch what the user types elsewhere. Where the
// keyboard follows the pointer, the window under it has it.
func (d *Display) focusIfFree(w *win) {
	// Nobody else can take it between the look and the request.
	xproto.GrabServer(d.c.X)
	defer xproto.UngrabServer(d.c.X)
	r, err := xproto.GetInputFocus(d.c.X).Reply()
	switch {
	case err != nil:
		return
	case d.wins[r.Focus] != nil && d.heard != 0:
		d.giveFocus(w)
		return
	case r.Focus == focusPointerRoot || r.Focus == d.root:
		p, err := xproto.QueryPointer(d.c.X, d.root).Reply()
		if err != nil || p.Child != 0 && d.wins[p.Child] == nil {
			return
		}
	case r.Focus != focusNone && d.wins[r.Focus] == nil:
		return
	}
	xproto.SetInputFocus(d.c.X, xproto.InputFocusNone, w.top(), xproto.TimeCurrentTime)
	d.set32(w.top(), d.atoms[focusMark], xproto.AtomCardinal, 1) // its event says when
}

// focusMark is the property that is set when a window was given the keyboard.
const focusMark = "_QUBIST_FOCUS"

// giveFocus moves the keyboard within the qube, as of the last time when the user is known
// to have used it. A click elsewhere, even one that is still on its way, is later and wins:
// the qube chooses the moment of this request.
func (d *Display) giveFocus(w *win) {
	xproto.SetInputFocus(d.c.X, xproto.InputFocusNone, w.top(), d.heard)
}

// hear notes the time of an event that proves that the user was using this qube.
func (d *Display) hear(t xproto.Timestamp) {
	if d.heard == 0 || int32(t-d.heard) > 0 { // the server's clock starts anew every 49 days
		d.heard = t
	}
}

// passFocus hands the keyboard on when the window that had it is hidden and no window
// manager does: to its owner or to the window of this qube that had it last. When the qube
// has none, it goes to nobody: what the user is typing must not run into another qube.
func (d *Display) passFocus(gone *win) {
	if !gone.active || d.wm.window != 0 {
		return
	}
	gone.active = false
	var next *win
	for _, w := range d.wins {
		switch {
		case w.frame == 0 || !w.mapped || w == gone:
		case xproto.Window(gone.owner) == w.content:
			w.turn = d.turn + 1
			next = w
		case next == nil || w.turn > next.turn:
			next = w
		}
	}
	switch {
	case next == nil:
	case d.heard != 0:
		d.giveFocus(next)
	default:
		d.focusIfFree(next)
	}
}
