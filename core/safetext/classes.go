package safetext

import (
	"unicode"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/width"
)

// scripts are shown: left to right, without shaping, one glyph per code point in every
// terminal. The list is that of upstream's display allow-list (spec security-lessons.md
// §3.1, libqubes-pure).
var scripts = []*unicode.RangeTable{
	unicode.Common, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Braille,
	unicode.Han, unicode.Hangul, unicode.Bopomofo, unicode.Hiragana, unicode.Katakana,
}

// shown are the general categories that can be shown at all. What is in none of them is a
// control, format, private use or unassigned code point, a surrogate, a noncharacter, a
// combining mark or a space.
var shown = []*unicode.RangeTable{unicode.L, unicode.N, unicode.P, unicode.S}

// hidden are code points of a shown category and script that must not appear.
var hidden = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x11FF, 1}, // conjoining jamo: several code points make one glyph
		{0x2300, 0x245F, 1}, // technical symbols and control pictures: rule and bracket pieces, emoji
		{0x2500, 0x27BF, 1}, // boxes, blocks, geometric shapes (our frames), emoji of unsure width
		{0x2800, 0x2800, 1}, // Braille blank
		{0x2B00, 0x2BFF, 1}, // more shapes, arrows and emoji
		{0x3164, 0x3164, 1}, // Hangul filler
		{0xA960, 0xA97F, 1}, // conjoining jamo, extended A
		{0xD7B0, 0xD7FF, 1}, // conjoining jamo, extended B
		{0xFFA0, 0xFFA0, 1}, // half-width Hangul filler
		{0xFFFC, 0xFFFD, 1}, // object replacement, replacement character
	},
	R32: []unicode.Range32{
		{0x1CC00, 0x1CEBF, 1}, // legacy computing: boxes, blocks
		{0x1F000, 0x1FFFF, 1}, // emoji, regional indicators, legacy computing
	},
}

// showRune gives what is displayed for a valid code point and its cells.
func showRune(r rune) (rune, int) {
	if r >= ' ' && r <= '~' {
		return r, 1
	}
	if r < 0xA0 || !safe(r) {
		return replacement, 1
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return r, 2
	}
	return r, 1
}

// safe reports whether r, at least U+00A0, is shown.
func safe(r rune) bool {
	if !unicode.In(r, shown...) || !unicode.In(r, scripts...) || unicode.Is(hidden, r) {
		return false
	}
	// Code points that attach to the one before, or that a terminal may leave out.
	if unicode.In(r, unicode.Other_Grapheme_Extend, unicode.Other_Default_Ignorable_Code_Point) {
		return false
	}
	// Symbols beyond the basic plane: no two terminals agree on their width.
	if r > 0xFFFF && unicode.Is(unicode.So, r) {
		return false
	}
	props, _ := bidi.LookupRune(r)
	switch props.Class() {
	case bidi.L, bidi.EN, bidi.ES, bidi.ET, bidi.CS, bidi.ON:
		return true
	}
	return false
}
