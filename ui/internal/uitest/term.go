package uitest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/parser"
)

// Term is a terminal's screen: it understands what the console's renderer writes and keeps
// note of everything else that reached it. It is safe for use from several goroutines.
type Term struct {
	mu          sync.Mutex
	w, h        int
	x, y        int
	top, bottom int // scrolling region
	cells       [][]rune
	last        rune
	p           *ansi.Parser

	// Alt, Hidden are the modes that must be undone at the end.
	alt, hidden, paste bool
	titles             []string
	strange            []string // sequences a console has no business sending
}

// NewTerm is an empty terminal.
func NewTerm(w, h int) *Term {
	t := &Term{p: ansi.NewParser()}
	t.p.SetParamsSize(parser.MaxParamsSize)
	t.p.SetDataSize(1 << 16)
	t.p.SetHandler(ansi.Handler{Print: t.print, Execute: t.control, HandleCsi: t.csi, HandleOsc: t.osc,
		HandleDcs: func(ansi.Cmd, ansi.Params, []byte) { t.odd("DCS") }, HandlePm: func([]byte) { t.odd("PM") },
		HandleApc: func([]byte) { t.odd("APC") }, HandleSos: func([]byte) { t.odd("SOS") }})
	t.Resize(w, h)
	return t
}

// Resize empties the screen and gives it a new size.
func (t *Term) Resize(w, h int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.w, t.h, t.x, t.y, t.top, t.bottom = w, h, 0, 0, 0, h-1
	t.cells = make([][]rune, h)
	for i := range t.cells {
		t.cells[i] = blank(w)
	}
}

func blank(w int) []rune { return []rune(strings.Repeat(" ", w)) }

// Write shows what a program wrote.
func (t *Term) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range b {
		t.p.Advance(c)
	}
	return len(b), nil
}

// Screen is the text on the screen, without spaces at line ends.
func (t *Term) Screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := make([]string, t.h)
	for i, l := range t.cells {
		lines[i] = strings.TrimRight(string(l), " ")
	}
	return strings.Join(lines, "\n")
}

// Restored reports whether the ordinary screen, the cursor and plain pasting are back.
func (t *Term) Restored() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.alt && !t.hidden && !t.paste
}

// Strange are sequences seen that only a hostile text would cause; Titles the window titles.
func (t *Term) Strange() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.strange...)
}

// Titles are the window titles set so far.
func (t *Term) Titles() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.titles...)
}

func (t *Term) odd(what string) { t.strange = append(t.strange, what) }

func (t *Term) print(r rune) {
	if t.x >= t.w {
		t.x = 0
		t.feed()
	}
	t.cells[t.y][t.x] = r
	t.x++
	t.last = r
}

func (t *Term) feed() {
	if t.y == t.bottom {
		t.scroll(t.top, 1)
	} else if t.y < t.h-1 {
		t.y++
	}
}

// scroll moves the lines from at to the region's end up by n, or down when n is negative.
func (t *Term) scroll(at, n int) {
	for ; n > 0; n-- {
		copy(t.cells[at:t.bottom+1], t.cells[at+1:t.bottom+1])
		t.cells[t.bottom] = blank(t.w)
	}
	for ; n < 0; n++ {
		copy(t.cells[at+1:t.bottom+1], t.cells[at:t.bottom])
		t.cells[at] = blank(t.w)
	}
}

func (t *Term) control(b byte) {
	switch b {
	case '\r':
		t.x = 0
	case '\n':
		t.feed()
	case '\b':
		t.x = max(t.x-1, 0)
	case '\t':
		t.x = min((t.x/8+1)*8, t.w-1)
	default:
		t.odd(fmt.Sprintf("control %#x", b))
	}
}

func (t *Term) osc(cmd int, data []byte) {
	switch cmd {
	case 0, 1, 2:
		_, title, _ := strings.Cut(string(data), ";")
		t.titles = append(t.titles, title)
	case 10, 11, 12, 52, 110, 111, 112:
	default:
		t.odd(fmt.Sprintf("OSC %d", cmd))
	}
}

func (t *Term) csi(cmd ansi.Cmd, ps ansi.Params) {
	n, _, _ := ps.Param(0, 1)
	n = max(n, 1)
	if cmd.Prefix() == '?' {
		t.mode(cmd, ps)
		return
	}
	if cmd.Prefix() != 0 || cmd.Intermediate() != 0 {
		return // keyboard protocols, queries, cursor shapes
	}
	switch cmd.Final() {
	case 'A':
		t.y = max(t.y-n, 0)
	case 'B', 'e':
		t.y = min(t.y+n, t.h-1)
	case 'C', 'a':
		t.x = min(t.x+n, t.w-1)
	case 'D':
		t.x = max(min(t.x, t.w-1)-n, 0)
	case 'E':
		t.x, t.y = 0, min(t.y+n, t.h-1)
	case 'F':
		t.x, t.y = 0, max(t.y-n, 0)
	case 'G', '`':
		t.x = min(n, t.w) - 1
	case 'd':
		t.y = min(n, t.h) - 1
	case 'H', 'f':
		col, _, _ := ps.Param(1, 1)
		t.y, t.x = min(n, t.h)-1, min(max(col, 1), t.w)-1
	case 'I':
		t.x = min((t.x/8+n)*8, t.w-1)
	case 'Z':
		t.x = max(((t.x+7)/8-n)*8, 0)
	case 'b':
		for range n {
			t.print(t.last)
		}
	case 'r':
		bottom, _, _ := ps.Param(1, t.h)
		t.top, t.bottom, t.x, t.y = n-1, min(max(bottom, 1), t.h)-1, 0, 0
	case 'm', 'n', 'c', 'q', 't', 'u', 'h', 'l':
	default:
		t.edit(cmd, ps, n)
	}
}

func (t *Term) edit(cmd ansi.Cmd, ps ansi.Params, n int) {
	row := t.cells[t.y]
	x := min(t.x, t.w)
	kind, _, _ := ps.Param(0, 0)
	switch cmd.Final() {
	case 'X':
		copy(row[x:min(x+n, t.w)], blank(n))
	case 'P':
		copy(row[x:], append(append([]rune{}, row[min(x+n, t.w):]...), blank(n)...))
	case '@':
		copy(row[x:], append(blank(n), row[x:]...))
	case 'K':
		from, to := x, t.w
		if kind == 1 {
			from, to = 0, min(x+1, t.w)
		} else if kind == 2 {
			from = 0
		}
		copy(row[from:to], blank(to-from))
	case 'J':
		for y := range t.h {
			if kind == 2 || kind == 0 && y > t.y || kind == 1 && y < t.y {
				t.cells[y] = blank(t.w)
			}
		}
		if kind == 0 {
			copy(row[x:], blank(t.w-x))
		}
	case 'L':
		t.scroll(t.y, -n)
	case 'M':
		t.scroll(t.y, n)
	case 'S':
		t.scroll(t.top, n)
	case 'T':
		t.scroll(t.top, -n)
	default:
		t.odd(fmt.Sprintf("CSI %c", cmd.Final()))
	}
}

func (t *Term) mode(cmd ansi.Cmd, ps ansi.Params) {
	on := cmd.Final() == 'h'
	if !on && cmd.Final() != 'l' {
		return
	}
	ps.ForEach(0, func(_, p int, _ bool) {
		switch p {
		case 25:
			t.hidden = !on
		case 1049:
			t.alt = on
			for y := range t.h {
				t.cells[y] = blank(t.w)
			}
		case 2004:
			t.paste = on
		}
	})
}
