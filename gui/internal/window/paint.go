package window

import "image"

// border is the frame that is drawn inside a window: width pixels wide, inset from the edge.
type border struct{ width, inset int }

// plan is what one paint request comes to (§9). Rectangles are relative to the window.
type plan struct {
	fillAll bool            // the window is all frame
	paint   image.Rectangle // copy these pixels; empty: none
	from    image.Point     // where paint lies in the source image
	frame   bool            // draw the frame
}

// planPaint clips the untrusted rectangle x, y, w, h. source is the part of a picture that
// covers the window, in window coordinates, and offset what must be added to get picture
// coordinates; without a picture, source is the window itself. The frame is redrawn when the
// rectangle reached into it.
func planPaint(size image.Point, b border, source image.Rectangle, offset image.Point, x, y, w, h int) plan {
	if x < 0 || y < 0 || w < 0 || h < 0 {
		return plan{}
	}
	asked := image.Rect(x, y, x+w, y+h).Intersect(source)
	if size.X <= 2*b.width || size.Y <= 2*b.width {
		return plan{fillAll: true}
	}
	inside := asked.Intersect(image.Rectangle{Max: size}.Inset(b.width))
	return plan{paint: inside, from: inside.Min.Add(offset), frame: b.width > 0 && inside != asked && !inside.Empty()}
}

// frameRects are the four sides of a frame in a window of the given size.
func frameRects(size image.Point, b border) [4]image.Rectangle {
	outer := image.Rectangle{Max: size}.Inset(b.inset)
	inner := outer.Inset(b.width)
	return [4]image.Rectangle{
		image.Rect(outer.Min.X, outer.Min.Y, outer.Max.X, inner.Min.Y),
		image.Rect(outer.Min.X, inner.Max.Y, outer.Max.X, outer.Max.Y),
		image.Rect(outer.Min.X, inner.Min.Y, inner.Min.X, inner.Max.Y),
		image.Rect(inner.Max.X, inner.Min.Y, outer.Max.X, inner.Max.Y),
	}
}

// damage collects what is to be repainted of one window before the turn ends. Its size is
// fixed: what does not fit is merged.
type damage struct {
	rects [8]image.Rectangle
	n     int
}

// waste is how many undamaged pixels it may cost to save one request.
const waste = 64 * 64

// add takes one more rectangle into the set.
func (d *damage) add(r image.Rectangle) {
	if r.Empty() {
		return
	}
	for i := 0; i < d.n; i++ {
		u := d.rects[i].Union(r)
		if area(u) <= area(d.rects[i])+area(r)+waste {
			// The union may swallow others: put it in anew.
			d.n--
			d.rects[i] = d.rects[d.n]
			d.add(u)
			return
		}
	}
	if d.n == len(d.rects) {
		for _, o := range d.rects {
			r = r.Union(o)
		}
		d.n = 0
	}
	d.rects[d.n] = r
	d.n++
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }
