package window

import (
	"image"

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
