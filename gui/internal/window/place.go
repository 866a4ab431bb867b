package window

import (
	"image"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

// overrideFits reports whether an override-redirect window of this size may exist: it
// covers at most MaxOverridePercent of the work area (§6.1 rule 4). The requested size
// counts even where it lies off the screen.
func overrideFits(size image.Point, work image.Rectangle) bool {
	limit := int64(work.Dx()) * int64(work.Dy()) * wire.MaxOverridePercent / 100
	return int64(size.X)*int64(size.Y) <= limit
}

// forceOnScreen shrinks r to the work area and moves it inside (§6.2). A window wholly off
// the right, lower or left edge of the screen stays where nobody sees it; one above the
// screen is brought in, as upstream does.
func forceOnScreen(r, work image.Rectangle, screen image.Point) image.Rectangle {
	if r.Min.X >= screen.X || r.Min.Y >= screen.Y || r.Max.X <= 0 {
		return r
	}
	size := image.Pt(min(r.Dx(), work.Dx()), min(r.Dy(), work.Dy()))
	at := image.Pt(
		max(work.Min.X, min(r.Min.X, work.Max.X-size.X)),
		max(work.Min.Y, min(r.Min.Y, work.Max.Y-size.Y)))
	return image.Rectangle{at, at.Add(size)}
}

// inSight moves and shrinks the content of a window so that the frame around it lies in the
// work area. The frame says whose window it is: a qube must not be able to push it off the
// screen. Where others draw frames, placing them is theirs too.
func inSight(content, work image.Rectangle, f display.Sides) image.Rectangle {
	if f == (display.Sides{}) {
		return content
	}
	room := room(work, f)
	size := image.Pt(max(1, min(content.Dx(), room.Dx())), max(1, min(content.Dy(), room.Dy())))
	at := image.Pt(
		max(room.Min.X, min(content.Min.X, room.Max.X-size.X)),
		max(room.Min.Y, min(content.Min.Y, room.Max.Y-size.Y)))
	return image.Rectangle{at, at.Add(size)}
}

// room is where content can be so that its frame lies in the work area.
func room(work image.Rectangle, f display.Sides) image.Rectangle {
	return image.Rectangle{work.Min.Add(image.Pt(f.Left, f.Top)), work.Max.Sub(image.Pt(f.Right, f.Bottom))}
}

// modest takes from hints what would make a window manager push a frame off the screen.
func modest(h wire.WindowHints, sc display.Screen) wire.WindowHints {
	if sc.Frame == (display.Sides{}) {
		return h
	}
	most := room(sc.WorkArea, sc.Frame).Size()
	x, y := uint32(max(most.X, 1)), uint32(max(most.Y, 1))
	h.MinWidth, h.MinHeight = min(h.MinWidth, x), min(h.MinHeight, y)
	h.BaseWidth, h.BaseHeight = min(h.BaseWidth, x), min(h.BaseHeight, y)
	h.WidthInc, h.HeightInc = min(h.WidthInc, x), min(h.HeightInc, y)
	return h
}

// place gives a managed window the rectangle the agent asked for, as far as it may have it,
// and tells the agent when that is another one.
func (s *State) place(w *win, asked image.Rectangle) {
	sc := s.drv.Screen()
	w.rect = inSight(asked, sc.WorkArea, sc.Frame)
	s.drv.Configure(w.local, w.rect)
	if w.rect != asked && !w.awaiting && w.remote != wire.ScreenWindow {
		w.awaiting = true
		s.sendConfigure(w)
	}
}
