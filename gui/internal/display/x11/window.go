package x11

import (
	"image"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/internal/frame"
	"qubist/gui/wire"
)

const (
	contentEvents = xproto.EventMaskExposure | xproto.EventMaskKeyPress | xproto.EventMaskKeyRelease |
		xproto.EventMaskButtonPress | xproto.EventMaskButtonRelease | xproto.EventMaskPointerMotion |
		xproto.EventMaskEnterWindow | xproto.EventMaskLeaveWindow
	topEvents   = xproto.EventMaskFocusChange | xproto.EventMaskStructureNotify | xproto.EventMaskPropertyChange
	frameEvents = topEvents | xproto.EventMaskExposure | xproto.EventMaskKeyPress | xproto.EventMaskKeyRelease |
		xproto.EventMaskButtonPress | xproto.EventMaskButtonRelease | xproto.EventMaskPointerMotion | xproto.EventMaskLeaveWindow
)

// Create makes the content and, in mode Own, its frame. Both have their colours from the
// start, so that nothing is ever shown without them.
func (d *Display) Create(s display.Spec) (display.Window, error) {
	id, err := d.c.NewID()
	if err != nil {
		return 0, err
	}
	w := &win{remote: s.Remote, content: xproto.Window(id), or: s.OverrideRedirect, outer: s.Rect}
	d.wins[w.content] = w
	if d.opt.Own && !w.or {
		if err := d.addFrame(w); err != nil {
			delete(d.wins, w.content)
			return 0, err
		}
		d.createWindow(w.content, w.frame, d.frame.Inner(image.Rectangle{Max: w.outer.Size()}), d.opt.Ground, false, contentEvents)
		d.SetCursor(display.Window(w.content), 0)
		xproto.MapWindow(d.c.X, w.content)
	} else {
		d.createWindow(w.content, d.root, w.outer, d.contentPixel(w), w.or, contentEvents|topEvents)
	}
	d.dress(w)
	return display.Window(w.content), nil
}

// contentPixel is the background of the content: the label's colour where the frame is
// drawn inside, so that it is there before the first painting.
func (d *Display) contentPixel(w *win) uint32 {
	if w.or && d.opt.Own {
		return d.opt.Colour
	}
	return d.opt.Ground
}

func (d *Display) createWindow(id, parent xproto.Window, r image.Rectangle, pixel uint32, or bool, events uint32) {
	xproto.CreateWindow(d.c.X, d.c.Screen.RootDepth, id, parent, int16(r.Min.X), int16(r.Min.Y), uint16(r.Dx()), uint16(r.Dy()), 0,
		xproto.WindowClassInputOutput, d.c.Screen.RootVisual,
		xproto.CwBackPixel|xproto.CwBorderPixel|xproto.CwBitGravity|xproto.CwOverrideRedirect|xproto.CwEventMask,
		[]uint32{pixel, d.opt.Colour, d.gravity(or), bit(or), events})
}

// gravity is what becomes of a window's pixels when it is resized: those of our frames stay.
func (d *Display) gravity(or bool) uint32 {
	if or || !d.opt.Own {
		return xproto.GravityBitForget
	}
	return xproto.GravityNorthWest
}

// addFrame makes an unmapped frame around the content rectangle that w.outer holds.
func (d *Display) addFrame(w *win) error {
	id, err := d.c.NewID()
	if err != nil {
		return err
	}
	w.frame = xproto.Window(id)
	w.outer = d.frame.Outer(w.outer)
	d.wins[w.frame] = w
	d.createWindow(w.frame, d.root, w.outer, d.opt.Colour, false, frameEvents)
	return nil
}

// Destroy removes the window and its frame.
func (d *Display) Destroy(id display.Window) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	if d.drag.w == w {
		d.drag = drag{}
	}
	xproto.DestroyWindow(d.c.X, w.top())
	w.mapped = false
	delete(d.wins, w.content)
	d.c.FreeID(uint32(w.content))
	if w.frame != 0 {
		delete(d.wins, w.frame)
		d.c.FreeID(uint32(w.frame))
	}
	d.passFocus(w)
}

// Map shows the window. Without a window manager a new managed window gets a free place,
// and the keyboard if nobody else has it.
func (d *Display) Map(id display.Window) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	w.mapped = true
	alone := w.frame != 0 && d.wm.window == 0
	if alone && !w.placed {
		w.placed = true
		d.place(w)
	}
	xproto.MapWindow(d.c.X, w.top())
	if alone {
		if w.states&(display.Fullscreen|display.Maximized) != 0 {
			d.fillScreen(w, true)
		}
		d.raise(w)
		d.focusIfFree(w)
	}
}

// Unmap hides the window.
func (d *Display) Unmap(id display.Window) {
	if w := d.wins[xproto.Window(id)]; w != nil {
		w.mapped = false
		xproto.UnmapWindow(d.c.X, w.top())
		d.passFocus(w)
	}
}

// Configure moves and resizes the content, and the frame with it.
func (d *Display) Configure(id display.Window, r image.Rectangle) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	if w.frame != 0 {
		r = d.frame.Outer(r)
	}
	d.configure(w, r)
}

// configure moves top to the rectangle r.
func (d *Display) configure(w *win, r image.Rectangle) {
	at := r.Min.Sub(image.Pt(w.wmFrame[0], w.wmFrame[2]))
	cookie := xproto.ConfigureWindow(d.c.X, w.top(),
		xproto.ConfigWindowX|xproto.ConfigWindowY|xproto.ConfigWindowWidth|xproto.ConfigWindowHeight,
		[]uint32{uint32(int32(at.X)), uint32(int32(at.Y)), uint32(r.Dx()), uint32(r.Dy())})
	w.asked = d.c.Extend(cookie.Sequence)
	d.resizeContent(w, r)
	w.outer = r
}

// resizeContent fits the content into a frame of rectangle r and redraws what depends on
// the frame's size.
func (d *Display) resizeContent(w *win, r image.Rectangle) {
	if w.frame == 0 || r.Size() == w.outer.Size() {
		return
	}
	inner := d.frame.Inner(image.Rectangle{Max: r.Size()})
	xproto.ConfigureWindow(d.c.X, w.content, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{uint32(inner.Dx()), uint32(inner.Dy())})
	w.outer = r
	d.drawFrame(w)
}

// SetOverrideRedirect turns an unmapped window into one with or without frame.
func (d *Display) SetOverrideRedirect(id display.Window, or bool) {
	w := d.wins[xproto.Window(id)]
	if w == nil || w.or == or {
		return
	}
	w.or = or
	switch {
	case w.frame != 0:
		d.bare(w)
	case d.opt.Own && !or:
		if err := d.addFrame(w); err != nil {
			d.opt.Log.Error("framing a window", "err", err)
			return
		}
		inner := d.frame.Inner(image.Rectangle{Max: w.outer.Size()})
		d.attributes(w, contentEvents)
		xproto.ReparentWindow(d.c.X, w.content, w.frame, int16(inner.Min.X), int16(inner.Min.Y))
		xproto.MapWindow(d.c.X, w.content)
	default:
		d.attributes(w, contentEvents|topEvents)
	}
	if d.opt.Own {
		d.dress(w)
	}
}

// bare takes the frame off an unmapped window.
func (d *Display) bare(w *win) {
	if w.frame == 0 {
		return
	}
	inner := d.frame.Inner(w.outer)
	xproto.UnmapWindow(d.c.X, w.content)
	xproto.ReparentWindow(d.c.X, w.content, d.root, int16(inner.Min.X), int16(inner.Min.Y))
	xproto.DestroyWindow(d.c.X, w.frame)
	delete(d.wins, w.frame)
	d.c.FreeID(uint32(w.frame))
	w.frame, w.outer = 0, inner
	d.attributes(w, contentEvents|topEvents)
}

func (d *Display) attributes(w *win, events uint32) {
	xproto.ChangeWindowAttributes(d.c.X, w.content, xproto.CwBackPixel|xproto.CwBitGravity|xproto.CwOverrideRedirect|xproto.CwEventMask,
		[]uint32{d.contentPixel(w), d.gravity(w.or), bit(w.or), events})
}

// drawFrame paints what the frame's background does not: pattern, title, close box.
func (d *Display) drawFrame(w *win) {
	size := w.outer.Size()
	d.drawTitle(w)
	d.fill(w.frame, d.gcs[gcAccent], d.frame.Pattern(size))
	d.fill(w.frame, d.gcs[gcLine], []image.Rectangle{d.frame.LineRect(size)})
}

func (d *Display) drawTitle(w *win) {
	size := w.outer.Size()
	bar, box := d.frame.BarRect(size), d.frame.CloseRect(size)
	p := d.frame.Title(w.title, bar.Dx()-box.Dx(), w.active)
	rest := image.Rect(bar.Min.X+p.Width, bar.Min.Y, bar.Max.X, d.frame.LineRect(size).Min.Y)
	d.fill(w.frame, d.gcs[gcLabel], []image.Rectangle{rest})
	d.putPixels(w.frame, p, bar.Min)
	d.drawClose(w)
}

func (d *Display) drawClose(w *win) {
	box := d.frame.CloseRect(w.outer.Size())
	if box.Dx() == box.Dy() { // a narrower one would cover the border
		d.putPixels(w.frame, d.frame.Close(w.active, w.hot), box.Min)
	}
}

// SetCursor shows a glyph of the cursor font over the content.
func (d *Display) SetCursor(id display.Window, c wire.Cursor) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	var cursor xproto.Cursor
	if glyph, ok := c.Glyph(); ok {
		cursor = d.cursor(glyph)
	} else if w.frame != 0 {
		cursor = d.cursor(glyphArrow) // not the frame's, which may be an edge's
	}
	xproto.ChangeWindowAttributes(d.c.X, w.content, xproto.CwCursor, []uint32{uint32(cursor)})
}

// Glyphs of the X cursor font.
const glyphArrow = 68

var partGlyphs = map[frame.Part]uint16{
	frame.North: 138, frame.NorthEast: 136, frame.East: 96, frame.SouthEast: 14,
	frame.South: 16, frame.SouthWest: 12, frame.West: 70, frame.NorthWest: 134,
}

// cursor makes a cursor of a glyph, once; glyphs with odd numbers do not exist.
func (d *Display) cursor(glyph uint16) xproto.Cursor {
	if glyph%2 != 0 {
		return 0
	}
	if c, ok := d.cursors[glyph]; ok {
		return c
	}
	if d.font == 0 {
		id, err := d.c.NewID()
		if err != nil {
			return 0
		}
		d.font = xproto.Font(id)
		xproto.OpenFont(d.c.X, d.font, uint16(len("cursor")), "cursor")
	}
	id, err := d.c.NewID()
	if err != nil {
		return 0
	}
	xproto.CreateGlyphCursor(d.c.X, xproto.Cursor(id), d.font, d.font, glyph, glyph+1, 0, 0, 0, 0xffff, 0xffff, 0xffff)
	d.cursors[glyph] = xproto.Cursor(id)
	return xproto.Cursor(id)
}

func bit(v bool) uint32 {
	if v {
		return 1
	}
	return 0
}
