package agent

import (
	"fmt"
	"slices"
	"time"

	"qubist/gui/internal/agent/region"
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/composite"
	"github.com/BurntSushi/xgb/damage"
	"github.com/BurntSushi/xgb/shm"
	"github.com/BurntSushi/xgb/xfixes"
	"github.com/BurntSushi/xgb/xproto"
)

// maxRects is how many rectangles of one capture are told; more are told as one that
// holds them all.
const maxRects = 16

// change says what of an image is out of date.
type change uint8

const (
	changeNone change = iota
	changePart        // what the damage object collected
	changeAll
)

// image is a window's place in the region. The X server has it as a shared pixmap and
// copies from the window's own pixmap into it.
type image struct {
	named  xproto.Pixmap // the window's content; another one after each resize or mapping
	shared xproto.Pixmap
	span   region.Span
	w, h   uint16
	dumped bool // the daemon knows this image

	change change
	moved  bool // named does not belong to the window's present size
	since  time.Time
	last   time.Time // of the last capture
}

// mark notes that w's image is out of date.
func (s *session) mark(w *window, c change) {
	w.image.change = max(w.image.change, c)
	s.dirty[w] = struct{}{}
}

// clean notes that there is nothing to capture of w.
func (s *session) clean(w *window) {
	w.image.change, w.image.since = changeNone, time.Time{}
	delete(s.dirty, w)
}

// due is when the next capture should be: at once after a pause, else a frame later.
func (i *image) due(now time.Time) time.Time {
	if i.since.IsZero() {
		i.since = now
	}
	due := i.since.Add(settleTime)
	if next := i.last.Add(FrameTime); next.After(due) {
		return next
	}
	return due
}

// shot is one capture under way: requests were sent, answers are to be collected.
type shot struct {
	w      *window
	whole  bool
	fresh  *fresh // the image is a new one
	damage xfixes.FetchRegionCookie
}

// fresh is an image being set up.
type fresh struct {
	old    image
	name   composite.NameWindowPixmapCookie
	create shm.CreatePixmapCookie
}

// capture brings the images that are due up to date and tells the daemon. All requests go
// out before the first answer is awaited, so a turn costs one round trip.
func (s *session) capture(now time.Time) {
	if s.link == nil || s.alloc == nil {
		return
	}
	if s.link.busy() {
		s.wakeAt(now.Add(FrameTime))
		return
	}
	var shots []shot
	for w := range s.dirty {
		if !w.shown || w.unacked > 0 && w.needsPlace() {
			continue // MAP or the acknowledgement will bring us here again
		}
		if due := w.image.due(now); due.After(now) {
			s.wakeAt(due)
			continue
		}
		if sh, ok := s.shoot(w, now); ok {
			shots = append(shots, sh)
		}
	}
	for _, sh := range shots {
		if rects, ok := s.collect(sh); ok {
			s.tellChanged(sh.w, rects)
		}
	}
}

// needsPlace reports whether w's image has to move in the region.
func (w *window) needsPlace() bool {
	return w.image.shared == 0 || w.image.moved || w.image.w != w.place.w || w.image.h != w.place.h
}

// shoot sends the requests of one capture: what is damaged from now on belongs to the
// next one.
func (s *session) shoot(w *window, now time.Time) (shot, bool) {
	sh := shot{w: w, whole: w.image.change == changeAll || !w.image.dumped}
	s.clean(w)
	gc, err := s.gc(w.depth)
	if err != nil {
		s.log.Warn("window has no image", "err", err, "window", w.id)
		return sh, false
	}
	if w.needsPlace() {
		if !s.place(w, &sh) {
			return sh, false
		}
		sh.whole = true
	}
	x := s.x.X
	clip := s.scratch
	if sh.whole {
		clip = 0
	}
	damage.Subtract(x, w.damage, 0, s.scratch)
	xfixes.SetGCClipRegion(x, gc, clip, 0, 0)
	xproto.CopyArea(x, xproto.Drawable(w.image.named), xproto.Drawable(w.image.shared), gc, 0, 0, 0, 0, w.image.w, w.image.h)
	sh.damage = xfixes.FetchRegion(x, s.scratch)
	w.image.last = now
	return sh, true
}

// place gives w a new image of its present size.
func (s *session) place(w *window, sh *shot) bool {
	if w.place.w > wire.MaxWidth || w.place.h > wire.MaxHeight {
		s.log.Warn("window is too large for an image", "window", w.id, "width", w.place.w, "height", w.place.h)
		return false
	}
	span, err := s.alloc.Take(int64(w.place.w) * int64(w.place.h) * wire.BytesPerPixel)
	if err != nil {
		used, total := s.alloc.InUse()
		s.log.Warn("window has no image", "err", err, "window", w.id, "width", w.place.w, "height", w.place.h, "used", used, "pages", total)
		s.starved = true
		return false
	}
	named, err1 := s.x.NewID()
	shared, err2 := s.x.NewID()
	if err1 != nil || err2 != nil {
		s.alloc.Release(span)
		return false
	}
	sh.fresh = &fresh{old: w.image}
	w.image = image{
		named: xproto.Pixmap(named), shared: xproto.Pixmap(shared), span: span,
		w: w.place.w, h: w.place.h, last: w.image.last,
	}
	sh.fresh.name = composite.NameWindowPixmapChecked(s.x.X, w.id, w.image.named)
	sh.fresh.create = shm.CreatePixmapChecked(s.x.X, w.image.shared, xproto.Drawable(s.root), w.image.w, w.image.h, w.depth, s.seg, span.Offset())
	return true
}

// gc returns the graphics context for drawables of a depth. Only the two depths whose
// pixels dom0 understands have one.
func (s *session) gc(depth byte) (xproto.Gcontext, error) {
	if gc, ok := s.gcs[depth]; ok {
		return gc, nil
	}
	if depth != 24 && depth != 32 {
		return 0, fmt.Errorf("windows of depth %d are not supported", depth)
	}
	id, err := s.x.NewID()
	if err != nil {
		return 0, err
	}
	pixmap, err := s.x.NewID()
	if err != nil {
		return 0, err
	}
	gc := xproto.Gcontext(id)
	xproto.CreatePixmap(s.x.X, depth, xproto.Pixmap(pixmap), xproto.Drawable(s.root), 1, 1)
	err = xproto.CreateGCChecked(s.x.X, gc, xproto.Drawable(pixmap), xproto.GcGraphicsExposures, []uint32{0}).Check()
	xproto.FreePixmap(s.x.X, xproto.Pixmap(pixmap))
	s.x.FreeID(pixmap)
	if err != nil {
		s.x.FreeID(id)
		return 0, fmt.Errorf("making a graphics context of depth %d: %w", depth, err)
	}
	s.gcs[depth] = gc
	return gc, nil
}

// collect awaits a capture. When it returns, the pixels are in the region.
func (s *session) collect(sh shot) ([]xproto.Rectangle, bool) {
	reply, err := sh.damage.Reply()
	w := sh.w
	if f := sh.fresh; f != nil {
		nameErr, createErr := f.name.Check(), f.create.Check()
		if nameErr != nil || createErr != nil {
			// Unmapped or destroyed meanwhile; the event that says so is on its way, and a
			// next mapping starts anew.
			s.log.Debug("window has no pixmap", "window", w.id, "name", nameErr, "create", createErr)
			s.freePixmaps(w.image)
			s.alloc.Release(w.image.span)
			w.image = f.old
			s.clean(w)
			return nil, false
		}
		s.freePixmaps(f.old)
		s.tellImage(w, f.old.span)
	} else if !w.image.dumped {
		s.tellImage(w, region.Span{})
	}
	if err != nil {
		return nil, false
	}
	if sh.whole {
		return []xproto.Rectangle{{Width: w.image.w, Height: w.image.h}}, true
	}
	if len(reply.Rectangles) > maxRects {
		return []xproto.Rectangle{reply.Extents}, true
	}
	return reply.Rectangles, true
}

// tellImage sends the dump. The pages of the image before it stay taken until the daemon
// says that it reads them no more.
func (s *session) tellImage(w *window, old region.Span) {
	id := uint32(w.id)
	send(s.link, id, wire.WindowDump{
		Kind: wire.DumpRegion, Width: uint32(w.image.w), Height: uint32(w.image.h), BPP: 32, Offset: w.image.span.Page,
	})
	w.image.dumped = true
	if s.link.version < wire.VersionDumpAck {
		s.release(old)
		return
	}
	w.unacked++
	s.link.expected = append(s.link.expected, expectation{id, old})
}

// acknowledged handles the daemon's answer to a dump: it reads the image before it no more.
func (s *session) acknowledged(id uint32) {
	i := slices.IndexFunc(s.link.expected, func(e expectation) bool { return e.window == id })
	if i < 0 {
		return
	}
	s.release(s.link.expected[i].span)
	s.link.expected = slices.Delete(s.link.expected, i, i+1)
	if w := s.windows[xproto.Window(id)]; w != nil && w.unacked > 0 {
		w.unacked--
	}
}

func (s *session) tellChanged(w *window, rects []xproto.Rectangle) {
	for _, r := range rects {
		send(s.link, uint32(w.id), wire.ShmImage{X: int32(r.X), Y: int32(r.Y), Width: int32(r.Width), Height: int32(r.Height)})
	}
}

// dropImage forgets w's image, for a window that is not shown any more.
func (s *session) dropImage(w *window) {
	s.freePixmaps(w.image)
	s.release(w.image.span)
	w.image = image{}
	delete(s.dirty, w)
}

func (s *session) freePixmaps(i image) {
	for _, p := range []xproto.Pixmap{i.named, i.shared} {
		if p != 0 {
			xproto.FreePixmap(s.x.X, p)
			s.x.FreeID(uint32(p))
		}
	}
}

// release gives pages back and lets windows without an image try again.
func (s *session) release(span region.Span) {
	if s.alloc == nil || span.Pages == 0 {
		return
	}
	s.alloc.Release(span)
	if !s.starved {
		return
	}
	s.starved = false
	for _, w := range s.windows {
		if w.mapped && w.image.shared == 0 {
			s.mark(w, changeAll)
		}
	}
}
