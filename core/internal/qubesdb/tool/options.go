package tool

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"qubist/core/qubesdb"
)

// errOption: an option that does not exist or lacks its value.
var errOption = errors.New("")

// optionError is an errOption with a text.
type optionError string

func (e optionError) Error() string        { return string(e) }
func (e optionError) Is(target error) bool { return target == errOption }

// withValue are the short options that take a value.
const withValue = "cden"

var longOptions = map[string]byte{"default": 'e', "root": 'R'}

// parse takes options from anywhere among the arguments, up to "--", and returns the rest.
// first allows -c as the first option.
func parse(args []string, first bool, o *options) ([]string, error) {
	var rest []string
	seen := 0
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
			return append(rest, args...), nil
		case len(a) < 2 || a[0] != '-':
			rest = append(rest, a)
			continue
		case a[1] == '-':
			name, value, has := cutLong(a[2:])
			opt, ok := longOptions[name]
			if !ok {
				return nil, optionError("unrecognized option '--" + name + "'")
			}
			if !has {
				if len(args) == 0 {
					return nil, optionError("option '--" + name + "' requires an argument")
				}
				value, args = args[0], args[1:]
			}
			seen++
			if err := o.set(opt, value, first && seen == 1); err != nil {
				return nil, err
			}
			continue
		}
		for a = a[1:]; a != ""; {
			c := a[0]
			a = a[1:]
			value := ""
			if contains(withValue, c) {
				if value, a = a, ""; value == "" {
					if len(args) == 0 {
						return nil, optionError(fmt.Sprintf("option requires an argument -- '%c'", c))
					}
					value, args = args[0], args[1:]
				}
			}
			seen++
			if err := o.set(c, value, first && seen == 1); err != nil {
				return nil, err
			}
		}
	}
	return rest, nil
}

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

func cutLong(a string) (name, value string, has bool) {
	for i := range len(a) {
		if a[i] == '=' {
			return a[:i], a[i+1:], true
		}
	}
	return a, "", false
}

// set takes one option.
func (o *options) set(c byte, value string, mayCommand bool) error {
	switch c {
	case 'c':
		if !mayCommand {
			return errors.New("-c must be first argument")
		}
		o.command = value
	case 'd':
		o.domain = value
	case 'e':
		o.fallback = &value
	case 'n':
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("-n %q is not a number", value)
		}
		o.events, o.eventsSet = n, true
	case 'R':
		o.root = value
	case 'f':
		o.full = true
	case 'r':
		o.raw = true
	case 'q':
		o.quiet = true
	case 'w':
		o.wait = true
	case 'x':
		o.remove = true
	case 'h':
		o.help = true
	default:
		return optionError(fmt.Sprintf("invalid option -- '%c'", c))
	}
	return nil
}

// Exit codes of qubesdb-read-bool.
const (
	boolTrue = iota
	boolFalse
	boolMissing
	boolError
)

// readBool is qubesdb-read-bool.
func (r *run) readBool(ctx context.Context, args []string) int {
	rest, err := parse(args, false, &r.options)
	missing := boolMissing
	if err == nil && len(rest) == 2 {
		missing, err = strconv.Atoi(rest[1])
	}
	if err != nil || len(rest) < 1 || len(rest) > 2 || missing < 0 || missing > 255 {
		fmt.Fprintln(r.Stderr, "usage: qubesdb-read-bool KEY [DEFAULT]\n\nThe exit code is 0 when KEY has a value, 1 when it is empty, DEFAULT (2) when there is\nno such entry, and 3 on errors.")
		return boolError
	}
	if !r.connect(ctx) {
		return boolError
	}
	defer r.db.Close()
	v, err := r.db.Read(ctx, rest[0])
	switch {
	case errors.Is(err, qubesdb.ErrNotExist):
		return missing
	case err != nil:
		r.fail("Failed to read %s", rest[0])
		return boolError
	case v == "":
		return boolFalse
	}
	return boolTrue
}
