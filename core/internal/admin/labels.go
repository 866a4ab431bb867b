package admin

import (
	"fmt"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
)

// safeSet are the characters of label, pool and revision names.
const safeSet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

func only(s, set string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(set, r) })
}

func labelMethods() []Method {
	read := func(verb string, arg need, f func(*domain.Model, *Call) ([]byte, error)) Method {
		return Method{Name: "admin.label." + verb, Dest: onDom0, Arg: arg, Payload: no, Scope: "global", Flags: "R", Read: f}
	}
	return []Method{
		read("List", no, func(m *domain.Model, _ *Call) ([]byte, error) {
			var out []byte
			for _, l := range m.Labels {
				out = append(append(out, l.Name...), '\n')
			}
			return out, nil
		}),
		read("Get", must, func(m *domain.Model, c *Call) ([]byte, error) {
			l, err := findLabel(m, c)
			return fmt.Appendf(nil, "0x%06x", l.Color), err
		}),
		read("Index", must, func(m *domain.Model, c *Call) ([]byte, error) {
			l, err := findLabel(m, c)
			return strconv.AppendInt(nil, int64(l.Index), 10), err
		}),
		{Name: "admin.label.Create", Dest: onDom0, Arg: must, Payload: must, Scope: "global", Flags: "RW", Write: labelCreate},
		{Name: "admin.label.Remove", Dest: onDom0, Arg: must, Payload: no, Scope: "global", Flags: "RW", Write: func(m *domain.Model, c *Call) ([]byte, error) {
			l, err := findLabel(m, c)
			if err != nil {
				return nil, err
			}
			return nil, m.RemoveLabel(l)
		}},
	}
}

func labelName(s string) error {
	if !only(s, safeSet) {
		return adminapi.Errorf(adminapi.InvalidLabel, "Label must be in safe set: %s", safeSet)
	}
	return nil
}

func findLabel(m *domain.Model, c *Call) (qube.Label, error) {
	if err := labelName(c.Arg); err != nil {
		return qube.Label{}, err
	}
	return m.FindLabel(c.Arg)
}

func labelCreate(m *domain.Model, c *Call) ([]byte, error) {
	if err := labelName(c.Arg); err != nil {
		return nil, err
	}
	if only(c.Arg, "0123456789") {
		return nil, adminapi.Errorf(adminapi.InvalidLabel, "Label must not be a digit")
	}
	for _, l := range m.Labels {
		if l.Name == c.Arg {
			return nil, adminapi.Errorf(adminapi.LabelInUse, "Label is still in use: '%s'", c.Arg)
		}
	}
	bad := func(s string) ([]byte, error) { return nil, adminapi.Errorf(adminapi.InvalidLabelValue, "%s", s) }
	s := string(c.Payload)
	if len(s) != 8 {
		return bad("Label value must have length of 8")
	}
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return bad("Label value must start with 0x")
	}
	if !only(digits, "0123456789abcdefABCDEF") {
		return bad("Label value must only contain hexadecimal digits after prefix: 0123456789abcdefABCDEF")
	}
	v, err := strconv.ParseUint(digits, 16, 24)
	if err != nil {
		return bad("Label value must be a number")
	}
	return nil, m.AddLabel(c.Arg, uint32(v))
}
