package x11

import (
	"errors"
	"fmt"
	"image"

	"github.com/BurntSushi/xgb/shm"
	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/display"
	"qubist/gui/internal/frame"
	"qubist/gui/internal/grant"
)

// Attach maps granted pages and hands them to the X server.
func (d *Display) Attach(refs []uint32) (display.Memory, error) {
	if d.opt.Grants == nil {
		return 0, fmt.Errorf("%d granted pages: there is no way to map them", len(refs))
	}
	f, err := d.opt.Grants.Map(refs)
	if errors.Is(err, grant.ErrRefused) {
		return 0, fmt.Errorf("%w: %w", display.ErrRefused, err)
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	seg, err := d.c.AttachFd(int(f.Fd()), true)
	return display.Memory(seg), err
}

// Detach gives the pages back.
func (d *Display) Detach(m display.Memory) {
	shm.Detach(d.c.X, shm.Seg(m))
	d.c.FreeID(uint32(m))
}

// Put copies pixels into the content. The X server alone reads them.
func (d *Display) Put(w display.Window, img display.Image, src image.Rectangle, dst image.Point) {
	if d.wins[xproto.Window(w)] != nil {
		d.put(xproto.Drawable(w), img, src, dst)
	}
}

func (d *Display) put(to xproto.Drawable, img display.Image, src image.Rectangle, dst image.Point) {
	seg := shm.Seg(img.Memory)
	if seg == 0 {
		seg = d.region
	}
	if seg == 0 || src.Empty() {
		return
	}
	shm.PutImage(d.c.X, to, d.gcs[gcGround], uint16(img.Width), uint16(img.Height),
		uint16(src.Min.X), uint16(src.Min.Y), uint16(src.Dx()), uint16(src.Dy()), int16(dst.X), int16(dst.Y),
		d.screen.Depth, xproto.ImageFormatZPixmap, 0, seg, img.Start)
}

// mostFiltered bounds a picture that is fetched for PutThrough, in pixels.
const mostFiltered = 1 << 20

// PutThrough lets the X server copy the pixels once, so that the qube cannot change them
// while they are worked on, and fetches the copy.
func (d *Display) PutThrough(id display.Window, img display.Image, src image.Rectangle, dst image.Point, filter func([]byte)) {
	if d.wins[xproto.Window(id)] == nil || src.Empty() || src.Dx()*src.Dy() > mostFiltered {
		return
	}
	pid, err := d.c.NewID()
	if err != nil {
		return
	}
	xproto.CreatePixmap(d.c.X, d.screen.Depth, xproto.Pixmap(pid), xproto.Drawable(d.root), uint16(src.Dx()), uint16(src.Dy()))
	d.put(xproto.Drawable(pid), img, src, image.Point{})
	r, err := xproto.GetImage(d.c.X, xproto.ImageFormatZPixmap, xproto.Drawable(pid), 0, 0, uint16(src.Dx()), uint16(src.Dy()), 1<<32-1).Reply()
	xproto.FreePixmap(d.c.X, xproto.Pixmap(pid))
	d.c.FreeID(pid)
	if err != nil || len(r.Data) < 4*src.Dx()*src.Dy() {
		return
	}
	filter(r.Data)
	d.putPixels(xproto.Window(id), frame.Pixels{Width: src.Dx(), Height: src.Dy(), Data: r.Data}, dst)
}
