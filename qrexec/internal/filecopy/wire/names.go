package wire

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Rules are the options of the checks. The zero value is the strictest.
type Rules struct {
	AllNames     bool // any bytes in names and targets
	UnsafeLinks  bool // targets are not checked, links may stand at the top
	LooseTargets bool // targets may have ".", empty components, or be empty
}

// CutNUL is b up to its first NUL.
func CutNUL(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// CheckName checks an entry's name (without NUL): EILSEQ, or nil. A name that passes is
// relative and has only real components.
func (r Rules) CheckName(name []byte) error {
	_, err := r.depth(name)
	return err
}

// depth checks name and counts its components.
func (r Rules) depth(name []byte) (int, error) {
	n := 0
	for rest, more := name, true; more; {
		var c []byte
		c, rest, more = bytes.Cut(rest, []byte{'/'})
		if len(c) == 0 || isDots(c) || !r.text(c) {
			return 0, EILSEQ
		}
		n++
	}
	return n, nil
}

func isDots(c []byte) bool { return string(c) == "." || string(c) == ".." }

// CheckLink checks a link's name and target (both without NUL): EILSEQ, ENOLINK, or nil. A
// link that passes with UnsafeLinks off cannot lead out of the topmost folder of its name.
func (r Rules) CheckLink(name, target []byte) error {
	depth, err := r.depth(name)
	switch {
	case err != nil:
		return err
	case r.UnsafeLinks:
		return nil
	case depth < 2:
		return ENOLINK
	case len(target) == 0 && r.LooseTargets:
		return nil
	case len(target) == 0, target[0] == '/':
		return ENOLINK
	}
	return r.checkTarget(target, depth-2)
}

// checkTarget allows up climbs of ".." at the beginning of target.
func (r Rules) checkTarget(target []byte, up int) error {
	descended := false
	for rest, more := target, true; more; {
		var c []byte
		c, rest, more = bytes.Cut(rest, []byte{'/'})
		switch {
		case string(c) == "..":
			if up--; up < 0 || descended {
				return ENOLINK
			}
		case len(c) == 0 && !more: // trailing slash
		case len(c) == 0, string(c) == ".":
			if !r.LooseTargets {
				return EILSEQ
			}
		case !r.text(c):
			return EILSEQ
		default:
			descended = true
		}
	}
	return nil
}

// text reports whether all characters of a component are allowed.
func (r Rules) text(c []byte) bool {
	if r.AllNames {
		return true
	}
	for i := 0; i < len(c); {
		if c[i] < utf8.RuneSelf {
			if c[i] < 0x20 || c[i] == 0x7f {
				return false
			}
			i++
			continue
		}
		char, size := utf8.DecodeRune(c[i:])
		if char == utf8.RuneError && size <= 1 || !unicode.Is(displaySafe, char) {
			return false
		}
		i += size
	}
	return true
}
