package x11

import (
	"image"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/internal/frame"
	"qubist/gui/wire"
)

// drag is a move or resize by the pointer that we carry out ourselves, or a press on the
// close box that waits for its release.
type drag struct {
	w     *win
	part  frame.Part
	from  image.Point // pointer, root coordinates
	outer image.Rectangle
	to    image.Point
	moved bool
}

// directions are the codes of _NET_WM_MOVERESIZE.
var directions = map[frame.Part]uint32{
	frame.NorthWest: 0, frame.North: 1, frame.NorthEast: 2, frame.East: 3,
	frame.SouthEast: 4, frame.South: 5, frame.SouthWest: 6, frame.West: 7, frame.Title: 8,
}

// directionCancel ends what a direction began.
const directionCancel = 11

// frameButton handles clicks on the frame: the first button closes, moves and resizes.
func (d *Display) frameButton(buf []display.Event, w *win, code uint32, e xproto.ButtonPressEvent) []display.Event {
	if e.Detail != 1 {
		return buf
	}
	root := image.Pt(int(e.RootX), int(e.RootY))
	part := d.frame.Hit(w.outer.Size(), image.Pt(int(e.EventX), int(e.EventY)))
	if code == wire.ButtonRelease {
		old := d.drag
		if old.w == w {
			old.to, old.moved = root, true
			d.drag = old
			d.dragTo()
		}
		d.drag = drag{}
		if old.w == nil && d.wm.moveResize {
			// The window manager has not taken over yet: it must not begin now.
			d.tellManager(w.frame, d.atoms["_NET_WM_MOVERESIZE"], uint32(e.RootX), uint32(e.RootY), directionCancel, 1, 1)
		}
		if old.w == w && old.part == frame.CloseBox && part == frame.CloseBox {
			return append(buf, w.event(display.Closing))
		}
		return buf
	}
	direction, movable := directions[part]
	if movable && d.wm.moveResize {
		xproto.UngrabPointer(d.c.X, e.Time)
		d.tellManager(w.frame, d.atoms["_NET_WM_MOVERESIZE"], uint32(e.RootX), uint32(e.RootY), direction, 1, 1)
		return buf
	}
	if movable || part == frame.CloseBox {
		d.drag = drag{w: w, part: part, from: root, outer: w.outer, to: root}
	}
	return buf
}

// keepVisible is how much of a title bar stays on the screen when a window is moved away.
const keepVisible = 48

// dragTo moves or resizes by what the pointer did since the last turn.
func (d *Display) dragTo() {
	g := &d.drag
	if g.w == nil || !g.moved || g.part == frame.CloseBox {
		return
	}
	g.moved = false
	minimum := image.Pt(int(g.w.hints.MinWidth), int(g.w.hints.MinHeight))
	r := d.frame.Drag(g.outer, g.part, g.to.Sub(g.from), minimum)
	work := d.screen.WorkArea
	if g.part == frame.Title {
		at := image.Pt(
			max(work.Min.X+keepVisible-r.Dx(), min(r.Min.X, work.Max.X-keepVisible)),
			max(work.Min.Y, min(r.Min.Y, work.Max.Y-d.frame.Bar)))
		r = image.Rectangle{at, at.Add(r.Size())}
	}
	if r == g.w.outer {
		return
	}
	size := r.Size() != g.w.outer.Size()
	d.configure(g.w, r)
	if size {
		g.w.saved = image.Rectangle{}
	}
}
