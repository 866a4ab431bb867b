// Package backupprofile reads the profiles that say what is backed up where (spec
// admin-api.md §7). It understands the part of YAML that profiles use: one key on a line,
// plain and quoted text, and lists in either form; anything else is refused. It is pure.
package backupprofile

import (
	"errors"
	"fmt"
	"strings"
)

// MaxFile bounds a profile, in bytes.
const MaxFile = 64 << 10

// ErrSyntax is wrapped by every error of Parse.
var ErrSyntax = errors.New("invalid backup profile")

// Profile says what is backed up where. Include is nil for the default choice.
type Profile struct {
	DestinationVM   string
	DestinationPath string
	Include         []string // names of qubes, "@tag:…" and "@type:…"
	Exclude         []string
	Compression     string // "" for none, "true" for the usual one, else the filter's name
	PassphraseText  string
	PassphraseVM    string
}

func bad(line int, format string, args ...any) error {
	return fmt.Errorf("%w: line %d: "+format, append([]any{ErrSyntax, line}, args...)...)
}

// value is what stands after a key: text, a list, or nothing.
type value struct {
	text   string
	quoted bool
	list   []string
	isList bool
	line   int
}

func (v value) null() bool {
	return !v.isList && !v.quoted && (v.text == "" || v.text == "~" || v.text == "null")
}

// Parse reads a profile.
func Parse(b []byte) (Profile, error) {
	if len(b) > MaxFile {
		return Profile{}, bad(0, "longer than %d bytes", MaxFile)
	}
	values := map[string]value{}
	last := ""
	for i, raw := range strings.Split(string(b), "\n") {
		n := i + 1
		if strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 && r != '\t' && r != '\r' || r == 0x7f || r == 0xfffd }) {
			return Profile{}, bad(n, "strange characters")
		}
		l := strings.TrimRight(raw, " \t\r")
		t := strings.TrimLeft(l, " ")
		switch {
		case t == "" || t[0] == '#' || l == "---":
		case t == "-" || strings.HasPrefix(t, "- "):
			v, ok := values[last]
			if !ok || v.text != "" || v.quoted || v.isList && v.line >= 0 {
				return Profile{}, bad(n, "an item outside a list")
			}
			s, _, rest, err := scalar(strings.TrimPrefix(t, "-"), n, "")
			if err != nil || rest != "" {
				return Profile{}, bad(n, "malformed item")
			}
			v.isList, v.line, v.list = true, -1, append(v.list, s)
			values[last] = v
		case t != l:
			return Profile{}, bad(n, "unexpected indentation")
		default:
			k, v, err := entry(l, n)
			if err != nil {
				return Profile{}, err
			}
			if _, twice := values[k]; twice {
				return Profile{}, bad(n, "key %s is there twice", k)
			}
			values[k], last = v, k
		}
	}
	return build(values)
}

func entry(l string, n int) (string, value, error) {
	k, rest, ok := strings.Cut(l, ":")
	if !ok || k == "" || rest != "" && rest[0] != ' ' {
		return "", value{}, bad(n, "want key: value")
	}
	v := value{line: n}
	rest = strings.TrimSpace(rest)
	if !strings.HasPrefix(rest, "[") {
		s, quoted, tail, err := scalar(rest, n, "")
		if err != nil || tail != "" {
			return "", v, bad(n, "malformed value of %s", k)
		}
		v.text, v.quoted = s, quoted
		return k, v, nil
	}
	v.isList, v.list = true, []string{}
	for rest = strings.TrimSpace(rest[1:]); ; {
		if tail, ok := strings.CutPrefix(rest, "]"); ok {
			if tail = strings.TrimSpace(tail); tail != "" && tail[0] != '#' {
				return "", v, bad(n, "text after a list")
			}
			return k, v, nil
		}
		s, _, tail, err := scalar(rest, n, ",]")
		if err != nil {
			return "", v, err
		}
		v.list = append(v.list, s)
		if next, ok := strings.CutPrefix(tail, ","); ok {
			tail = strings.TrimSpace(next)
		} else if !strings.HasPrefix(tail, "]") {
			return "", v, bad(n, "a list does not end")
		}
		rest = tail
	}
}

// scalar reads one text; plain text ends before a character of stop.
func scalar(s string, n int, stop string) (text string, quoted bool, rest string, err error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", false, "", nil
	}
	if q := s[0]; q == '\'' || q == '"' {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == q && q == '\'' && i+1 < len(s) && s[i+1] == '\'':
				b.WriteByte('\'')
				i++
			case c == q:
				rest = strings.TrimSpace(s[i+1:])
				if strings.HasPrefix(rest, "#") {
					rest = ""
				}
				return b.String(), true, rest, nil
			case c == '\\' && q == '"':
				if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
					return "", false, "", bad(n, "an escape that profiles do not have")
				}
				b.WriteByte(s[i])
			default:
				b.WriteByte(c)
			}
		}
		return "", false, "", bad(n, "a quote does not end")
	}
	if strings.IndexByte("&*!|>%`{}[]?@", s[0]) >= 0 {
		return "", false, "", bad(n, "text beginning with %q must be quoted", s[0])
	}
	end := len(s)
	if stop != "" {
		if i := strings.IndexAny(s, stop); i >= 0 {
			end = i
		}
	}
	if i := strings.Index(s[:end], " #"); i >= 0 {
		end = i
	}
	text = strings.TrimSpace(s[:end])
	if strings.Contains(text, ": ") {
		return "", false, "", bad(n, "text with ': ' must be quoted")
	}
	if stop != "" {
		rest = s[end:]
	}
	return text, false, rest, nil
}

func build(values map[string]value) (Profile, error) {
	var p Profile
	for k, v := range values {
		line := max(v.line, 0)
		if v.isList != (k == "include" || k == "exclude") && !v.null() {
			return p, bad(line, "%s: a list where text belongs, or the reverse", k)
		}
		switch k {
		case "destination_vm":
			p.DestinationVM = v.text
		case "destination_path":
			p.DestinationPath = v.text
		case "include":
			p.Include = v.list
		case "exclude":
			p.Exclude = v.list
		case "passphrase_text":
			p.PassphraseText = v.text
		case "passphrase_vm":
			p.PassphraseVM = v.text
		case "compression":
			switch s := strings.ToLower(v.text); {
			case v.null() || !v.quoted && (s == "false" || s == "no" || s == "off"):
			case !v.quoted && (s == "true" || s == "yes" || s == "on"):
				p.Compression = "true"
			default:
				p.Compression = v.text
			}
		default:
			return p, bad(line, "unknown key %.64q", k)
		}
	}
	switch {
	case p.DestinationVM == "" || p.DestinationPath == "":
		return p, bad(0, "destination_vm and destination_path are needed")
	case (p.PassphraseText == "") == (p.PassphraseVM == ""):
		return p, bad(0, "one of passphrase_text and passphrase_vm is needed")
	}
	return p, nil
}
