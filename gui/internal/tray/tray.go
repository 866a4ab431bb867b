// Package tray computes how icons of a qube look in the system tray: recoloured, on a plain
// ground, or with an outline in the label's colour (spec gui-protocol.md §9.1). It is pure:
// pixels in, pixels out.
package tray

import (
	"fmt"
	"strings"
)

// Mode is a way to mark icons.
type Mode struct {
	Background   bool // the icon's ground is replaced by white
	Tint         bool
	Saturation50 bool // the tint is half as strong
	WhiteHack    bool // pure white is nearly white, untinted
	Border       int  // width of the outline: 0 or 1
	Inset        int  // how far inside it is drawn
}

// Default is the mode without configuration.
var Default = Mode{Tint: true}

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "bg":
		return Mode{Background: true}, nil
	case "border1":
		return Mode{Border: 1}, nil
	case "border2":
		return Mode{Border: 1, Inset: 1}, nil
	}
	words := strings.Split(s, "+")
	if words[0] != "tint" {
		return Mode{}, fmt.Errorf("unknown tray icon mode %q", s)
	}
	m := Default
	for _, w := range words[1:] {
		switch w {
		case "border1":
			m.Border, m.Inset = 1, 0
		case "border2":
			m.Border, m.Inset = 1, 1
		case "saturation50":
			m.Saturation50 = true
		case "whitehack":
			m.WhiteHack = true
		default:
			return Mode{}, fmt.Errorf("unknown tray icon mode %q", s)
		}
	}
	return m, nil
}

// Filters reports whether icons' pixels change at all.
func (m Mode) Filters() bool { return m.Background || m.Tint }

// Painter recolours the icons of one qube.
type Painter struct {
	mode     Mode
	hue, sat float64
}

// NewPainter makes a painter for the label's colour, 0xRRGGBB.
func NewPainter(m Mode, label uint32) *Painter {
	p := &Painter{mode: m}
	p.hue, _, p.sat = toHLS(label)
	if m.Saturation50 {
		p.sat *= 0.5
	}
	return p
}

// bytesPerPixel: B, G, R, unused.
const bytesPerPixel = 4

// Apply recolours a picture in place. For Background the picture must begin with the icon's
// upper left pixel, which tells its ground.
func (p *Painter) Apply(pix []byte) {
	if len(pix) < bytesPerPixel {
		return
	}
	ground := pixel(pix)
	for i := 0; i+bytesPerPixel <= len(pix); i += bytesPerPixel {
		v := pixel(pix[i:])
		switch {
		case !p.mode.Background:
			v = p.tint(v)
		case v == ground:
			v = 0xffffff
		}
		pix[i], pix[i+1], pix[i+2] = byte(v), byte(v>>8), byte(v>>16)
	}
}

func pixel(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

func (p *Painter) tint(v uint32) uint32 {
	if p.mode.WhiteHack && v == 0xffffff {
		return 0xfefefe
	}
	_, l, _ := toHLS(v)
	return fromHLS(p.hue, l, p.sat)
}

// toHLS converts to the double hexcone model, all parts from 0 to 1.
func toHLS(v uint32) (h, l, s float64) {
	r, g, b := float64(v>>16&0xff)/255, float64(v>>8&0xff)/255, float64(v&0xff)/255
	hi, lo := max(r, g, b), min(r, g, b)
	l = (hi + lo) / 2
	if hi == lo {
		return 0, l, 0
	}
	d := hi - lo
	if l <= 0.5 {
		s = d / (hi + lo)
	} else {
		s = d / (2 - hi - lo)
	}
	rc, gc, bc := (hi-r)/d, (hi-g)/d, (hi-b)/d
	switch hi {
	case r:
		h = bc - gc
	case g:
		h = 2 + rc - bc
	default:
		h = 4 + gc - rc
	}
	if h /= 6; h < 0 {
		h++
	}
	return h, l, s
}

func fromHLS(h, l, s float64) uint32 {
	if s == 0 {
		c := uint32(l * 255)
		return c<<16 | c<<8 | c
	}
	m2 := l + s - l*s
	if l <= 0.5 {
		m2 = l * (1 + s)
	}
	m1 := 2*l - m2
	return part(m1, m2, h+1.0/3)<<16 | part(m1, m2, h)<<8 | part(m1, m2, h-1.0/3)
}

// part is one channel, truncated to 0…255.
func part(m1, m2, h float64) uint32 {
	if h < 0 {
		h++
	}
	if h > 1 {
		h--
	}
	v := m1
	switch {
	case h < 1.0/6:
		v = m1 + (m2-m1)*h*6
	case h < 0.5:
		v = m2
	case h < 2.0/3:
		v = m1 + (m2-m1)*(2.0/3-h)*6
	}
	return uint32(v * 255)
}
