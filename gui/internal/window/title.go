package window

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"qubist/core/safetext"
	"qubist/gui/wire"
)

const (
	// titleCells bounds a title as it is shown.
	titleCells = 128
	ellipsis   = "\u2026"
)

// asciiTitle is the original's title without UTF-8: 0x20 to 0x7E stay, every other byte
// becomes '_'; the agent's ellipsis at the end becomes "..." first (§5.9).
func asciiTitle(s string) string {
	if len(s) > 3 && strings.HasSuffix(s, ellipsis) {
		s = strings.TrimSuffix(s, ellipsis) + "..."
	}
	return ascii(s)
}

// ascii keeps printable ASCII and replaces every other byte.
func ascii(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '_'
		}
	}
	return string(b)
}

// Titles says which characters of a qube's titles are kept.
type Titles uint8

const (
	TitlesASCII Titles = iota // the original's without allow_utf8_titles
	TitlesUTF8                // the original's with it, less what can mislead
	TitlesSafe                // what package safetext shows
)

// utf8Title keeps well-formed UTF-8, up to where the original does (§5.9); every byte of
// anything else becomes '_'. Controls beyond ASCII and marks that turn the direction of
// writing are replaced too, unlike there.
func utf8Title(s string) string {
	const last = 0xfffff
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		good := r >= 0x20 && r != 0x7f && r <= last && (r != utf8.RuneError || n > 1) &&
			!unicode.Is(unicode.Cc, r) && !unicode.Is(unicode.Bidi_Control, r)
		if good {
			b.WriteString(s[i : i+n])
		} else {
			b.WriteString(strings.Repeat("_", n))
		}
		i += n
	}
	return b.String()
}

// title is what the user gets to see of a qube's title.
func (s *State) title(untrusted wire.WMName) string {
	var t string
	switch s.cfg.Titles {
	case TitlesSafe:
		t = safetext.Line(string(untrusted), titleCells)
	case TitlesUTF8:
		t = utf8Title(string(untrusted))
	default:
		t = asciiTitle(string(untrusted))
	}
	if s.cfg.TitlePrefix {
		t = "[" + s.cfg.Name + "] " + t
	}
	return t
}
