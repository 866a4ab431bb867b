package window

import (
	"strings"

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

// title is what the user gets to see of a qube's title.
func (s *State) title(untrusted wire.WMName) string {
	var t string
	if s.cfg.UTF8Titles {
		t = safetext.Line(string(untrusted), titleCells)
	} else {
		t = asciiTitle(string(untrusted))
	}
	if s.cfg.TitlePrefix {
		t = "[" + s.cfg.Name + "] " + t
	}
	return t
}
