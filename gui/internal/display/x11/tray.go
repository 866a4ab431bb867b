package x11

import (
	"fmt"
	"image"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

// Numbers of the system tray and XEmbed protocols.
const (
	requestDock     = 0
	xembedMapped    = 1
	xembedEmbedded  = 0
	xembedFocusIn   = 4
	notifyNonlinear = 3
)

// Dock marks the window as embeddable and asks the tray's owner to take it in.
func (d *Display) Dock(id display.Window) {
	w := d.wins[xproto.Window(id)]
	if w == nil {
		return
	}
	d.bare(w)
	w.docked = true
	r, err := xproto.GetSelectionOwner(d.c.X, d.tray).Reply()
	if err != nil || r.Owner == 0 {
		return
	}
	info := d.atoms["_XEMBED_INFO"]
	d.set32(w.content, info, info, 0, xembedMapped)
	ev := xproto.ClientMessageEvent{Format: 32, Window: r.Owner, Type: d.atoms["_NET_SYSTEM_TRAY_OPCODE"],
		Data: xproto.ClientMessageDataUnionData32New([]uint32{0, requestDock, uint32(w.content), 0, 0})}
	xproto.SendEvent(d.c.X, false, r.Owner, xproto.EventMaskNoEvent, string(ev.Bytes()))
}

// internTray finds the selection that a tray of this screen owns.
func (d *Display) internTray(screen int) (err error) {
	d.tray, err = d.c.Atom(fmt.Sprintf("_NET_SYSTEM_TRAY_S%d", screen))
	return err
}

// xembed handles what a tray tells an icon.
func (d *Display) xembed(buf []display.Event, w *win, opcode uint32) []display.Event {
	switch opcode {
	case xembedEmbedded:
		ev := w.event(display.Embedded)
		ev.Rect = d.inRoot(w)
		return append(buf, ev)
	case xembedFocusIn:
		ev := w.event(display.Focus)
		ev.Code, ev.Mode, ev.Detail, ev.Keys = wire.FocusIn, wire.NotifyNormal, notifyNonlinear, d.keys()
		return append(buf, ev)
	}
	return buf
}

// inRoot asks where a window's content is.
func (d *Display) inRoot(w *win) image.Rectangle {
	r, err := xproto.TranslateCoordinates(d.c.X, w.content, d.root, 0, 0).Reply()
	if err != nil {
		return w.outer
	}
	at := image.Pt(int(r.DstX), int(r.DstY))
	return image.Rectangle{at, at.Add(w.outer.Size())}
}
