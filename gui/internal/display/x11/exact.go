package x11

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/xconn"
)

// What only the mode wm does, because the original does it.

// exact prepares for it.
func (d *Display) exact() error {
	if d.opt.Own {
		return nil
	}
	supported := d.get32(d.root, d.atoms["_NET_SUPPORTED"], 0, 1024)
	if !slices.Contains(supported, uint32(d.atoms["_NET_WM_USER_TIME_WINDOW"])) {
		return nil
	}
	id, err := d.c.NewID()
	if err != nil {
		return err
	}
	d.clock = xproto.Window(id)
	xproto.CreateWindow(d.c.X, 0, d.clock, d.root, -2, -2, 1, 1, 0, xproto.WindowClassInputOnly, 0, 0, nil)
	return nil
}

// userTime notes when the user last did something with a window.
func (d *Display) userTime(w *win, t xproto.Timestamp) {
	to := w.top()
	if d.clock != 0 {
		to = d.clock
	}
	d.set32(to, d.atoms["_NET_WM_USER_TIME"], xproto.AtomCardinal, uint32(t))
}

// errWorkArea: a window manager's properties make no sense.
var errWorkArea = errors.New("the work area cannot be told")

// firstWorkArea reads the work area when there is no older one to fall back to.
func (d *Display) firstWorkArea() error {
	d.screen.WorkArea = image.Rect(0, 0, int(d.screen.Width), int(d.screen.Height))
	if d.opt.Own {
		d.readWorkArea()
		return nil
	}
	r, err := d.exactWorkArea()
	if err == nil && r.Empty() {
		err = errWorkArea
	}
	if err != nil {
		return err
	}
	d.screen.WorkArea = r
	return nil
}

// exactWorkArea is empty when the old one is to be kept. A malformed number of the desktop
// is an error: whatever area were taken, a window without decoration might cover what must
// stay visible.
func (d *Display) exactWorkArea() (image.Rectangle, error) {
	whole := image.Rect(0, 0, int(d.screen.Width), int(d.screen.Height))
	desktop := d.property32(d.atoms["_NET_CURRENT_DESKTOP"], 0, 2)
	switch {
	case desktop == nil:
		return whole, nil
	case len(desktop) != 1 || desktop[0] > maxArea:
		return whole, fmt.Errorf("%w: malformed number of the desktop", errWorkArea)
	}
	vs := d.property32(d.atoms["_NET_WORKAREA"], 4*desktop[0], 4)
	switch {
	case vs == nil:
		return whole, nil
	case len(vs) != 4 || slices.Max(vs) > maxArea:
		return image.Rectangle{}, nil
	}
	return image.Rect(int(vs[0]), int(vs[1]), int(vs[0]+vs[2]), int(vs[1]+vs[3])), nil
}

// property32 reads a property of the root window; nil when there is none, empty when it is
// of another kind.
func (d *Display) property32(prop xproto.Atom, first, most uint32) []uint32 {
	r, err := xproto.GetProperty(d.c.X, false, d.root, prop, xproto.AtomCardinal, first, most).Reply()
	switch {
	case err != nil:
		return []uint32{}
	case r.Type == 0:
		return nil
	case r.Format != 32:
		return []uint32{}
	}
	return append([]uint32{}, decode32(r.Value)...)
}

// ParseColour understands 0xRRGGBB, #RRGGBB and the names the X server knows.
func ParseColour(c *xconn.Conn, s string) (uint32, error) {
	digits, isNumber := strings.CutPrefix(s, "0x")
	if !isNumber && len(s) == len("#rrggbb") {
		digits, isNumber = strings.CutPrefix(s, "#")
	}
	if isNumber {
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is no colour", s)
		}
		return uint32(n) & 0xffffff, nil
	}
	r, err := xproto.LookupColor(c.X, c.Screen.DefaultColormap, uint16(len(s)), s).Reply()
	if err != nil {
		return 0, fmt.Errorf("%q is no colour", s)
	}
	return uint32(r.ExactRed>>8)<<16 | uint32(r.ExactGreen>>8)<<8 | uint32(r.ExactBlue>>8), nil
}
