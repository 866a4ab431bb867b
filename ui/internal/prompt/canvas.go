package prompt

import (
	"github.com/gdamore/tcell/v2"

	"qubist/core/prompt/wire"
	"qubist/core/safetext"
)

// canvas draws cell by cell: text is never markup.
type canvas struct {
	s    tcell.Screen
	w, h int
}

// text puts s at x, y and returns the column after it; what does not fit is cut.
func (c canvas) text(x, y int, style tcell.Style, s string) int {
	for _, r := range s {
		if x >= 0 && x < c.w && y >= 0 && y < c.h {
			c.s.SetContent(x, y, r, nil, style)
		}
		x++
	}
	return x
}

// right puts s so that it ends margin cells before the right edge.
func (c canvas) right(y, margin int, style tcell.Style, s string) {
	c.text(c.w-margin-len([]rune(s)), y, style, s)
}

// paletteColors stand for the built-in labels where a terminal has few colours: the nearest
// by numbers would make blue look cyan.
var paletteColors = map[string]tcell.Color{
	"red": tcell.ColorMaroon, "orange": tcell.ColorOlive, "yellow": tcell.ColorYellow, "green": tcell.ColorGreen,
	"gray": tcell.ColorGray, "blue": tcell.ColorNavy, "purple": tcell.ColorPurple, "black": tcell.ColorBlack,
}

// luminance is 0 for black to 255 for white.
func luminance(p wire.Party) uint32 {
	return (299*(p.Color>>16&0xff) + 587*(p.Color>>8&0xff) + 114*(p.Color&0xff)) / 1000
}

// labelStyle is a label's colour behind readable text. An unknown label is reversed.
func (c canvas) labelStyle(p wire.Party) tcell.Style {
	if p.Label == "" {
		return plain.Reverse(true)
	}
	bg, fg := tcell.NewHexColor(int32(p.Color&0xffffff)), tcell.ColorWhite
	if pc, ok := paletteColors[p.Label]; ok && c.s.Colors() < 256 {
		bg = pc
	}
	if luminance(p) > 150 {
		fg = tcell.ColorBlack
	}
	return plain.Background(bg).Foreground(fg).Bold(true)
}

// chip draws a label as two cells; a dark one gets edges to be seen on a dark terminal.
func (c canvas) chip(x, y int, p wire.Party) int {
	style, inside := c.labelStyle(p), "  "
	if p.Label != "" && luminance(p) < 40 {
		style, inside = style.Foreground(tcell.ColorGray), "[]"
	}
	return c.text(x, y, style, inside)
}

func labelName(p wire.Party) string {
	if p.Label == "" {
		return "label unknown"
	}
	return safetext.Name(p.Label, 24)
}

// wrap cuts s into pieces of w cells; s is ASCII.
func wrap(s string, w int) []string {
	var out []string
	for len(s) > w {
		out = append(out, s[:w])
		s = s[w:]
	}
	return append(out, s)
}
