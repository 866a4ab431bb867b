package widget

import (
	"fmt"
	"strings"
	"time"
)

// Cells is the width of text as Put draws it.
func Cells(text string) int { return cells(text) }

func cells(text string) int {
	n := 0
	for _, r := range text {
		_, w := glyph(r)
		n += w
	}
	return n
}

// clip is the longest beginning of text that takes at most limit cells.
func clip(text string, limit int) string {
	n := 0
	for i, r := range text {
		_, w := glyph(r)
		if n += w; n > limit {
			return text[:i]
		}
	}
	return text
}

// Wrap breaks text at spaces into lines of at most width cells; a longer word is cut into
// pieces. No more than maxLines are returned, the last one ending in '…' when cut.
func Wrap(text string, width, maxLines int) []string {
	if width < 1 || maxLines < 1 {
		return nil
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for {
			sep := ""
			if line != "" {
				sep = " "
			}
			if cells(line)+len(sep)+cells(word) <= width {
				line += sep + word
				break
			}
			if line == "" {
				head := clip(word, width)
				if head == "" {
					break
				}
				lines, word = append(lines, head), word[len(head):]
			} else {
				lines, line = append(lines, line), ""
			}
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	if len(lines) > maxLines {
		lines = lines[:maxLines]
		lines[maxLines-1] = clip(lines[maxLines-1], width-1) + "…"
	}
	return lines
}

// KiB writes an amount of memory in three or four digits: "412 M", "1.2 G", "12.0 G".
func KiB(kib uint64) string {
	const m, g = 1 << 10, 1 << 20
	switch {
	case kib == 0:
		return "–"
	case kib < 1000*m:
		return fmt.Sprintf("%d M", (kib+m/2)/m)
	default:
		return fmt.Sprintf("%.1f G", float64(kib)/g)
	}
}

// Span writes a duration the way one would say it: "12 s", "4 min", "3 h 12 min", "2 d 4 h".
func Span(d time.Duration) string {
	d = max(d, 0)
	s, m, h := int(d/time.Second), int(d/time.Minute), int(d/time.Hour)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case m < 60:
		return fmt.Sprintf("%d min", m)
	case h < 24:
		return fmt.Sprintf("%d h %d min", h, m%60)
	default:
		return fmt.Sprintf("%d d %d h", h/24, h%24)
	}
}

// Bar is width cells showing part of whole, to an eighth of a cell on the left side.
func Bar(part, whole uint64, width int) (filled, rest string) {
	if whole == 0 || width < 1 {
		return "", strings.Repeat("·", max(width, 0))
	}
	halves := int(min(part, whole) * uint64(2*width) / whole)
	if halves == 0 && part > 0 {
		halves = 1
	}
	filled = strings.Repeat("█", halves/2)
	if halves%2 == 1 {
		filled += "▌"
	}
	return filled, strings.Repeat("·", width-(halves+1)/2)
}

// Spark draws values as small columns, the largest one full height; 0 is the lowest mark.
func Spark(values []uint64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	top := uint64(1)
	for _, v := range values {
		top = max(top, v)
	}
	marks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(marks[v*uint64(len(marks)-1)/top])
	}
	return b.String()
}
