// Package getopt parses the command lines of the qrexec programs, which existing callers
// write in getopt_long's ways: clustered short options, attached and separate values, long
// options with "=". Parsing stops at the first operand; it does not permute.
package getopt

import (
	"fmt"
	"strings"
)

// Option is one option. Exactly one of Flag and Value is set.
type Option struct {
	Short byte   // 0: none
	Long  string // "": none
	Flag  func() // takes no value
	Value func(string) error
}

// Parse handles args (without the program's name) and returns the operands.
func Parse(args []string, opts []Option) ([]string, error) {
	for len(args) > 0 {
		a := args[0]
		if a == "--" {
			return args[1:], nil
		}
		if len(a) < 2 || a[0] != '-' {
			return args, nil
		}
		args = args[1:]
		var err error
		if long, ok := strings.CutPrefix(a, "--"); ok {
			args, err = parseLong(long, args, opts)
		} else {
			args, err = parseShort(a[1:], args, opts)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func parseLong(a string, args []string, opts []Option) ([]string, error) {
	name, val, has := strings.Cut(a, "=")
	for _, o := range opts {
		if o.Long == "" || o.Long != name {
			continue
		}
		if o.Flag != nil {
			if has {
				return nil, fmt.Errorf("option --%s takes no value", name)
			}
			o.Flag()
			return args, nil
		}
		if !has {
			if len(args) == 0 {
				return nil, fmt.Errorf("option --%s needs a value", name)
			}
			val, args = args[0], args[1:]
		}
		if err := o.Value(val); err != nil {
			return nil, fmt.Errorf("option --%s: %w", name, err)
		}
		return args, nil
	}
	return nil, fmt.Errorf("unknown option --%s", name)
}

func parseShort(cluster string, args []string, opts []Option) ([]string, error) {
	for len(cluster) > 0 {
		c := cluster[0]
		cluster = cluster[1:]
		o := find(c, opts)
		switch {
		case o == nil:
			return nil, fmt.Errorf("unknown option -%c", c)
		case o.Flag != nil:
			o.Flag()
			continue
		case cluster == "" && len(args) == 0:
			return nil, fmt.Errorf("option -%c needs a value", c)
		case cluster == "":
			cluster, args = args[0], args[1:]
		}
		if err := o.Value(cluster); err != nil {
			return nil, fmt.Errorf("option -%c: %w", c, err)
		}
		return args, nil
	}
	return args, nil
}

func find(c byte, opts []Option) *Option {
	for i := range opts {
		if opts[i].Short == c {
			return &opts[i]
		}
	}
	return nil
}

// Set stores a value in p.
func Set(p *string) func(string) error {
	return func(s string) error { *p = s; return nil }
}

// On sets p.
func On(p *bool) func() { return func() { *p = true } }

// Permute is Parse for command lines with options behind operands too; all that follows
// "--" are operands.
func Permute(args []string, opts []Option) ([]string, error) {
	var operands []string
	for len(args) > 0 {
		rest, err := Parse(args, opts)
		if err != nil {
			return nil, err
		}
		// What Parse consumed ends with "--" only when that was an argument of its own.
		if used := len(args) - len(rest); used > 0 && args[used-1] == "--" {
			return append(operands, rest...), nil
		}
		if len(rest) == 0 {
			break
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
	return operands, nil
}
