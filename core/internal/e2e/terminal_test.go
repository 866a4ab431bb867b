package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a program on a pseudo-terminal of 120×40.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	done chan error

	mu  sync.Mutex
	out strings.Builder
}

// open starts a program on a pseudo-terminal.
func (d *desk) open(name string, args ...string) *terminal {
	d.t.Helper()
	cmd := d.command(context.Background(), name, args...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		d.t.Fatalf("starting %s: %v", name, err)
	}
	term := &terminal{t: d.t, cmd: cmd, tty: tty, done: make(chan error, 1)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			term.mu.Lock()
			term.out.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				break
			}
		}
		term.done <- cmd.Wait()
	}()
	d.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = tty.Close() })
	return term
}

var escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78cDEHM])`)

// text is everything printed so far without escape sequences and white space: programs
// that draw cell by cell may move the cursor instead of printing a space.
func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return squeeze(escapes.ReplaceAllString(term.out.String(), ""))
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// expect waits until the program has printed want (white space aside).
func (term *terminal) expect(limit time.Duration, want string) {
	term.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(term.text(), squeeze(want)) {
			return
		}
	}
	term.t.Fatalf("%s did not show %q within %v; it showed:\n%s", term.cmd.Path, want, limit, term.text())
}

// press types keys.
func (term *terminal) press(keys string) {
	term.t.Helper()
	if _, err := io.WriteString(term.tty, keys); err != nil {
		term.t.Fatalf("typing into %s: %v", term.cmd.Path, err)
	}
}

// close kills the program and waits until it is gone.
func (term *terminal) close() {
	term.t.Helper()
	_ = term.cmd.Process.Kill()
	_ = term.ended(10 * time.Second)
}

// ended waits for the program's end.
func (term *terminal) ended(limit time.Duration) error {
	term.t.Helper()
	select {
	case err := <-term.done:
		term.done <- err
		return err
	case <-time.After(limit):
		term.t.Fatalf("%s did not end within %v; it showed:\n%s", term.cmd.Path, limit, term.text())
		return errors.New("unreachable")
	}
}
