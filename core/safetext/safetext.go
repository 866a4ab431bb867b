// Package safetext is the one sanitiser for text of foreign origin: whatever a qube wrote
// passes through it before it reaches a terminal, a log line, a window title or a prompt.
// It follows the tables of spec security-lessons.md part 3. It is not an escaper: markup
// languages (terminal styles, XML, shells) need their own encoder on top, and it does not
// decide whether a text is acceptable, only how it is shown.
//
// Words: a *cell* is one column of a terminal; wide characters take two. Each replaced
// code point, and each byte that is not part of well-formed UTF-8, becomes one '_'.
package safetext

import (
	"strings"
	"unicode/utf8"
)

const (
	// replacement stands for everything that is not shown.
	replacement = '_'
	// ellipsis ends a text that was cut.
	ellipsis = "..."
)

// Line returns s as one line of at most maxCells terminal cells; maxCells ≤ 0 means no
// limit. Text that does not fit ends in "..."; a wide character that would cross the edge
// becomes '_'. The result is valid UTF-8 of printable left-to-right characters, one glyph
// per code point, and Line leaves it unchanged. No more of s is read than can be shown.
func Line(s string, maxCells int) string {
	return clean(s, maxCells, showRune)
}

// Bytes is Line for bytes as they came from a peer.
func Bytes(b []byte, maxCells int) string {
	return Line(string(bound(b, maxCells)), maxCells)
}

// Fixed is Line for a fixed-size, NUL-padded field: it ends at the first NUL, and the last
// byte counts as NUL whatever it is.
func Fixed(b []byte, maxCells int) string {
	if len(b) == 0 {
		return ""
	}
	b = b[:len(b)-1]
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	return Bytes(b, maxCells)
}

// Name returns s in printable ASCII (0x20 to 0x7E), for names and prompts, at most max
// bytes long; max ≤ 0 means no limit. Text that does not fit ends in "...".
func Name(s string, max int) string {
	return clean(s, max, showASCII)
}

// Width is the number of terminal cells that Line(s, 0) takes. Characters of ambiguous
// width count as one: a writer of columns positions its cursor anew after such a text.
func Width(s string) int {
	cells := 0
	for i := 0; i < len(s); {
		_, n, size := show(s[i:], showRune)
		cells += n
		i += size
	}
	return cells
}

// bound cuts b to what a line of maxCells can depend on (four bytes per cell and what is
// needed to see that more follows), so that a huge message is not copied whole.
func bound(b []byte, maxCells int) []byte {
	if maxCells <= 0 || maxCells > (1<<31-1)/utf8.UTFMax-2 {
		return b
	}
	if limit := (maxCells + 2) * utf8.UTFMax; len(b) > limit {
		return b[:limit]
	}
	return b
}

// show gives what is displayed for the code point that s begins with, its cells, and the
// bytes of s it stands for. s must not be empty.
func show(s string, filter func(rune) (rune, int)) (r rune, cells, size int) {
	r, size = utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size <= 1 {
		return replacement, 1, 1
	}
	r, cells = filter(r)
	return r, cells, size
}

func showASCII(r rune) (rune, int) {
	if r < ' ' || r > '~' {
		return replacement, 1
	}
	return r, 1
}

// clean filters s and cuts the result to limit cells.
func clean(s string, limit int, filter func(rune) (rune, int)) string {
	var out strings.Builder
	out.Grow(min(len(s), 256))
	cells := 0
	// keep is the length of out up to which a cut text is kept, short the cells in it.
	keep, short := 0, 0
	for i := 0; i < len(s); {
		r, n, size := show(s[i:], filter)
		i += size
		if limit > 0 && cells+n > limit {
			if cells+1 == limit && i == len(s) {
				// Only the second half of a last wide character is too much.
				out.WriteRune(replacement)
				return out.String()
			}
			return cut(out.String()[:keep], limit-short)
		}
		out.WriteRune(r)
		cells += n
		if cells <= limit-len(ellipsis) {
			keep, short = out.Len(), cells
		}
	}
	return out.String()
}

// cut ends text, after which room cells remain, in an ellipsis that fills them; one more
// cell than the ellipsis is where a wide character was split.
func cut(text string, room int) string {
	if room < len(ellipsis) {
		return text + ellipsis[:room]
	}
	return text + strings.Repeat(string(replacement), room-len(ellipsis)) + ellipsis
}
