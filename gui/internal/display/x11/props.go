package x11

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/internal/xconn"
	"qubist/gui/wire"
)

// atoms are those this driver uses, by name.
type atoms map[string]xproto.Atom

var atomNames = []string{
	"UTF8_STRING", "WM_PROTOCOLS", "WM_DELETE_WINDOW", "WM_CHANGE_STATE", "_MOTIF_WM_HINTS",
	"_NET_WM_PING", "_NET_WM_PID", "_NET_WM_NAME", "_NET_WM_ICON_NAME", "_NET_WM_STATE", "_NET_WM_STATE_FULLSCREEN",
	"_NET_WM_STATE_MAXIMIZED_VERT", "_NET_WM_STATE_MAXIMIZED_HORZ", "_NET_WM_STATE_DEMANDS_ATTENTION", "_NET_WM_STATE_HIDDEN",
	"_NET_WM_ICON", "_NET_WM_USER_TIME", "_NET_WM_USER_TIME_WINDOW", "_XEMBED", "_XEMBED_INFO", "_NET_SYSTEM_TRAY_OPCODE", "MANAGER",
	"_NET_WM_MOVERESIZE", "_NET_SUPPORTED", "_NET_SUPPORTING_WM_CHECK", "_NET_WORKAREA", "_NET_CURRENT_DESKTOP", "_NET_FRAME_EXTENTS",
	"_QUBES_LABEL", "_QUBES_LABEL_COLOR", "_QUBES_VMNAME", "_QUBES_VMWINDOWID",
	focusMark,
}

// internAtoms asks for all names before it waits for the first answer.
func internAtoms(c *xconn.Conn) (atoms, error) {
	cookies := make([]xproto.InternAtomCookie, len(atomNames))
	for i, name := range atomNames {
		cookies[i] = xproto.InternAtom(c.X, false, uint16(len(name)), name)
	}
	a := atoms{}
	for i, name := range atomNames {
		r, err := cookies[i].Reply()
		if err != nil {
			return nil, fmt.Errorf("interning atom %s: %w", name, err)
		}
		a[name] = r.Atom
	}
	return a, nil
}

// dress puts every property on the top window (§8). It runs before the first map, and again
// when another window has become the top.
func (d *Display) dress(w *win) {
	a := d.atoms
	top := w.top()
	d.setBytes(top, xproto.AtomWmName, xproto.AtomString, "VMapp command")
	d.setBytes(top, xproto.AtomWmIconName, xproto.AtomString, "Pixmap")
	d.setBytes(top, xproto.AtomWmCommand, xproto.AtomString, "")
	d.setBytes(top, xproto.AtomWmClientMachine, xproto.AtomString, d.host)
	d.set32(top, a["_NET_WM_PID"], xproto.AtomCardinal, uint32(os.Getpid()))
	d.set32(top, a["WM_PROTOCOLS"], xproto.AtomAtom, uint32(a["WM_DELETE_WINDOW"]), uint32(a["_NET_WM_PING"]))
	d.setBytes(top, a["_QUBES_LABEL"], xproto.AtomCardinal, string([]byte{byte(d.opt.Label)}))
	d.set32(top, a["_QUBES_LABEL_COLOR"], xproto.AtomCardinal, d.opt.Colour)
	d.setBytes(top, a["_QUBES_VMNAME"], xproto.AtomString, d.opt.Name)
	d.set32(top, a["_QUBES_VMWINDOWID"], xproto.AtomWindow, w.remote)
	if w.frame != 0 {
		// flags: decorations; no decorations.
		d.set32(top, a["_MOTIF_WM_HINTS"], a["_MOTIF_WM_HINTS"], 1<<1, 0, 0, 0, 0)
		// flags: input hint; the window wants the keyboard.
		d.set32(top, xproto.AtomWmHints, xproto.AtomWmHints, 1, 1, 0, 0, 0, 0, 0, 0, 0)
	}
	d.dressMore(w)
	d.showTitle(w)
	d.showClass(w)
	d.showHints(w)
	d.showOwner(w)
}

// dressMore puts on what the command line asks for.
func (d *Display) dressMore(w *win) {
	if icon := d.opt.Icon; icon != nil {
		d.set32(w.top(), d.atoms["_NET_WM_ICON"], xproto.AtomCardinal, append([]uint32{uint32(icon.Width), uint32(icon.Height)}, icon.Pix...)...)
	}
	if d.clock != 0 {
		d.set32(w.top(), d.atoms["_NET_WM_USER_TIME_WINDOW"], xproto.AtomWindow, uint32(d.clock))
	}
	for _, p := range d.opt.Props {
		name, err := d.c.Atom(p.Name)
		if err != nil {
			continue
		}
		switch p.Kind {
		case 's':
			d.setBytes(w.top(), name, xproto.AtomString, p.Text)
		case 'a':
			if value, err := d.c.Atom(p.Text); err == nil {
				d.set32(w.top(), name, xproto.AtomAtom, uint32(value))
			}
		case 'c':
			d.set32(w.top(), name, xproto.AtomCardinal, p.Nums...)
		}
	}
}

// SetTitle names the window, for the window manager and in our frame.
func (d *Display) SetTitle(id display.Window, title string) {
	if w := d.wins[xproto.Window(id)]; w != nil {
		w.title, w.titled = title, true
		d.showTitle(w)
		if w.frame != 0 {
			d.drawTitle(w)
		}
	}
}

func (d *Display) showTitle(w *win) {
	title := w.title
	if w.frame != 0 {
		title = "[" + d.opt.Name + "] " + title
	} else if !w.titled {
		return
	}
	utf8 := d.atoms["UTF8_STRING"]
	d.setBytes(w.top(), xproto.AtomWmName, utf8, title)
	d.setBytes(w.top(), xproto.AtomWmIconName, utf8, title)
	d.setBytes(w.top(), d.atoms["_NET_WM_NAME"], utf8, title)
	d.setBytes(w.top(), d.atoms["_NET_WM_ICON_NAME"], utf8, title)
}

// SetClass sets WM_CLASS.
func (d *Display) SetClass(id display.Window, name, class string) {
	if w := d.wins[xproto.Window(id)]; w != nil {
		w.name, w.class = name, class
		d.showClass(w)
	}
}

func (d *Display) showClass(w *win) {
	name, class := w.name, w.class
	switch {
	case class != "":
	case d.opt.Own:
		name, class = d.opt.Name, d.opt.Name
	case d.opt.IconName != "":
		name, class = d.opt.IconName, d.opt.IconName
	default:
		return
	}
	d.setBytes(w.top(), xproto.AtomWmClass, xproto.AtomString, name+"\x00"+class+"\x00")
}

// SetHints sets WM_NORMAL_HINTS.
func (d *Display) SetHints(id display.Window, h wire.WindowHints) {
	if w := d.wins[xproto.Window(id)]; w != nil {
		w.hints, w.hinted = h, true
		d.showHints(w)
	}
}

// sizeHints are the items of WM_SIZE_HINTS up to the base size; the frame counts as part
// of the window.
func (d *Display) showHints(w *win) {
	h := w.hints
	var dx, dy uint32
	if w.frame != 0 {
		l, r, t, b := d.frame.Extents()
		dx, dy = uint32(l+r), uint32(t+b)
		if h.Flags&wire.HintMinSize == 0 {
			h.Flags, h.MinWidth, h.MinHeight = h.Flags|wire.HintMinSize, 1, 1
		}
		if h.Flags&(wire.HintBaseSize|wire.HintResizeInc) == wire.HintResizeInc {
			h.Flags, h.BaseWidth, h.BaseHeight = h.Flags|wire.HintBaseSize, h.MinWidth, h.MinHeight
		}
	}
	const pSize = 8
	items := make([]uint32, 18)
	items[0] = uint32(h.Flags)
	if !d.opt.Own && !w.hinted {
		items = items[:15]
	}
	if h.Flags == 0 && (d.opt.Own || !w.hinted) {
		items[0], items[3], items[4] = pSize, uint32(w.outer.Dx()), uint32(w.outer.Dy())
	}
	put := func(flag wire.HintFlags, at int, x, y, addX, addY uint32) {
		if h.Flags&flag != 0 {
			items[at], items[at+1] = x+addX, y+addY
		}
	}
	put(wire.HintMinSize, 5, h.MinWidth, h.MinHeight, dx, dy)
	put(wire.HintMaxSize, 7, h.MaxWidth, h.MaxHeight, dx, dy)
	put(wire.HintResizeInc, 9, h.WidthInc, h.HeightInc, 0, 0)
	put(wire.HintBaseSize, 15, h.BaseWidth, h.BaseHeight, dx, dy)
	d.set32(w.top(), xproto.AtomWmNormalHints, xproto.AtomWmSizeHints, items...)
}

// SetTransient sets or removes WM_TRANSIENT_FOR.
func (d *Display) SetTransient(id, owner display.Window) {
	if w := d.wins[xproto.Window(id)]; w != nil {
		w.owner = owner
		d.showOwner(w)
	}
}

func (d *Display) showOwner(w *win) {
	if o := d.wins[xproto.Window(w.owner)]; o != nil {
		d.set32(w.top(), xproto.AtomWmTransientFor, xproto.AtomWindow, uint32(o.top()))
		return
	}
	xproto.DeleteProperty(d.c.X, w.top(), xproto.AtomWmTransientFor)
}

func (d *Display) setBytes(w xproto.Window, prop, typ xproto.Atom, value string) {
	xproto.ChangeProperty(d.c.X, xproto.PropModeReplace, w, prop, typ, 8, uint32(len(value)), []byte(value))
}

func (d *Display) set32(w xproto.Window, prop, typ xproto.Atom, values ...uint32) {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	xproto.ChangeProperty(d.c.X, xproto.PropModeReplace, w, prop, typ, 32, uint32(len(values)), b)
}

// get32 reads up to most items of a property of format 32; nil when it is absent.
func (d *Display) get32(w xproto.Window, prop xproto.Atom, first, most uint32) []uint32 {
	r, err := xproto.GetProperty(d.c.X, false, w, prop, xproto.GetPropertyTypeAny, first, most).Reply()
	if err != nil || r.Format != 32 {
		return nil
	}
	return decode32(r.Value)
}

func decode32(b []byte) []uint32 {
	vs := make([]uint32, len(b)/4)
	for i := range vs {
		vs[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return vs
}
