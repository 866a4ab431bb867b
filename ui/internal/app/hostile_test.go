package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/charmbracelet/colorprofile"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/uitest"
	"qubist/ui/internal/widget"
)

// hostile are texts that try to leave their place on the screen.
var hostile = []string{
	"a\x1b[2Jb", "a\x9b2Jb", "a\u009b2Jb", "\x1b]0;x\x07", "\x1b]52;c;A==\x07", "\u009d52;c;?\u009c", "\x1bPq\x1b\\", "\x05", "ok\revil", "a\bb",
	"\u202efdp", "\u2066a\u2069", "אב", "a\u200bb", "\ufeffa", "a" + strings.Repeat("\u0301", 1000), "\u1160", "\u3164", "😀", "Ａ", "中", "╔",
	"\xc0\xaf", "\xed\xa0\x80", "\xe2\x82", "\U000e0041", "%s%n{{.}}", "[red]x", strings.Repeat("A", 5000), "line\nline\n\nline", "\t\t\t",
}

// Whatever a server or qube puts into a text: no control, invisible or bidirectional
// character is in a frame, and every line has the width it has with harmless text.
func TestHostileTextStaysInItsPlace(t *testing.T) {
	for i, bad := range hostile {
		for _, size := range []struct{ w, h int }{{80, 24}, {120, 40}} {
			m := console(t, size.w, size.h, colorprofile.ASCII, poisoned(bad))
			for _, keys := range [][]string{{"G"}, {"enter"}, {"esc", "s"}, {"m"}, {"esc", "d"}, {"esc", "r"}, {"esc", ":"}, {"esc", "5", "j"}, {"7"}, {"9"}, {"0", "j", "j"}, {"1", "F"}, {"esc", "e"}, {"esc", ","}} {
				press(m, keys...)
				m.finished(jobMsg{id: firstTask(m), job: action.Job{Qube: "work", Phase: "starting", Failed: bad, Done: bad}, err: errors.New(bad), console: []string{bad}, deaf: bad})
				checkFrame(t, fmt.Sprintf("text %d after %v", i, keys), m)
			}
		}
	}
}

func firstTask(m *Model) int {
	if len(m.log.Tasks) > 0 {
		return m.log.Tasks[0].ID
	}
	return 0
}

// poisoned is a system with bad in every text, as if no one had cleaned it on the way in.
func poisoned(bad string) state.System {
	s := sample()
	s.Status = map[string]string{"accel": bad, "accel_reason": bad}
	for i := range s.Qubes {
		q := &s.Qubes[i]
		q.Class, q.Template, q.NetVM, q.Label.Name, q.Fault = bad, bad, bad, bad, bad
		q.Tags, q.Features = []string{bad}, []state.Feature{{Name: bad, Value: bad}}
		q.Properties = append(q.Properties, state.Property{Name: bad, Value: bad, Type: bad})
	}
	s.Qubes = append(s.Qubes, state.Qube{Name: "zz" + bad, Class: bad, Phase: state.Phase(bad)})
	return s
}

func checkFrame(t *testing.T, when string, m *Model) {
	t.Helper()
	c, _ := m.frame()
	w, h := c.Size()
	lines := strings.Split(c.Plain(), "\n")
	if len(lines) != h {
		t.Fatalf("%s: %d lines, want %d", when, len(lines), h)
	}
	for _, l := range lines {
		if n := widget.Cells(l); n > w {
			t.Errorf("%s: a line of %d cells in %d", when, n, w)
		}
		for _, r := range l {
			if r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202e\u2066\u2069\u200b\ufeff\u0301\u1160\u3164אב😀╔\u00ad", r) {
				t.Fatalf("%s: %U on the screen: %q", when, r, l)
			}
		}
	}
	term := uitest.NewTerm(w, h)
	fmt.Fprint(term, strings.Join(c.Lines(), "\r\n"))
	if odd := term.Strange(); len(odd) > 0 || len(term.Titles()) > 0 {
		t.Fatalf("%s: the terminal saw %q %q", when, odd, term.Titles())
	}
}
