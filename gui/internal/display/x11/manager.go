package x11

import (
	"encoding/binary"
	"image"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
)

// manager is the window manager as far as it is known.
type manager struct {
	window     xproto.Window // its check window; 0 without a window manager
	moveResize bool          // it supports _NET_WM_MOVERESIZE
}

// findManager looks for a running window manager by EWMH's check window.
func (d *Display) findManager() {
	d.wm = manager{}
	check := d.atoms["_NET_SUPPORTING_WM_CHECK"]
	ws := d.get32(d.root, check, 0, 1)
	if len(ws) != 1 || !slices.Equal(d.get32(xproto.Window(ws[0]), check, 0, 1), ws) {
		return // none, or the leftovers of one that died
	}
	d.wm.window = xproto.Window(ws[0])
	supported := d.get32(d.root, d.atoms["_NET_SUPPORTED"], 0, 1024)
	d.wm.moveResize = slices.Contains(supported, uint32(d.atoms["_NET_WM_MOVERESIZE"]))
}

// maxArea bounds each number of a work area; beyond it the old area is kept (§6.2).
const maxArea = 1 << 20

// readWorkArea reads where the window manager leaves room for windows.
func (d *Display) readWorkArea() {
	if !d.opt.Own {
		r, err := d.exactWorkArea()
		if d.failed = d.failed || err != nil; !r.Empty() {
			d.screen.WorkArea = r
		}
		return
	}
	whole := image.Rect(0, 0, int(d.screen.Width), int(d.screen.Height))
	if d.screen.WorkArea.Empty() {
		d.screen.WorkArea = whole
	}
	if d.wm.window == 0 {
		d.screen.WorkArea = whole
		return
	}
	var desktop uint32
	if vs := d.get32(d.root, d.atoms["_NET_CURRENT_DESKTOP"], 0, 1); len(vs) == 1 && vs[0] <= maxArea {
		desktop = vs[0]
	}
	vs := d.get32(d.root, d.atoms["_NET_WORKAREA"], 4*desktop, 4)
	if len(vs) != 4 || slices.Max(vs) > maxArea {
		return
	}
	r := image.Rect(int(vs[0]), int(vs[1]), int(vs[0]+vs[2]), int(vs[1]+vs[3])).Intersect(whole)
	if !r.Empty() {
		d.screen.WorkArea = r
	}
}

// scale is the screen's density against 96 dpi, as the resource Xft.dpi gives it.
func (d *Display) scale() float64 {
	r, err := xproto.GetProperty(d.c.X, false, d.root, xproto.AtomResourceManager, xproto.AtomString, 0, 1<<16).Reply()
	if err != nil {
		return 1
	}
	for line := range strings.Lines(string(r.Value)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "Xft.dpi" {
			continue
		}
		if dpi, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			return dpi / 96
		}
	}
	return 1
}

func (d *Display) stateAtoms(st display.State) []uint32 {
	var as []uint32
	add := func(flag display.State, names ...string) {
		for _, n := range names {
			if st&flag != 0 {
				as = append(as, uint32(d.atoms[n]))
			}
		}
	}
	add(display.Fullscreen, "_NET_WM_STATE_FULLSCREEN")
	add(display.Maximized, "_NET_WM_STATE_MAXIMIZED_VERT", "_NET_WM_STATE_MAXIMIZED_HORZ")
	add(display.Attention, "_NET_WM_STATE_DEMANDS_ATTENTION")
	return as
}

// WriteState sets the states an unmapped window will have once it is mapped.
func (d *Display) WriteState(id display.Window, st display.State) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	w.states = st
	if as := d.stateAtoms(st); len(as) > 0 {
		d.set32(w.top(), d.atoms["_NET_WM_STATE"], xproto.AtomAtom, as...)
		return
	}
	xproto.DeleteProperty(d.c.X, w.top(), d.atoms["_NET_WM_STATE"])
}

// RequestState asks the window manager; without one, filling the screen is done here and
// attention has nobody to ask for it.
func (d *Display) RequestState(id display.Window, st display.State, on bool) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	if d.wm.window == 0 && d.opt.Own {
		if st&(display.Fullscreen|display.Maximized) != 0 {
			d.fillScreen(w, on)
		}
		return
	}
	as := append(d.stateAtoms(st), 0)
	d.tellManager(w.top(), d.atoms["_NET_WM_STATE"], bit(on), as[0], as[1%len(as)], 1, 0)
}

// fillScreen gives a window the whole work area, or back what it had before.
func (d *Display) fillScreen(w *win, on bool) {
	switch {
	case on && w.saved.Empty():
		w.saved = w.outer
		d.configure(w, d.screen.WorkArea)
	case !on && !w.saved.Empty():
		r := w.saved
		w.saved = image.Rectangle{}
		d.configure(w, r)
	}
}

// Iconify asks the window manager to minimise the window.
func (d *Display) Iconify(id display.Window) {
	const iconicState = 3
	if w := d.wins[xproto.Window(id)]; w != nil && (d.wm.window != 0 || !d.opt.Own) {
		d.tellManager(w.top(), d.atoms["WM_CHANGE_STATE"], iconicState, 0, 0, 0, 0)
	}
}

// tellManager sends a client message about w to the root window.
func (d *Display) tellManager(w xproto.Window, typ xproto.Atom, data ...uint32) {
	ev := xproto.ClientMessageEvent{Format: 32, Window: w, Type: typ, Data: xproto.ClientMessageDataUnionData32New(data)}
	xproto.SendEvent(d.c.X, false, d.root, xproto.EventMaskSubstructureNotify|xproto.EventMaskSubstructureRedirect, string(ev.Bytes()))
}

// readStates reads what the window manager says about a window.
func (d *Display) readStates(w *win) (st display.State) {
	vert, horz := false, false
	for _, a := range d.get32(w.top(), d.atoms["_NET_WM_STATE"], 0, 64) {
		switch xproto.Atom(a) {
		case d.atoms["_NET_WM_STATE_FULLSCREEN"]:
			st |= display.Fullscreen
		case d.atoms["_NET_WM_STATE_MAXIMIZED_VERT"]:
			vert = true
		case d.atoms["_NET_WM_STATE_MAXIMIZED_HORZ"]:
			horz = true
		case d.atoms["_NET_WM_STATE_DEMANDS_ATTENTION"]:
			st |= display.Attention
		case d.atoms["_NET_WM_STATE_HIDDEN"]:
			st |= display.Hidden
		}
	}
	if vert && horz {
		st |= display.Maximized
	}
	return st
}

// RaiseOverride raises the window to the top or, if a screen locker is up, right below it.
func (d *Display) RaiseOverride(id display.Window) {
	if w := d.wins[xproto.Window(id)]; w != nil {
		d.raise(w)
	}
}

func (d *Display) findLocker() xproto.Window {
	tree, err := xproto.QueryTree(d.c.X, d.root).Reply()
	if err != nil {
		return 0
	}
	attrs := make([]xproto.GetWindowAttributesCookie, len(tree.Children))
	for i, c := range tree.Children {
		attrs[i] = xproto.GetWindowAttributes(d.c.X, c)
	}
	for i, c := range tree.Children {
		at, err := attrs[i].Reply()
		if err != nil || !at.OverrideRedirect || at.MapState != xproto.MapStateViewable || d.wins[c] != nil {
			continue
		}
		r, err := xproto.GetProperty(d.c.X, false, c, xproto.AtomWmClass, xproto.AtomString, 0, 64).Reply()
		if err != nil {
			continue
		}
		if name, _, _ := strings.Cut(string(r.Value), "\x00"); slices.Contains(d.opt.Lockers, name) {
			return c
		}
	}
	return 0
}

// frameExtents reads how much a window manager adds around w.
func (d *Display) frameExtents(w *win) {
	w.wmFrame = [4]int{}
	if vs := d.get32(w.top(), d.atoms["_NET_FRAME_EXTENTS"], 0, 4); len(vs) == 4 && slices.Max(vs) < maxArea {
		for i, v := range vs {
			w.wmFrame[i] = int(v)
		}
	}
}

// data32 reads the i-th number of a client message.
func data32(ev xproto.ClientMessageEvent, i int) uint32 {
	if ev.Format == 32 && i < len(ev.Data.Data32) {
		return ev.Data.Data32[i]
	}
	b := ev.Data.Data8
	if len(b) >= 4*i+4 {
		return binary.LittleEndian.Uint32(b[4*i:])
	}
	return 0
}
