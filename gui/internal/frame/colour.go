package frame

import "math"

// Text is black or white, whichever reads better on the label's colour.
func (f *Frame) Text() uint32 {
	if luminance(f.Colour) > 0.30 {
		return 0x000000
	}
	return 0xffffff
}

// Accent is the colour of the pattern: the label's, moved clearly towards black or white.
func (f *Frame) Accent() uint32 {
	if luminance(f.Colour) > 0.30 {
		return mix(f.Colour, 0x000000, 0.55)
	}
	return mix(f.Colour, 0xffffff, 0.60)
}

// Line is the thin edge between title bar and content.
func (f *Frame) Line() uint32 {
	if f.Colour&0xffffff == 0 {
		return 0x3a3a3a
	}
	return mix(f.Colour, 0x000000, 0.28)
}

// mix moves colour a by part t towards b.
func mix(a, b uint32, t float64) uint32 {
	var c uint32
	for shift := 0; shift <= 16; shift += 8 {
		x, y := float64(a>>shift&0xff), float64(b>>shift&0xff)
		c |= uint32(math.Round(x+(y-x)*t)) << shift
	}
	return c
}

// luminance is the relative luminance of a colour as WCAG defines it, 0 to 1.
func luminance(c uint32) float64 {
	linear := func(v uint32) float64 {
		x := float64(v&0xff) / 255
		if x <= 0.03928 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c>>16) + 0.7152*linear(c>>8) + 0.0722*linear(c)
}
