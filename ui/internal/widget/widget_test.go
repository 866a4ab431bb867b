package widget_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"qubist/ui/internal/theme"
	"qubist/ui/internal/widget"
)

func TestPutStaysInside(t *testing.T) {
	c := widget.NewCanvas(10, 2)
	if x := c.Put(8, 0, 10, "abc", theme.Style{}); x != 10 {
		t.Errorf("ended at %d", x)
	}
	c.Put(0, 5, 10, "below", theme.Style{})
	c.Put(-3, 1, 10, "left", theme.Style{})
	c.PutRight(10, 1, 4, "123456", theme.Style{})
	if got, want := c.Plain(), "        a…\nt     123…"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWideCharacters(t *testing.T) {
	c := widget.NewCanvas(6, 1)
	c.Put(0, 0, 6, "中文字", theme.Style{})
	c.Put(1, 0, 1, "x", theme.Style{}) // the wide character it cuts in half disappears
	if got, want := c.Plain(), " x文字"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c = widget.NewCanvas(5, 1)
	c.Put(0, 0, 5, "中文字", theme.Style{})
	if got, want := c.Plain(), "中文…"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzCanvas(f *testing.F) {
	for _, s := range []string{"a\x1b[2Jb", "中文", "\u202eabc", "a\u0301", "\xff\xfe", "😀", "■·…"} {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		c := widget.NewCanvas(12, 1)
		c.Put(0, 0, limit, s, theme.Style{})
		c.Put(3, 0, limit, s, theme.Style{Bold: true})
		got := c.Plain()
		if !utf8.ValidString(got) || widget.Cells(got) > 12 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x301 }) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text     string
		w, lines int
		want     string
	}{
		{"one two three", 7, 9, "one two|three"}, {"abcdefghij", 4, 9, "abcd|efgh|ij"}, {"a b c d e f", 3, 2, "a b|c …"},
		{"", 5, 5, ""}, {"中文字", 4, 5, "中文|字"}, {"x", 0, 1, ""}, {"x longer", 1, 99, "x|l|o|n|g|e|r"},
	} {
		if got := strings.Join(widget.Wrap(c.text, c.w, c.lines), "|"); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.w, got, c.want)
		}
	}
}

func TestUnits(t *testing.T) {
	for kib, want := range map[uint64]string{0: "–", 400 << 10: "400 M", 999 << 10: "999 M", 1000 << 10: "1.0 G", 2 << 20: "2.0 G", 16 << 20: "16.0 G"} {
		if got := widget.KiB(kib); got != want {
			t.Errorf("%d: %q, want %q", kib, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min", 3*time.Hour + 12*time.Minute: "3 h 12 min", 50 * time.Hour: "2 d 2 h"} {
		if got := widget.Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := widget.Spark([]uint64{0, 1, 2, 4}, 3); got != "▂▄█" {
		t.Errorf("spark %q", got)
	}
}

func TestEditor(t *testing.T) {
	e := widget.NewEditor("", []string{"old", "older"})
	keys := func(ks ...string) {
		for _, k := range ks {
			if !e.Key(k) {
				e.Insert(k)
			}
		}
	}
	check := func(want string) {
		t.Helper()
		if e.Text() != want {
			t.Errorf("%q, want %q", e.Text(), want)
		}
	}
	keys("h", "é", "o", "left", "left", "l")
	check("hléo")
	keys("backspace", "delete", "end", "!")
	check("ho!")
	keys("up")
	check("older")
	keys("up", "up")
	check("old")
	keys("down", "down")
	check("ho!")
	keys(" ", "w", "x", "ctrl+w")
	check("ho! ")
	keys("ctrl+u")
	check("")
	e.Insert("a\x1b[2J\nb\tc")
	check("a[2J b c")
	e.Set("")
	e.Insert(strings.Repeat("x", 5000))
	if n := len(e.Text()); n != 1000 {
		t.Errorf("%d characters", n)
	}
}

func TestRemember(t *testing.T) {
	var h []string
	for _, s := range []string{"a", "b", " ", "a", "c", "d"} {
		h = widget.Remember(h, s, 3)
	}
	if got := strings.Join(h, ""); got != "acd" {
		t.Errorf("%q", got)
	}
}
