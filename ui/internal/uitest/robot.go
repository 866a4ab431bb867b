package uitest

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// patience is how long the robot waits for what it was told to expect.
const patience = 20 * time.Second

// Robot runs a program on a pseudo-terminal, presses keys and reads the screen.
type Robot struct {
	t    testing.TB
	cmd  *exec.Cmd
	tty  *os.File
	done chan error
	Term *Term
}

// Run starts cmd on a terminal of w × h.
func Run(t testing.TB, w, h int, cmd *exec.Cmd) *Robot {
	t.Helper()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)})
	if err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	r := &Robot{t: t, cmd: cmd, tty: tty, done: make(chan error, 1), Term: NewTerm(w, h)}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(r.Term, tty)
	}()
	go func() {
		err := cmd.Wait()
		<-copied
		r.done <- err
		close(r.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = tty.Close()
		<-r.done
	})
	return r
}

// Press types keys: names like "enter", or the characters themselves.
func (r *Robot) Press(keys ...string) {
	r.t.Helper()
	named := map[string]string{"enter": "\r", "esc": "\x1b", "tab": "\t", "space": " ", "ctrl+c": "\x03", "down": "\x1b[B", "up": "\x1b[A"}
	for _, k := range keys {
		if n, ok := named[k]; ok {
			k = n
		}
		if _, err := r.tty.WriteString(k); err != nil {
			r.t.Fatalf("pressing %q: %v", k, err)
		}
		if k == "\x1b" {
			// A lone escape is told from the start of a sequence by a pause.
			time.Sleep(150 * time.Millisecond)
		}
	}
}

// See waits until all words are on the screen.
func (r *Robot) See(words ...string) {
	r.t.Helper()
	r.until(func(screen string) string {
		for _, w := range words {
			if !strings.Contains(screen, w) {
				return "missing: " + w
			}
		}
		return ""
	})
}

// Gone waits until the word is no longer on the screen.
func (r *Robot) Gone(word string) {
	r.t.Helper()
	r.until(func(screen string) string {
		if strings.Contains(screen, word) {
			return "still there: " + word
		}
		return ""
	})
}

func (r *Robot) until(lacks func(string) string) {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		screen := r.Term.Screen()
		what := lacks(screen)
		if what == "" {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s\n%s", what, screen)
		}
	}
}

// Signal sends a signal to the program.
func (r *Robot) Signal(s os.Signal) { _ = r.cmd.Process.Signal(s) }

// Resize changes the terminal's size.
func (r *Robot) Resize(w, h int) {
	r.Term.Resize(w, h)
	if err := pty.Setsize(r.tty, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)}); err != nil {
		r.t.Fatalf("resizing: %v", err)
	}
}

// End waits for the program to end and returns its error.
func (r *Robot) End() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		r.t.Fatalf("the program does not end\n%s", r.Term.Screen())
		return nil
	}
}

// Pid is the program's process number.
func (r *Robot) Pid() int { return r.cmd.Process.Pid }
