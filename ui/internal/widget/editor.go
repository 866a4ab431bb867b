package widget

import (
	"strings"
	"unicode"

	"qubist/ui/internal/theme"
)

// maxEdit bounds what can be typed or pasted into one line, in code points.
const maxEdit = 1000

// Editor is one line of text being edited, with a history.
type Editor struct {
	text    []rune
	at      int
	history []string // oldest first
	back    int      // how far back in history, 0 is the line being typed
	draft   string
}

// NewEditor starts with text and the cursor behind it. The history is not changed.
func NewEditor(text string, history []string) Editor {
	e := Editor{history: history}
	e.Set(text)
	return e
}

// Set replaces the line.
func (e *Editor) Set(text string) {
	e.text = e.text[:0]
	e.at = 0
	e.Insert(text)
}

// Text is the line.
func (e *Editor) Text() string { return string(e.text) }

// Insert puts text at the cursor. Line ends and tabs become spaces; other characters that
// cannot be seen are dropped.
func (e *Editor) Insert(text string) {
	var in []rune
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			in = append(in, ' ')
		case unicode.IsPrint(r):
			in = append(in, r)
		}
	}
	in = in[:min(len(in), maxEdit-min(len(e.text), maxEdit))]
	rest := append(in, e.text[e.at:]...)
	e.text = append(e.text[:e.at:e.at], rest...)
	e.at += len(in)
}

// Key applies an editing key by its Bubble Tea name and reports whether it was one.
func (e *Editor) Key(key string) bool {
	switch key {
	case "left", "ctrl+b":
		e.at = max(e.at-1, 0)
	case "right", "ctrl+f":
		e.at = min(e.at+1, len(e.text))
	case "home", "ctrl+a":
		e.at = 0
	case "end", "ctrl+e":
		e.at = len(e.text)
	case "backspace", "ctrl+h":
		if e.at > 0 {
			e.cut(e.at-1, e.at)
		}
	case "delete":
		if e.at < len(e.text) {
			e.cut(e.at, e.at+1)
		}
	case "ctrl+u":
		e.cut(0, e.at)
	case "ctrl+k":
		e.cut(e.at, len(e.text))
	case "ctrl+w", "alt+backspace":
		e.cut(e.wordStart(), e.at)
	case "up", "ctrl+p":
		e.recall(1)
	case "down", "ctrl+n":
		e.recall(-1)
	default:
		return false
	}
	return true
}

func (e *Editor) cut(from, to int) {
	e.text = append(e.text[:from:from], e.text[to:]...)
	e.at = from
}

func (e *Editor) wordStart() int {
	i := e.at
	for i > 0 && e.text[i-1] == ' ' {
		i--
	}
	for i > 0 && e.text[i-1] != ' ' {
		i--
	}
	return i
}

func (e *Editor) recall(step int) {
	n := e.back + step
	if n < 0 || n > len(e.history) {
		return
	}
	if e.back == 0 {
		e.draft = e.Text()
	}
	e.back = n
	if n == 0 {
		e.Set(e.draft)
		return
	}
	e.Set(e.history[len(e.history)-n])
}

// Draw shows the line in width cells from (x, y), scrolled so that the cursor is visible,
// and returns the cursor's column.
func (e *Editor) Draw(c *Canvas, x, y, width int, s theme.Style) int {
	if width < 2 {
		return x
	}
	start := 0
	for cells(string(e.text[start:e.at])) > width-1 {
		start++
	}
	shown := clip(string(e.text[start:]), width)
	c.Fill(x, y, width, 1, ' ', s)
	c.Put(x, y, width, shown, s)
	return x + cells(string(e.text[start:e.at]))
}

// Remember appends line to a history of at most limit lines, without repeats or blanks.
func Remember(history []string, line string, limit int) []string {
	if strings.TrimSpace(line) == "" {
		return history
	}
	out := make([]string, 0, len(history)+1)
	for _, h := range history {
		if h != line {
			out = append(out, h)
		}
	}
	out = append(out, line)
	return out[max(len(out)-limit, 0):]
}

// Printable is text with everything but line ends and visible characters removed.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}
