package domain

import (
	"net/netip"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// parse turns the text of a request into a value of the property's type (spec
// admin-api.md §7). Names of qubes and labels are looked up.
func (m *Model) parse(vm *VM, d *Def, s string) (Value, error) {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return Value{}, adminapi.Errorf(adminapi.ValueError, "Non-ASCII bytes in property value")
		}
	}
	if d.Parse != nil {
		return d.Parse(s)
	}
	switch d.Type {
	case "int":
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return Value{}, unparsable("int")
		}
		return IntValue(n), nil
	case "bool":
		b, ok := ParseBool(s)
		if !ok {
			return Value{}, adminapi.Errorf(adminapi.ValueError, "Invalid literal for boolean property: '%s'", s)
		}
		return BoolValue(b), nil
	case "label":
		l, err := m.FindLabel(s)
		return LabelValue(l.Name), err
	case "vm":
		return m.parseRef(vm, d, s)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return (r < 0x20 || r > 0x7e) && (r < '\t' || r > '\r') }); i >= 0 {
		return Value{}, adminapi.Errorf(adminapi.ValueError, "Invalid characters in property value")
	}
	return TextValue(s), nil
}

func (m *Model) parseRef(vm *VM, d *Def, s string) (Value, error) {
	if s == "" {
		return Value{}, nil
	}
	n, err := CheckName(s)
	if err != nil {
		return Value{}, err
	}
	t := m.vms[n]
	if t == nil {
		return Value{}, adminapi.Errorf(adminapi.PropertyValue, "Can't set %s to non-existing qube %s", d.Name, n)
	}
	if !t.Local() {
		return Value{}, wrongClass(t, "LocalVM")
	}
	return RefValue(t), nil
}

func wrongClass(t *VM, want string) error {
	return adminapi.Errorf(adminapi.PropertyValue, "wrong VM class: domains['%s'] is of type %s and not %s", t.Name, t.Class, want)
}

func unparsable(typ string) error {
	return adminapi.Errorf(adminapi.ValueError, "Failed to parse property value as %s", typ)
}

// ParseBool reads a truth value as the API spells it.
func ParseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "0", "no", "false", "off":
		return false, true
	case "1", "yes", "true", "on":
		return true, true
	}
	return false, false
}

func parseUUID(s string) (Value, error) {
	if !UUID(s) {
		return Value{}, unparsable("UUID")
	}
	return TextValue(s), nil
}

// UUID reports whether s is 36 characters of lower-case hexadecimal and hyphens in the
// right places.
func UUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func parseIP4(s string) (Value, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return Value{}, unparsable("IPv4Address")
	}
	return TextValue(a.String()), nil
}

func parseIP6(s string) (Value, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return Value{}, unparsable("IPv6Address")
	}
	return TextValue(a.String()), nil
}

// FindLabel finds a label by name, "label-N" or index.
func (m *Model) FindLabel(s string) (qube.Label, error) {
	for _, l := range m.Labels {
		if l.Name == s {
			return l, nil
		}
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(s, "label-")); err == nil && n > 0 {
		for _, l := range m.Labels {
			if l.Index == n {
				return l, nil
			}
		}
	}
	return qube.Label{}, adminapi.Errorf(adminapi.LabelNotFound, "Label does not exist: %s", s)
}
