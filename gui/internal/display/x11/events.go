package x11

import (
	"image"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/internal/frame"
	"qubist/gui/wire"
)

// Poll translates the events that have arrived.
func (d *Display) Poll(buf []display.Event) []display.Event {
	d.raw = d.c.Poll(d.raw[:0])
	for _, e := range d.raw {
		if e.Error != nil {
			d.opt.Log.Debug("x error", "err", e.Error)
			continue
		}
		buf = d.translate(buf, e.Event)
	}
	clear(d.raw)
	d.dragTo()
	if d.failed {
		buf = append(buf, display.Event{Kind: display.Failed})
	}
	return buf
}

func (d *Display) translate(buf []display.Event, e any) []display.Event {
	switch e := e.(type) {
	case xproto.ExposeEvent:
		return d.exposed(buf, e)
	case xproto.MotionNotifyEvent:
		return d.motion(buf, e)
	case xproto.KeyPressEvent:
		return d.key(buf, wire.KeyPress, e)
	case xproto.KeyReleaseEvent:
		return d.key(buf, wire.KeyRelease, xproto.KeyPressEvent(e))
	case xproto.ButtonPressEvent:
		return d.button(buf, wire.ButtonPress, e)
	case xproto.ButtonReleaseEvent:
		return d.button(buf, wire.ButtonRelease, xproto.ButtonPressEvent(e))
	case xproto.EnterNotifyEvent:
		return d.crossing(buf, wire.EnterNotify, e)
	case xproto.LeaveNotifyEvent:
		return d.crossing(buf, wire.LeaveNotify, xproto.EnterNotifyEvent(e))
	case xproto.FocusInEvent:
		return d.focus(buf, wire.FocusIn, e)
	case xproto.FocusOutEvent:
		return d.focus(buf, wire.FocusOut, xproto.FocusInEvent(e))
	case xproto.ConfigureNotifyEvent:
		return d.configured(buf, e)
	case xproto.PropertyNotifyEvent:
		return d.property(buf, e)
	case xproto.ClientMessageEvent:
		return d.message(buf, e)
	case xproto.ReparentNotifyEvent:
		if w := d.wins[e.Window]; w != nil && e.Window == w.top() {
			w.reparent = e.Parent != d.root
		}
	case xproto.MapNotifyEvent:
		if w := d.wins[e.Window]; w != nil && e.Window == w.top() && (!w.mapped || w.docked) {
			return append(buf, d.wasMapped(w))
		}
	}
	return buf
}

// wasMapped describes a window that somebody else has mapped.
func (d *Display) wasMapped(w *win) display.Event {
	ev := w.event(display.Mapped)
	if at, err := xproto.GetWindowAttributes(d.c.X, w.top()).Reply(); err == nil {
		ev.Viewable = at.MapState == xproto.MapStateViewable
	}
	return ev
}

// event starts an event of w.
func (w *win) event(kind display.Kind) display.Event {
	return display.Event{Kind: kind, Window: display.Window(w.content)}
}

func (d *Display) exposed(buf []display.Event, e xproto.ExposeEvent) []display.Event {
	w := d.wins[e.Window]
	if w == nil {
		return buf
	}
	if e.Window == w.frame {
		if e.Count == 0 {
			d.drawFrame(w)
		}
		return buf
	}
	ev := w.event(display.Exposed)
	ev.Rect = image.Rect(int(e.X), int(e.Y), int(e.X)+int(e.Width), int(e.Y)+int(e.Height))
	return append(buf, ev)
}

// inContent turns a position in the event's window into one in the content.
func (d *Display) inContent(w *win, in xproto.Window, x, y int16) image.Point {
	p := image.Pt(int(x), int(y))
	if in == w.frame && w.frame != 0 {
		l, _, t, _ := d.frame.Extents()
		p = p.Sub(image.Pt(l, t))
	}
	return p
}

func (d *Display) key(buf []display.Event, code uint32, e xproto.KeyPressEvent) []display.Event {
	w := d.wins[e.Event]
	if w == nil {
		return buf
	}
	d.userTime(w, e.Time)
	d.hear(e.Time)
	ev := w.event(display.Key)
	ev.Code, ev.State, ev.Detail = code, uint32(e.State), uint32(e.Detail)
	ev.Pos = d.inContent(w, e.Event, e.EventX, e.EventY)
	return append(buf, ev)
}

func (d *Display) button(buf []display.Event, code uint32, e xproto.ButtonPressEvent) []display.Event {
	w := d.wins[e.Event]
	if w == nil {
		return buf
	}
	d.hear(e.Time)
	d.userTime(w, e.Time)
	if code == wire.ButtonPress && w.docked {
		xproto.SetInputFocus(d.c.X, xproto.InputFocusParent, w.content, e.Time)
	}
	if code == wire.ButtonPress && w.frame != 0 && d.wm.window == 0 {
		d.raise(w)
		xproto.SetInputFocus(d.c.X, xproto.InputFocusNone, w.frame, e.Time)
	}
	if e.Event == w.frame {
		return d.frameButton(buf, w, code, e)
	}
	ev := w.event(display.Button)
	ev.Code, ev.State, ev.Detail = code, uint32(e.State), uint32(e.Detail)
	ev.Pos = image.Pt(int(e.EventX), int(e.EventY))
	return append(buf, ev)
}

func (d *Display) motion(buf []display.Event, e xproto.MotionNotifyEvent) []display.Event {
	w := d.wins[e.Event]
	if w == nil {
		return buf
	}
	p := image.Pt(int(e.EventX), int(e.EventY))
	if e.Event == w.frame {
		if d.drag.w == w {
			d.drag.to, d.drag.moved = image.Pt(int(e.RootX), int(e.RootY)), true
		} else {
			d.hover(w, d.frame.Hit(w.outer.Size(), p))
		}
		return buf
	}
	ev := w.event(display.Motion)
	ev.Pos, ev.State = p, uint32(e.State)
	return append(buf, ev)
}

// hover shows what a click on the frame would do.
func (d *Display) hover(w *win, part frame.Part) {
	if hot := part == frame.CloseBox; hot != w.hot {
		w.hot = hot
		d.drawClose(w)
	}
	if part == w.part {
		return
	}
	w.part = part
	glyph, ok := partGlyphs[part]
	if !ok {
		glyph = glyphArrow
	}
	xproto.ChangeWindowAttributes(d.c.X, w.frame, xproto.CwCursor, []uint32{uint32(d.cursor(glyph))})
}

func (d *Display) crossing(buf []display.Event, code uint32, e xproto.EnterNotifyEvent) []display.Event {
	w := d.wins[e.Event]
	if w == nil {
		return buf
	}
	if e.Event == w.frame {
		d.hover(w, frame.Content)
		return buf
	}
	ev := w.event(display.Crossing)
	ev.Code, ev.State, ev.Mode, ev.Detail = code, uint32(e.State), uint32(e.Mode), uint32(e.Detail)
	ev.Focus = e.SameScreenFocus&1 != 0
	ev.Pos = image.Pt(int(e.EventX), int(e.EventY))
	// A qube makes the pointer enter its windows as often as it likes: without the keyboard
	// it must not learn which keys are down.
	if code == wire.EnterNotify && (ev.Focus || d.hasKeyboard()) {
		ev.Keys = d.keys()
	}
	if code == wire.EnterNotify && w.docked {
		ev.Rect = d.inRoot(w)
	}
	return append(buf, ev)
}

// hasKeyboard reports whether a window of the qube has the keyboard.
func (d *Display) hasKeyboard() bool {
	for _, w := range d.wins {
		if w.active && w.mapped {
			return true
		}
	}
	return false
}

func (d *Display) focus(buf []display.Event, code uint32, e xproto.FocusInEvent) []display.Event {
	w := d.wins[e.Event]
	if w == nil || e.Event != w.top() {
		return buf
	}
	grab := e.Mode == xproto.NotifyModeGrab || e.Mode == xproto.NotifyModeUngrab
	if active := code == wire.FocusIn; !grab && active != w.active && e.Detail != xproto.NotifyDetailInferior {
		w.active = active
		if active {
			d.turn++
			w.turn = d.turn
		}
		if w.frame != 0 {
			d.drawTitle(w)
		}
	}
	ev := w.event(display.Focus)
	ev.Code, ev.Mode, ev.Detail = code, uint32(e.Mode), uint32(e.Detail)
	if code == wire.FocusIn && e.Mode == xproto.NotifyModeNormal { // else the keys are the grabbing program's
		ev.Keys = d.keys()
	}
	return append(buf, ev)
}

// keys asks which keys are down.
func (d *Display) keys() (keys wire.KeymapNotify) {
	if r, err := xproto.QueryKeymap(d.c.X).Reply(); err == nil {
		copy(keys[:], r.Keys)
	}
	return keys
}

// configured follows the top window. What was sent before our last request is out of date
// and would undo it.
func (d *Display) configured(buf []display.Event, e xproto.ConfigureNotifyEvent) []display.Event {
	if e.Window == d.root {
		d.screen.Width, d.screen.Height = e.Width, e.Height
		d.readWorkArea()
		return buf
	}
	w := d.wins[e.Window]
	if w == nil || e.Window != w.top() || d.c.Extend(e.Sequence) < w.asked {
		return buf
	}
	x, y := int(e.X), int(e.Y)
	if w.reparent {
		r, err := xproto.TranslateCoordinates(d.c.X, w.top(), d.root, 0, 0).Reply()
		if err != nil {
			return buf
		}
		x, y = int(r.DstX), int(r.DstY)
	}
	outer := image.Rect(x, y, x+int(e.Width), y+int(e.Height))
	d.resizeContent(w, outer)
	w.outer = outer
	ev := w.event(display.Configured)
	if ev.Rect = outer; w.frame != 0 {
		ev.Rect = d.frame.Inner(outer)
	}
	return append(buf, ev)
}

func (d *Display) property(buf []display.Event, e xproto.PropertyNotifyEvent) []display.Event {
	if e.Window == d.root {
		switch e.Atom {
		case d.atoms["_NET_SUPPORTING_WM_CHECK"], d.atoms["_NET_SUPPORTED"]:
			d.findManager()
			d.readWorkArea()
		case d.atoms["_NET_WORKAREA"], d.atoms["_NET_CURRENT_DESKTOP"]:
			if d.opt.Own || e.State == xproto.PropertyNewValue {
				d.readWorkArea()
			}
		}
		return buf
	}
	w := d.wins[e.Window]
	if w == nil || e.Window != w.top() {
		return buf
	}
	switch e.Atom {
	case d.atoms[focusMark]:
		d.hear(e.Time)
	case d.atoms["_NET_FRAME_EXTENTS"]:
		d.frameExtents(w)
	case d.atoms["_NET_WM_STATE"]:
		ev := w.event(display.Restated)
		ev.States = d.readStates(w)
		return append(buf, ev)
	}
	return buf
}

func (d *Display) message(buf []display.Event, e xproto.ClientMessageEvent) []display.Event {
	if e.Type == d.atoms["MANAGER"] && e.Window == d.root && xproto.Atom(data32(e, 1)) == d.tray {
		return append(buf, display.Event{Kind: display.TrayCame})
	}
	w := d.wins[e.Window]
	if w != nil && w.docked && e.Type == d.atoms["_XEMBED"] {
		return d.xembed(buf, w, data32(e, 1))
	}
	if w == nil || e.Type != d.atoms["WM_PROTOCOLS"] {
		return buf
	}
	switch xproto.Atom(data32(e, 0)) {
	case d.atoms["WM_DELETE_WINDOW"]:
		return append(buf, w.event(display.Closing))
	case d.atoms["_NET_WM_PING"]:
		e.Window = d.root
		xproto.SendEvent(d.c.X, false, d.root, xproto.EventMaskSubstructureNotify|xproto.EventMaskSubstructureRedirect, string(e.Bytes()))
	}
	return buf
}
