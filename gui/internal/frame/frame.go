// Package frame computes what the daemon draws around a qube's content: the sizes of border
// and title bar, what lies under a pointer, the pattern that goes with each label, and the
// title as pixels. It is pure: rectangles and pixels out, no display.
package frame

import (
	"fmt"
	"image"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
)

// Sizes in pixels at 96 dpi.
const (
	borderSize = 3
	titleSize  = 22
	fontSize   = 12.5
	cornerSize = 18 // how far from a corner dragging resizes in both directions
)

// Style is what distinguishes one qube's frames.
type Style struct {
	Colour uint32  // 0xRRGGBB of the label
	Label  int     // its index, which chooses the pattern
	Name   string  // of the qube
	Scale  float64 // dpi / 96
}

// Frame draws frames of one style. It is used by one goroutine.
type Frame struct {
	Style
	Border int // width on all four sides
	Bar    int // height of the title bar, inside the border
	face   font.Face
}

// New loads the font.
func New(s Style) (*Frame, error) {
	if !(s.Scale >= 1) {
		s.Scale = 1
	}
	s.Scale = min(s.Scale, 4)
	parsed, err := opentype.Parse(gomedium.TTF)
	if err != nil {
		return nil, fmt.Errorf("loading the title font: %w", err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: fontSize * s.Scale, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("loading the title font: %w", err)
	}
	f := &Frame{Style: s, face: face}
	f.Border, f.Bar = f.scaled(borderSize), f.scaled(titleSize)
	return f, nil
}

func (f *Frame) scaled(n float64) int { return int(math.Round(n * f.Scale)) }

// Extents are the widths of the four sides.
func (f *Frame) Extents() (left, right, top, bottom int) {
	return f.Border, f.Border, f.Border + f.Bar, f.Border
}

// Outer is the frame's rectangle around content.
func (f *Frame) Outer(content image.Rectangle) image.Rectangle {
	l, r, t, b := f.Extents()
	return image.Rect(content.Min.X-l, content.Min.Y-t, content.Max.X+r, content.Max.Y+b)
}

// Inner is the content of a frame at outer, at least one pixel.
func (f *Frame) Inner(outer image.Rectangle) image.Rectangle {
	l, r, t, b := f.Extents()
	at := outer.Min.Add(image.Pt(l, t))
	return image.Rectangle{at, at.Add(image.Pt(max(1, outer.Dx()-l-r), max(1, outer.Dy()-t-b)))}
}

// BarRect is the title bar in a frame of the given size, without the border.
func (f *Frame) BarRect(size image.Point) image.Rectangle {
	return image.Rect(f.Border, f.Border, size.X-f.Border, f.Border+f.Bar)
}

// CloseRect is the close box in a frame of the given size: a square at the bar's right end.
func (f *Frame) CloseRect(size image.Point) image.Rectangle {
	bar := f.BarRect(size)
	return image.Rect(max(bar.Min.X, bar.Max.X-f.Bar), bar.Min.Y, bar.Max.X, bar.Max.Y)
}

// Part is what lies under the pointer.
type Part uint8

// The parts of a frame; the edges and corners can be dragged to resize.
const (
	Content Part = iota
	Title
	CloseBox
	North
	NorthEast
	East
	SouthEast
	South
	SouthWest
	West
	NorthWest
)

// Hit says which part of a frame of the given size p lies on.
func (f *Frame) Hit(size, p image.Point) Part {
	corner := f.scaled(cornerSize)
	left, right := p.X < f.Border, p.X >= size.X-f.Border
	top, bottom := p.Y < f.Border, p.Y >= size.Y-f.Border
	if left || right || top || bottom {
		nearLeft, nearRight := p.X < corner, p.X >= size.X-corner
		nearTop, nearBottom := p.Y < corner, p.Y >= size.Y-corner
		switch {
		case nearTop && nearLeft:
			return NorthWest
		case nearTop && nearRight:
			return NorthEast
		case nearBottom && nearLeft:
			return SouthWest
		case nearBottom && nearRight:
			return SouthEast
		case top:
			return North
		case bottom:
			return South
		case left:
			return West
		}
		return East
	}
	switch {
	case p.In(f.CloseRect(size)):
		return CloseBox
	case p.In(f.BarRect(size)):
		return Title
	}
	return Content
}

// Drag is where outer comes to lie when part is dragged by d. The content keeps at least
// minimum and what is dragged past it stops.
func (f *Frame) Drag(outer image.Rectangle, part Part, d, minimum image.Point) image.Rectangle {
	if part == Title {
		return outer.Add(d)
	}
	l, r, t, b := f.Extents()
	minX, minY := max(minimum.X, 2*f.Bar)+l+r, max(minimum.Y, 1)+t+b
	switch part {
	case NorthWest, West, SouthWest:
		outer.Min.X = min(outer.Min.X+d.X, outer.Max.X-minX)
	case NorthEast, East, SouthEast:
		outer.Max.X = max(outer.Max.X+d.X, outer.Min.X+minX)
	}
	switch part {
	case NorthWest, North, NorthEast:
		outer.Min.Y = min(outer.Min.Y+d.Y, outer.Max.Y-minY)
	case SouthWest, South, SouthEast:
		outer.Max.Y = max(outer.Max.Y+d.Y, outer.Min.Y+minY)
	}
	return outer
}
