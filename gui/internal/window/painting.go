package window

import (
	"image"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

// border is the frame drawn inside w; managed windows have theirs around them.
func (s *State) border(w *win) border {
	if w.or {
		return border{width: wire.BorderWidth}
	}
	if w.docked {
		return border{width: s.cfg.Tray.Border, inset: s.cfg.Tray.Inset}
	}
	return border{}
}

// source is the picture w is painted from, the part of it that covers the window in window
// coordinates, and what to add to get picture coordinates.
func (s *State) source(w *win) (img display.Image, part image.Rectangle, offset image.Point, ok bool) {
	if w.hasImage {
		return w.image, image.Rect(0, 0, w.image.Width, w.image.Height), image.Point{}, true
	}
	if sw := s.windows[wire.ScreenWindow]; sw != nil && sw.hasImage {
		part = image.Rect(0, 0, sw.image.Width, sw.image.Height).Sub(w.rect.Min)
		return sw.image, part.Intersect(image.Rectangle{Max: w.rect.Size()}), w.rect.Min, true
	}
	return display.Image{}, image.Rectangle{Max: w.rect.Size()}, image.Point{}, false
}

// damaged notes what the agent says has changed; EndTurn paints it.
func (s *State) damaged(w *win, m wire.ShmImage) {
	if !w.mapped && !w.docked || m.X < 0 || m.Y < 0 || m.Width < 0 || m.Height < 0 {
		return
	}
	r := image.Rect(int(m.X), int(m.Y), int(m.X)+int(m.Width), int(m.Y)+int(m.Height))
	r = r.Intersect(image.Rectangle{Max: w.rect.Size()})
	if r.Empty() {
		return
	}
	w.damage.add(r)
	if !w.isDirty {
		w.isDirty = true
		s.dirty = append(s.dirty, w)
	}
}

// paintNow paints w's damage before the turn ends.
func (s *State) paintNow(w *win) {
	if w.damage.n > 0 {
		s.paintDamage(w)
	}
}

func (s *State) paintDamage(w *win) {
	if w.mapped || w.docked {
		for _, r := range w.damage.rects[:w.damage.n] {
			s.put(w, r)
		}
	}
	w.damage.n = 0
}

// put paints pixels inside the frame.
func (s *State) put(w *win, r image.Rectangle) {
	img, part, offset, ok := s.source(w)
	p := planPaint(w.rect.Size(), s.border(w), part, offset, r.Min.X, r.Min.Y, r.Dx(), r.Dy())
	switch {
	case p.fillAll:
		s.drv.Fill(w.local, display.LabelColour, image.Rectangle{Max: w.rect.Size()})
		return
	case ok && !p.paint.Empty() && w.docked && s.cfg.Tray.Filters():
		s.putIcon(w, p.paint)
	case ok && !p.paint.Empty():
		s.drv.Put(w.local, img, image.Rectangle{p.from, p.from.Add(p.paint.Size())}, p.paint.Min)
	}
	if p.frame {
		s.drawFrame(w)
	}
}

// putIcon paints part of a docked window recoloured. To tell an icon from its ground, all
// of the picture is needed.
func (s *State) putIcon(w *win, r image.Rectangle) {
	if !w.hasImage {
		return
	}
	if s.cfg.Tray.Background {
		r = image.Rect(0, 0, w.image.Width, w.image.Height).Intersect(image.Rectangle{Max: w.rect.Size()})
	}
	s.drv.PutThrough(w.local, w.image, r, r.Min, s.icons.Apply)
}

func (s *State) drawFrame(w *win) {
	if b := s.border(w); b.width > 0 {
		sides := frameRects(w.rect.Size(), b)
		s.drv.Fill(w.local, display.LabelColour, sides[:]...)
	}
}

// paint restores a part of a window: frame, pixels, and the neutral ground where there are
// none. The frame is drawn whether or not the qube ever sent a pixel.
func (s *State) paint(w *win, r image.Rectangle) {
	size, b := w.rect.Size(), s.border(w)
	if size.X <= 2*b.width || size.Y <= 2*b.width {
		s.drv.Fill(w.local, display.LabelColour, image.Rectangle{Max: size})
		return
	}
	inner := image.Rectangle{Max: size}.Inset(b.width)
	r = r.Intersect(image.Rectangle{Max: size})
	if !r.In(inner) {
		defer s.drawFrame(w)
	}
	r = r.Intersect(inner)
	_, part, _, ok := s.source(w)
	if !ok {
		s.drv.Fill(w.local, display.Ground, r)
		return
	}
	for _, rest := range outside(r, part) {
		if !rest.Empty() {
			s.drv.Fill(w.local, display.Ground, rest)
		}
	}
	if r = r.Intersect(part); !r.Empty() {
		s.put(w, r)
	}
}

// outside cuts r minus part into up to four rectangles.
func outside(r, part image.Rectangle) [4]image.Rectangle {
	in := r.Intersect(part)
	if in.Empty() {
		return [4]image.Rectangle{r}
	}
	return [4]image.Rectangle{
		image.Rect(r.Min.X, r.Min.Y, r.Max.X, in.Min.Y),
		image.Rect(r.Min.X, in.Max.Y, r.Max.X, r.Max.Y),
		image.Rect(r.Min.X, in.Min.Y, in.Min.X, in.Max.Y),
		image.Rect(in.Max.X, in.Min.Y, r.Max.X, in.Max.Y),
	}
}
