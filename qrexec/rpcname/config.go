package rpcname

import (
	"errors"
	"fmt"
	"strings"
)

// MaxConfig is the longest configuration file read, in bytes. Ours; the original has none.
const MaxConfig = 1 << 16

// ErrConfig is wrapped by every error of ParseConfig.
var ErrConfig = errors.New("invalid service configuration")

// Config is a service's configuration file. The zero value is that of a missing file.
type Config struct {
	WaitForSession   bool
	ForceUser        string
	SkipDescriptor   bool // socket services: do not write the descriptor first
	ExitOnClientEOF  bool
	ExitOnServiceEOF bool
	Unknown          []string // keys to mention in a log, at most MaxUnknown
}

// MaxUnknown bounds Config.Unknown.
const MaxUnknown = 8

// value is what a line assigns: exactly one of the kinds.
type value struct {
	kind byte // 'b', 'i' or 's'
	b    bool
	i    string
	s    string
}

// ParseConfig reads the TOML subset of spec qrexec.md §8.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	if len(b) > MaxConfig {
		return Config{}, fmt.Errorf("%w: %d bytes", ErrConfig, len(b))
	}
	seen := map[string]bool{}
	for n, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || line[0] == '#' && strings.IndexByte(line, 0) < 0 {
			continue
		}
		key, v, err := parseLine(line)
		if err == nil {
			err = c.set(key, v, seen)
		}
		if err != nil {
			return Config{}, fmt.Errorf("%w: line %d: %w", ErrConfig, n+1, err)
		}
	}
	if c.ForceUser != "" && (c.SkipDescriptor || c.ExitOnClientEOF || c.ExitOnServiceEOF) {
		return Config{}, fmt.Errorf("%w: force-user together with options of socket services", ErrConfig)
	}
	return c, nil
}

func parseLine(line string) (string, value, error) {
	if strings.IndexByte(line, 0) >= 0 {
		return "", value{}, errors.New("NUL")
	}
	end := 0
	for end < len(line) && keyByte(line[end], end) {
		end++
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(line[end:], " \t"), "=")
	if end == 0 || !ok {
		return "", value{}, errors.New("want key = value")
	}
	v, err := parseValue(strings.TrimLeft(rest, " \t"))
	return line[:end], v, err
}

func keyByte(c byte, at int) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	return letter || at > 0 && (c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
}

func parseValue(s string) (value, error) {
	var v value
	if strings.HasPrefix(s, "'") {
		text, rest, ok := strings.Cut(s[1:], "'")
		if !ok || strings.HasPrefix(s, "'''") {
			return v, errors.New("bad string")
		}
		return value{kind: 's', s: text}, junk(rest)
	}
	end := strings.IndexAny(s, " \t#")
	if end < 0 {
		end = len(s)
	}
	word := s[:end]
	switch {
	case word == "true" || word == "false":
		v = value{kind: 'b', b: word == "true"}
	case word != "" && strings.Trim(word, "0123456789") == "" && (word == "0" || word[0] != '0'):
		v = value{kind: 'i', i: word}
	default:
		return v, fmt.Errorf("bad value %q", word)
	}
	return v, junk(s[end:])
}

// junk allows white space and a comment after a value.
func junk(s string) error {
	if s = strings.TrimLeft(s, " \t"); s != "" && s[0] != '#' {
		return errors.New("text after the value")
	}
	return nil
}

func (c *Config) set(key string, v value, seen map[string]bool) error {
	flags := map[string]*bool{
		"wait-for-session": &c.WaitForSession, "skip-service-descriptor": &c.SkipDescriptor,
		"exit-on-client-eof": &c.ExitOnClientEOF, "exit-on-service-eof": &c.ExitOnServiceEOF,
	}
	flag := flags[key]
	if flag == nil && key != "force-user" {
		if len(c.Unknown) < MaxUnknown {
			c.Unknown = append(c.Unknown, key)
		}
		return nil
	}
	if seen[key] {
		return fmt.Errorf("key %q repeated", key)
	}
	seen[key] = true
	switch {
	case key == "force-user" && v.kind == 's':
		c.ForceUser = v.s
	case flag != nil && v.kind == 'b':
		*flag = v.b
	case key == "wait-for-session" && v.kind == 'i' && (v.i == "0" || v.i == "1"):
		*flag = v.i == "1"
	default:
		return fmt.Errorf("wrong value for %q", key)
	}
	return nil
}
