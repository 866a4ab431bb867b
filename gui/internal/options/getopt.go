package options

import (
	"fmt"
	"strings"
)

// flag is one option. Exactly one of set and on is given.
type flag struct {
	short byte // 0: none
	long  string
	set   func(value string) error // takes a value
	on    func()
}

// parse reads the words of a command line: short options, which may be joined, and long
// ones, which may be cut short. Words that are neither are not allowed, nor is "--".
func parse(words []string, flags []flag) error {
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		var err error
		switch {
		case strings.HasPrefix(w, "--") && len(w) > 2:
			words, err = long(w[2:], words, flags)
		case strings.HasPrefix(w, "-") && w != "-" && w != "--":
			words, err = short(w[1:], words, flags)
		default:
			err = fmt.Errorf("unexpected argument %q", w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func long(w string, rest []string, flags []flag) ([]string, error) {
	name, value, hasValue := strings.Cut(w, "=")
	var found *flag
	for i := range flags {
		f := &flags[i]
		if f.long == name {
			found = f
			break
		}
		if f.long != "" && strings.HasPrefix(f.long, name) {
			if found != nil {
				return nil, fmt.Errorf("option --%s is ambiguous", name)
			}
			found = f
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("unknown option --%s", name)
	case found.on != nil && hasValue:
		return nil, fmt.Errorf("option --%s takes no value", found.long)
	case found.on != nil:
		found.on()
		return rest, nil
	}
	if !hasValue {
		if len(rest) == 0 {
			return nil, fmt.Errorf("option --%s needs a value", found.long)
		}
		value, rest = rest[0], rest[1:]
	}
	return rest, apply(found, "--"+found.long, value)
}

func short(w string, rest []string, flags []flag) ([]string, error) {
	for w != "" {
		var found *flag
		for i := range flags {
			if flags[i].short == w[0] {
				found = &flags[i]
			}
		}
		name := "-" + w[:1]
		w = w[1:]
		if found == nil {
			return nil, fmt.Errorf("unknown option %s", name)
		}
		if found.on != nil {
			found.on()
			continue
		}
		if w == "" {
			if len(rest) == 0 {
				return nil, fmt.Errorf("option %s needs a value", name)
			}
			w, rest = rest[0], rest[1:]
		}
		return rest, apply(found, name, w)
	}
	return rest, nil
}

func apply(f *flag, name, value string) error {
	if err := f.set(value); err != nil {
		return fmt.Errorf("option %s: %w", name, err)
	}
	return nil
}
