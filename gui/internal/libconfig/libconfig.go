// Package libconfig reads the subset of the libconfig language that configuration files of
// the window daemon use: nested groups of booleans, integers, floating-point numbers and
// strings, with comments. Arrays and lists are checked and passed over. It knows no setting.
package libconfig

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxSize bounds a file in bytes.
	MaxSize = 1 << 20
	// maxDepth bounds how deep groups and lists lie in one another.
	maxDepth = 16
)

// ErrSyntax is wrapped by every error about the text.
var ErrSyntax = errors.New("syntax error")

// Group holds settings by name. A value is a bool, int64, float64, string, Group, or
// List for an array or list.
type Group map[string]any

// List stands for an array or list, whose items are not kept.
type List struct{}

// Parse reads a whole file.
func Parse(text string) (Group, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrSyntax, MaxSize)
	}
	p := &parser{rest: text}
	g, err := p.settings(0, "")
	if err != nil {
		line := 1 + strings.Count(text[:len(text)-len(p.rest)], "\n")
		return nil, fmt.Errorf("%w in line %d: %w", ErrSyntax, line, err)
	}
	return g, nil
}

type parser struct{ rest string }

// space skips blanks and comments.
func (p *parser) space() error {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n\f")
		switch {
		case strings.HasPrefix(p.rest, "#"), strings.HasPrefix(p.rest, "//"):
			if i := strings.IndexByte(p.rest, '\n'); i >= 0 {
				p.rest = p.rest[i:]
			} else {
				p.rest = ""
			}
		case strings.HasPrefix(p.rest, "/*"):
			_, after, ok := strings.Cut(p.rest[2:], "*/")
			if !ok {
				return errors.New("comment without end")
			}
			p.rest = after
		default:
			return nil
		}
	}
}

// next skips space and reports whether one of the bytes in set follows, which it eats.
func (p *parser) next(set string) (bool, error) {
	if err := p.space(); err != nil {
		return false, err
	}
	if p.rest == "" || !strings.Contains(set, p.rest[:1]) {
		return false, nil
	}
	p.rest = p.rest[1:]
	return true, nil
}

// settings reads up to the byte end, or the end of the text when end is empty.
func (p *parser) settings(depth int, end string) (Group, error) {
	g := Group{}
	for {
		if err := p.space(); err != nil {
			return nil, err
		}
		if p.rest == "" && end == "" {
			return g, nil
		}
		if end != "" {
			if done, err := p.next(end); done || err != nil {
				return g, err
			}
		}
		name := p.word()
		if name == "" {
			return nil, errors.New("name of a setting expected")
		}
		if ok, err := p.next("=:"); err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("'=' expected after %q", name))
		}
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		if _, twice := g[name]; twice {
			return nil, fmt.Errorf("%q is set twice", name)
		}
		g[name] = v
		if _, err := p.next(";,"); err != nil {
			return nil, err
		}
	}
}

// word reads a name.
func (p *parser) word() string {
	i := 0
	for i < len(p.rest) && (isLetter(p.rest[i]) || i > 0 && (isDigit(p.rest[i]) || strings.IndexByte("-_", p.rest[i]) >= 0)) {
		i++
	}
	w := p.rest[:i]
	p.rest = p.rest[i:]
	return w
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '*' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	switch {
	case p.rest == "":
		return nil, errors.New("value expected")
	case p.rest[0] == '{':
		p.rest = p.rest[1:]
		return p.settings(depth+1, "}")
	case p.rest[0] == '(':
		return List{}, p.list(depth, ")")
	case p.rest[0] == '[':
		return List{}, p.list(depth, "]")
	case p.rest[0] == '"':
		return p.text()
	case isLetter(p.rest[0]):
		return p.boolean()
	}
	return p.number()
}

func (p *parser) list(depth int, end string) error {
	p.rest = p.rest[1:]
	for {
		if done, err := p.next(end); done || err != nil {
			return err
		}
		if _, err := p.value(depth + 1); err != nil {
			return err
		}
		if _, err := p.next(","); err != nil {
			return err
		}
	}
}

func (p *parser) boolean() (any, error) {
	w := p.word()
	switch strings.ToLower(w) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return nil, fmt.Errorf("%q is no value", w)
}

func (p *parser) number() (any, error) {
	i := 0
	for i < len(p.rest) && (isLetter(p.rest[i]) || isDigit(p.rest[i]) || strings.IndexByte("+-.", p.rest[i]) >= 0) {
		i++
	}
	w := p.rest[:i]
	p.rest = p.rest[i:]
	digits := strings.TrimSuffix(strings.TrimSuffix(w, "L"), "L")
	base := 10
	if hex := strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X"); hex != digits {
		base, digits = 16, hex
	}
	if n, err := strconv.ParseInt(digits, base, 64); err == nil {
		return n, nil
	}
	if f, err := strconv.ParseFloat(w, 64); err == nil && base == 10 && digits == w && !strings.ContainsAny(w, "xXpPiInN") {
		return f, nil
	}
	return nil, fmt.Errorf("%q is no value", w)
}

// text reads one or more adjacent strings.
func (p *parser) text() (any, error) {
	var b strings.Builder
	for strings.HasPrefix(p.rest, `"`) {
		p.rest = p.rest[1:]
		if err := p.quoted(&b); err != nil {
			return nil, err
		}
		if err := p.space(); err != nil {
			return nil, err
		}
	}
	return b.String(), nil
}

var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'f': '\f', '\\': '\\', '"': '"'}

func (p *parser) quoted(b *strings.Builder) error {
	for p.rest != "" {
		c := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case c == '"':
			return nil
		case c != '\\':
			b.WriteByte(c)
		case len(p.rest) >= 3 && p.rest[0] == 'x':
			n, err := strconv.ParseUint(p.rest[1:3], 16, 8)
			if err != nil {
				return errors.New(`\x without two digits`)
			}
			b.WriteByte(byte(n))
			p.rest = p.rest[3:]
		case p.rest != "" && escapes[p.rest[0]] != 0:
			b.WriteByte(escapes[p.rest[0]])
			p.rest = p.rest[1:]
		default:
			return errors.New("unknown escape in a string")
		}
	}
	return errors.New("string without end")
}
