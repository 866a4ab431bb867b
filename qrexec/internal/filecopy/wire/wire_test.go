package wire_test

import (
	"bytes"
	"path"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/bidi"

	"qubist/qrexec/internal/filecopy/wire"
)

// TestDisplayTable derives the characters allowed in names from the Unicode data and
// compares: number and ranges are those of the original's table.
func TestDisplayTable(t *testing.T) {
	kinds := []*unicode.RangeTable{unicode.L, unicode.N, unicode.P, unicode.Sm, unicode.Sc}
	scripts := []*unicode.RangeTable{
		unicode.Common, unicode.Inherited, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Braille,
		unicode.Han, unicode.Hangul, unicode.Bopomofo, unicode.Hiragana, unicode.Katakana,
	}
	count, ranges, last := 0, 0, false
	for r := rune(0x20); r <= unicode.MaxRune; r++ {
		want := r < 0x7f
		if r > 0x7f && unicode.In(r, kinds...) && unicode.In(r, scripts...) {
			p, _ := bidi.LookupRune(r)
			switch p.Class() {
			case bidi.L, bidi.EN, bidi.ES, bidi.ET, bidi.CS, bidi.ON, bidi.WS:
				want = true
			}
		}
		name := []byte("a" + string(r))
		if r == '/' {
			name = append(name, 'b')
		}
		if got := (wire.Rules{}).CheckName(name) == nil; got != want && !(r >= 0xd800 && r < 0xe000) {
			t.Fatalf("%U: allowed %v, want %v", r, got, want)
		}
		if want {
			count++
			if !last {
				ranges++
			}
		}
		last = want
	}
	if count != 115608 || ranges != 217 {
		t.Errorf("%d code points in %d ranges, the original has 115608 in 217", count, ranges)
	}
}

func TestNames(t *testing.T) {
	var strict wire.Rules
	for name, want := range map[string]error{
		"a": nil, "a/b": nil, "...": nil, "..a/b..": nil, strings.Repeat("n", 255): nil,
		"": wire.EILSEQ, "/": wire.EILSEQ, "/a": wire.EILSEQ, "a/": wire.EILSEQ, "a//b": wire.EILSEQ,
		".": wire.EILSEQ, "..": wire.EILSEQ, "a/../b": wire.EILSEQ, "a/.": wire.EILSEQ, "a\nb": wire.EILSEQ, "a\xc0\xafb": wire.EILSEQ,
	} {
		if got := strict.CheckName([]byte(name)); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
	for _, r := range []struct {
		name, target string
		rules        wire.Rules
		want         error
	}{
		{"d/l", "x", strict, nil},
		{"l", "x", strict, wire.ENOLINK},
		{"l", "x", wire.Rules{UnsafeLinks: true}, nil},
		{"d/l", "../x", strict, wire.ENOLINK},
		{"d/e/l", "../x", strict, nil},
		{"d/e/l", "../../x", strict, wire.ENOLINK},
		{"d/e/l", "x/../y", strict, wire.ENOLINK},
		{"d/l", "x/", strict, nil},
		{"d/l", "", strict, wire.ENOLINK},
		{"d/l", "", wire.Rules{LooseTargets: true}, nil},
		{"d/l", "./x//y", strict, wire.EILSEQ},
		{"d/l", "./x//y", wire.Rules{LooseTargets: true}, nil},
		{"d/l", "/etc", wire.Rules{LooseTargets: true}, wire.ENOLINK},
		{"d/l", "a\x1bb", strict, wire.EILSEQ},
		{"d/l", "a\x1bb", wire.Rules{AllNames: true}, nil},
	} {
		if got := r.rules.CheckLink([]byte(r.name), []byte(r.target)); got != r.want {
			t.Errorf("%q -> %q with %+v: %v, want %v", r.name, r.target, r.rules, got, r.want)
		}
	}
}

func TestResult(t *testing.T) {
	for _, r := range []wire.Result{{Code: 17, CRC: 5, LastName: []byte("a")}, {Code: 36, CRC: 9}, {LastName: []byte{}}} {
		b := r.Append(nil)
		got, err := wire.ParseResult(b)
		if err != nil || got.Code != r.Code || got.CRC != r.CRC || !bytes.Equal(got.LastName, r.LastName) || (got.LastName == nil) != (r.LastName == nil) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	}
	if _, err := wire.ParseResult(make([]byte, 15)); err == nil {
		t.Error("15 bytes are no answer")
	}
	huge := append(make([]byte, 16), 0xff, 0xff, 0xff, 0xff, 'x')
	if r, err := wire.ParseResult(huge); err != nil || string(r.LastName) != "x" {
		t.Errorf("a name shorter than announced: %+v, %v", r, err)
	}
	if got := wire.Code(0xFFFFFFAC).Normal(); got != wire.EILSEQ {
		t.Errorf("the negated code is %v", got)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(wire.Header{NameLen: 2, Mode: 0100644, FileLen: 3, Atime: 4, AtimeNsec: 5, Mtime: 6, MtimeNsec: 7}.Append(nil))
	f.Add(make([]byte, wire.HeaderSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < wire.HeaderSize {
			return
		}
		h := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		if !bytes.Equal(h.Append(nil), b[:wire.HeaderSize]) {
			t.Fatalf("%x came back as %x", b, h.Append(nil))
		}
		if r, err := wire.ParseResult(b); err == nil && len(r.LastName) > wire.MaxNameField {
			t.Fatalf("last name of %d bytes", len(r.LastName))
		}
	})
}

// FuzzNames: a name that passes is a clean relative path, and a link that passes stays in
// the topmost folder of its name.
func FuzzNames(f *testing.F) {
	for _, s := range [][2]string{{"a", "b"}, {"d/l", "../x"}, {"d/e/l", "../x/"}, {"d/e/f/l", ".././..//x"}, {"a/é", "ü"}, {"../a", "/"}} {
		f.Add([]byte(s[0]), []byte(s[1]), false, true)
	}
	f.Fuzz(func(t *testing.T, name, target []byte, all, loose bool) {
		name, target = wire.CutNUL(name), wire.CutNUL(target)
		r := wire.Rules{AllNames: all, LooseTargets: loose}
		if r.CheckName(name) == nil {
			if s := string(name); path.Clean(s) != s || path.IsAbs(s) || s == ".." || strings.HasPrefix(s, "../") || s == "." {
				t.Fatalf("name %q passes", s)
			}
		}
		if r.CheckLink(name, target) == nil {
			top, _, _ := strings.Cut(string(name), "/")
			if end := path.Join(path.Dir(string(name)), string(target)); path.IsAbs(string(target)) || end != top && !strings.HasPrefix(end, top+"/") {
				t.Fatalf("link %q -> %q leads to %q", name, target, end)
			}
		}
	})
}
