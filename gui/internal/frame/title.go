package frame

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
)

// Pixels is a picture in the order an X server of this machine wants: B, G, R, unused.
type Pixels struct {
	Width, Height int
	Data          []byte
}

// Rows are the bytes of rows from to to.
func (p Pixels) Rows(from, to int) []byte { return p.Data[from*p.Width*4 : to*p.Width*4] }

const (
	cut = "…"
	// inactive is how much of the text's contrast is left while the window is not active.
	inactive = 0.75
)

// Title draws "[name] title" on the label's colour, at most width pixels wide and as high as
// the bar less its lower line. The name is never shortened for the title's sake; a title
// that does not fit ends in an ellipsis. An inactive window's text is paler, its colour the
// same. title must be fit to be shown.
func (f *Frame) Title(title string, width int, active bool) Pixels {
	text := "[" + f.Name + "] "
	text += f.fit(title, width-f.width(text))
	pad := f.scaled(6)
	w := max(0, min(width, f.width(text)+2*pad))
	p := f.blank(w, f.Bar-f.lineHeight())
	ink := f.Text()
	if !active {
		ink = mix(f.Colour, ink, inactive)
	}
	metrics := f.face.Metrics()
	baseline := (p.Height + metrics.Ascent.Ceil() - metrics.Descent.Ceil() + 1) / 2
	mask := image.NewAlpha(image.Rect(0, 0, p.Width, p.Height))
	d := font.Drawer{Dst: mask, Src: image.NewUniform(color.Opaque), Face: f.face, Dot: fixed.P(pad, baseline)}
	d.DrawString(text)
	for i, a := range mask.Pix {
		if a != 0 {
			p.set(i, mix(f.Colour, ink, float64(a)/255))
		}
	}
	return p
}

// fit shortens s to width pixels.
func (f *Frame) fit(s string, width int) string {
	width -= f.scaled(12)
	if f.width(s) <= width {
		return s
	}
	rest := width - f.width(cut)
	var used fixed.Int26_6
	for i, r := range s {
		advance, _ := f.face.GlyphAdvance(r)
		if used += advance; used.Ceil() > rest {
			return s[:i] + cut
		}
	}
	return s
}

func (f *Frame) width(s string) int { return font.MeasureString(f.face, s).Ceil() }

// lineHeight is that of the thin line under the title bar.
func (f *Frame) lineHeight() int { return max(1, int(f.Scale)) }

// LineRect is the thin line under the title bar.
func (f *Frame) LineRect(size image.Point) image.Rectangle {
	bar := f.BarRect(size)
	return image.Rect(bar.Min.X, bar.Max.Y-f.lineHeight(), bar.Max.X, bar.Max.Y)
}

// Close draws the close box; hot is the pointer on it.
func (f *Frame) Close(active, hot bool) Pixels {
	p := f.blank(f.Bar, f.Bar-f.lineHeight())
	ink, ground := f.Text(), f.Colour
	if !active {
		ink = mix(f.Colour, ink, inactive)
	}
	cx, cy := float64(p.Width)/2, float64(p.Height)/2
	arm, half := 4.0*f.Scale, 0.85*f.Scale
	for y := range p.Height {
		for x := range p.Width {
			dx, dy := float64(x)+0.5-cx, float64(y)+0.5-cy
			c := ground
			if hot {
				c = mix(c, f.Text(), 0.25*clamp(8.5*f.Scale-math.Hypot(dx, dy)+0.5))
			}
			d := min(segment(dx, dy, arm, arm), segment(dx, dy, arm, -arm))
			c = mix(c, ink, clamp(half-d+0.5))
			p.set(y*p.Width+x, c)
		}
	}
	return p
}

// segment is the distance of a point from the line between (x, y) and (−x, −y).
func segment(px, py, x, y float64) float64 {
	t := max(-1, min(1, (px*x+py*y)/(x*x+y*y)))
	return math.Hypot(px-t*x, py-t*y)
}

func clamp(v float64) float64 { return max(0, min(1, v)) }

func (f *Frame) blank(w, h int) Pixels {
	p := Pixels{w, h, make([]byte, w*h*4)}
	for i := range w * h {
		p.set(i, f.Colour)
	}
	return p
}

func (p Pixels) set(i int, c uint32) {
	p.Data[4*i], p.Data[4*i+1], p.Data[4*i+2] = byte(c), byte(c>>8), byte(c>>16)
}
