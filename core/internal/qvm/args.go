package qvm

import (
	"fmt"
	"slices"
	"strings"
)

// option is one switch of a tool. A name of one letter is given with one dash.
type option struct {
	names []string // the first is its key in flags
	meta  string   // what its value is called; "" when it takes none
	help  string
	no    bool // --no-NAME undoes it
	many  bool // may be given several times; all values count
	loose bool // the value may be left out, or follow "="
}

// sw makes a switch without a value and val one with; names are separated by commas.
func sw(names, help string) option        { return option{names: strings.Split(names, ","), help: help} }
func val(names, meta, help string) option { o := sw(names, help); o.meta = meta; return o }
func many(o option) option                { o.many = true; return o }
func undo(o option) option                { o.no = true; return o }
func loose(o option) option               { o.loose = true; return o }

var (
	commonOptions = []option{
		many(sw("verbose,v", "say more")), many(sw("quiet,q", "say less")), sw("help,h", "show this help"), sw("version", "show the version"),
		sw("json", "write the answer as JSON"), val("root", "DIR", "use the instance below DIR"), sw("force-root", "ignored"),
	}
	selectOptions = []option{sw("all", "all qubes but dom0"), many(val("exclude", "VM", "not this one of --all"))}
	deleteOption  = sw("default,D,unset,delete", "go back to the default")
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
// a switch; with command (the tool runs one) nothing after its first word either, which is
// the second argument, or the first with --dispvm or --all.
func parseArgs(args []string, opts []option, command bool) (flags, []string, error) {
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
		if len(a) < 2 || a[0] != '-' || command && len(rest) >= words {
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
		o, off, err := longOption(name, opts)
		if err != nil {
			return 0, err
		}
		if off && !given {
			f["no-"+o.names[0]] = []string{"1"}
			delete(f, o.names[0])
			return 0, nil
		}
		if off || given && o.meta == "" {
			return 0, usageError("argument --" + name + ": takes no value")
		}
		return f.put(o, value, given, args[1:])
	}
	for j := 1; j < len(a); j++ {
		i := slices.IndexFunc(opts, func(o option) bool { return slices.Contains(o.names, a[j:j+1]) })
		if i < 0 {
			return 0, usageError("unrecognized arguments: " + a)
		}
		if opts[i].meta != "" {
			return f.put(opts[i], a[j+1:], j+1 < len(a), args[1:])
		}
		if _, err := f.put(opts[i], "", false, nil); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// longOption finds the option called name, or the only one whose name begins so; off says
// that it is meant to be undone.
func longOption(name string, opts []option) (found option, off bool, err error) {
	hits := map[string]bool{}
	for _, o := range opts {
		for _, n := range o.names {
			for _, neg := range []bool{false, true} {
				if neg {
					n = "no-" + n
				}
				if len(n) < 2 || neg && !o.no || !strings.HasPrefix(n, name) {
					continue
				}
				if n == name {
					return o, neg, nil
				}
				hits[o.names[0]] = true
				found, off = o, neg
			}
		}
	}
	switch {
	case len(hits) == 1 && name != "":
		return found, off, nil
	case len(hits) > 1 && name != "":
		return option{}, false, usageError("ambiguous option: --" + name)
	}
	return option{}, false, usageError("unrecognized arguments: --" + name)
}

func (f flags) put(o option, value string, given bool, next []string) (int, error) {
	used, key := 0, o.names[0]
	switch {
	case o.meta == "":
		value = "1"
	case given:
	case o.loose:
		value = ""
	case len(next) == 0:
		return 0, usageError(fmt.Sprintf("argument --%s: expected one argument", key))
	default:
		value, used = next[0], 1
	}
	if o.many {
		f[key] = append(f[key], value)
	} else {
		f[key] = []string{value}
	}
	delete(f, "no-"+key)
	return used, nil
}

// spelling is how an option is written in help texts: "-f, --force".
func (o option) spelling() string {
	var parts []string
	for _, n := range o.names {
		if len(n) == 1 {
			parts = append(parts, "-"+n)
		}
	}
	for _, n := range o.names {
		if len(n) == 1 {
			continue
		}
		if o.no {
			n = "[no-]" + n
		}
		parts = append(parts, "--"+n)
	}
	s := strings.Join(parts, ", ")
	switch {
	case o.loose:
		s += "[=" + o.meta + "]"
	case o.meta != "":
		s += " " + o.meta
	}
	return s
}
