// Package screen owns the terminal while the console runs: raw mode, the alternate screen,
// and the frame on it. It repaints the lines that changed, each from an absolute position,
// so that a character which a terminal measures differently cannot shift what follows. It
// paints when told to, not on a timer: a key is on the screen at once and an idle console
// costs nothing (Bubble Tea's own renderer wakes up to 120 times a second for either).
package screen

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

const (
	// enter saves the title and the cursor, and clears the alternate screen.
	enter = "\x1b[22;2t\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J"
	// leave undoes all of it.
	leave = "\x1b[m\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b[23;2t"
	// A terminal that knows synchronised output shows a frame whole; others ignore the marks.
	begin, end = "\x1b[?2026h", "\x1b[?2026l"
)

// Screen is the terminal. Its methods may be called from any goroutine.
type Screen struct {
	in  *os.File
	out io.Writer

	mu    sync.Mutex
	state *term.State // the terminal's own, while it is ours
	lines []string    // on the screen
	title string
	shown bool // the cursor
}

// Frame is what is to be seen.
type Frame struct {
	Lines  []string // styled, none wider than the terminal
	Cursor bool
	X, Y   int
	Title  string // constant words and numbers only
}

// New prepares a terminal that reads from in and shows what is written to out.
func New(in *os.File, out io.Writer) *Screen { return &Screen{in: in, out: out} }

// Enter takes the terminal. What was painted before is forgotten.
func (s *Screen) Enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil {
		return nil
	}
	st, err := term.MakeRaw(int(s.in.Fd()))
	if err != nil {
		return fmt.Errorf("switching the terminal to raw mode: %w", err)
	}
	s.state, s.lines, s.title, s.shown = st, nil, "", false
	_, err = io.WriteString(s.out, enter)
	return err
}

// Leave gives the terminal back as it was. It may be called more than once.
func (s *Screen) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return
	}
	_, _ = io.WriteString(s.out, leave)
	_ = term.Restore(int(s.in.Fd()), s.state)
	s.state = nil
}

// Forget makes the next Paint draw everything, after a change of size for example.
func (s *Screen) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = nil
}

// Paint shows f. Nothing is written when nothing changed, or when the terminal is not ours.
func (s *Screen) Paint(f Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return nil
	}
	var b bytes.Buffer
	if s.lines == nil {
		b.WriteString("\x1b[m\x1b[2J")
	}
	for y, l := range f.Lines {
		if y < len(s.lines) && s.lines[y] == l {
			continue
		}
		fmt.Fprintf(&b, "\x1b[%d;1H%s\x1b[K", y+1, l)
	}
	if f.Title != s.title {
		b.WriteString(ansi.SetWindowTitle(f.Title))
	}
	if f.Cursor != s.shown && !f.Cursor || b.Len() > 0 && s.shown {
		b.WriteString("\x1b[?25l")
		s.shown = false
	}
	s.lines, s.title = f.Lines, f.Title
	if b.Len() == 0 && !f.Cursor {
		return nil
	}
	if f.Cursor {
		fmt.Fprintf(&b, "\x1b[%d;%dH", f.Y+1, f.X+1)
		if !s.shown {
			b.WriteString("\x1b[?25h")
			s.shown = true
		}
	}
	_, err := io.WriteString(s.out, begin+b.String()+end)
	return err
}

// Copy asks the terminal to put text on the clipboard. Not every terminal does.
func (s *Screen) Copy(text string) { s.write(ansi.SetSystemClipboard(text)) }

// AskBackground asks for the background's colour; the answer comes as input.
func (s *Screen) AskBackground() { s.write(ansi.RequestBackgroundColor) }

func (s *Screen) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil {
		_, _ = io.WriteString(s.out, text)
	}
}
