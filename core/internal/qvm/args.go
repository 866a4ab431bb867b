package qvm

import (
	"fmt"
	"slices"
	"strings"
)

// option is one switch of a tool.
type option struct {
	long  string
	short byte
	value bool
	no    bool // --no-LONG undoes it
	many  bool // may be given several times; all values count
}

var (
	commonOptions = []option{{long: "verbose", short: 'v', many: true}, {long: "quiet", short: 'q', many: true}, {long: "help", short: 'h'}, {long: "force-root"}, {long: "root", value: true}}
	selectOptions = []option{{long: "all"}, {long: "exclude", value: true, many: true}}
	deleteOptions = []option{{long: "unset", short: 'D'}, {long: "default"}, {long: "delete"}}
)

// flags are the switches that were given, with their values in order.
type flags map[string][]string

func (f flags) has(name string) bool      { return len(f[name]) > 0 }
func (f flags) list(name string) []string { return f[name] }

// get is the last value of a switch, "" when it was not given.
func (f flags) get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// parseArgs splits switches from other arguments, which may be mixed. After "--" nothing is
// a switch; with posix nothing after the second other argument either (the first names a
// qube, the second begins a command).
func parseArgs(args []string, opts []option, posix bool) (flags, []string, error) {
	f := flags{}
	var rest []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		words := 2
		if f.has("dispvm") || f.has("all") {
			words = 1
		}
		if a == "--" {
			return f, append(rest, args[i+1:]...), nil
		}
		if len(a) < 2 || a[0] != '-' || posix && len(rest) >= words {
			rest = append(rest, a)
			continue
		}
		used, err := f.take(args[i:], opts)
		if err != nil {
			return nil, nil, err
		}
		i += used
	}
	return f, rest, nil
}

// take reads the switch args begins with and returns how many more words it used.
func (f flags) take(args []string, opts []option) (int, error) {
	a := args[0]
	if name, ok := strings.CutPrefix(a, "--"); ok {
		name, value, given := strings.Cut(name, "=")
		for _, o := range opts {
			if o.no && name == "no-"+o.long && !given {
				f["no-"+o.long] = []string{"1"}
				delete(f, o.long)
				return 0, nil
			}
		}
		i := slices.IndexFunc(opts, func(o option) bool { return o.long == name })
		if i < 0 || given && !opts[i].value && name != "dispvm" {
			return 0, usageError("unrecognized arguments: " + a)
		}
		return f.put(opts[i], value, given, args[1:])
	}
	for j := 1; j < len(a); j++ {
		i := slices.IndexFunc(opts, func(o option) bool { return o.short == a[j] })
		if i < 0 {
			return 0, usageError("unrecognized arguments: " + a)
		}
		if opts[i].value {
			return f.put(opts[i], a[j+1:], j+1 < len(a), args[1:])
		}
		if _, err := f.put(opts[i], "", false, nil); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (f flags) put(o option, value string, given bool, next []string) (int, error) {
	used := 0
	switch {
	case o.value && !given && len(next) == 0:
		return 0, usageError(fmt.Sprintf("argument --%s: expected one argument", o.long))
	case o.value && !given:
		value, used = next[0], 1
	case !o.value && !given:
		value = "1"
	}
	if o.many {
		f[o.long] = append(f[o.long], value)
	} else {
		f[o.long] = []string{value}
	}
	delete(f, "no-"+o.long)
	return used, nil
}

func describe(opts []option) string {
	var b strings.Builder
	for _, o := range opts {
		if o.short != 0 {
			fmt.Fprintf(&b, "  -%c, --%s", o.short, o.long)
		} else {
			fmt.Fprintf(&b, "  --%s", o.long)
		}
		if o.value {
			b.WriteString(" VALUE")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
