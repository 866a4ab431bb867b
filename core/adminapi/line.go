package adminapi

import (
	"fmt"
	"strings"
)

// Property is one property's value as the API shows it. Type is str, int, bool, vm or label.
type Property struct {
	Value   string
	Type    string
	Default bool
}

// Append writes "default=… type=… VALUE", the answer of property.Get.
func (p Property) Append(dst []byte) []byte {
	dst = append(dst, "default="...)
	dst = append(dst, PyBool(p.Default)...)
	dst = append(dst, " type="...)
	dst = append(dst, p.Type...)
	dst = append(dst, ' ')
	return append(dst, p.Value...)
}

// ParseProperty reads what Append writes.
func ParseProperty(s string) (Property, error) {
	def, rest, ok := strings.Cut(s, " ")
	typ, value, ok2 := strings.Cut(rest, " ")
	d, okD := strings.CutPrefix(def, "default=")
	t, okT := strings.CutPrefix(typ, "type=")
	if !ok || !ok2 || !okD || !okT || (d != "True" && d != "False") || !propertyType(t) {
		return Property{}, fmt.Errorf("property line %.64q: %w", s, ErrFraming)
	}
	return Property{Value: value, Type: t, Default: d == "True"}, nil
}

func propertyType(t string) bool {
	switch t {
	case "str", "int", "bool", "vm", "label":
		return true
	}
	return false
}

var (
	escaper   = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	unescaper = strings.NewReplacer(`\\`, `\`, `\n`, "\n")
)

// AppendNamed writes one line of property.GetAll.
func (p Property) AppendNamed(dst []byte, name string) []byte {
	dst = append(append(dst, name...), ' ')
	p.Value = escaper.Replace(p.Value)
	return append(p.Append(dst), '\n')
}

// ParseProperties reads the answer of property.GetAll.
func ParseProperties(b []byte) (map[string]Property, error) {
	out := make(map[string]Property)
	for _, line := range Lines(b) {
		name, rest, ok := strings.Cut(line, " ")
		if !ok || name == "" {
			return nil, fmt.Errorf("property line %.64q: %w", line, ErrFraming)
		}
		p, err := ParseProperty(rest)
		if err != nil {
			return nil, err
		}
		p.Value = unescaper.Replace(p.Value)
		out[name] = p
	}
	return out, nil
}

// VMLine is one line of admin.vm.List. UUID is empty with servers older than 4.3.
type VMLine struct {
	Name, Class, State, UUID string
}

// Append writes the line.
func (l VMLine) Append(dst []byte) []byte {
	return fmt.Appendf(dst, "%s class=%s state=%s uuid=%s\n", l.Name, l.Class, l.State, l.UUID)
}

// ParseVMList reads the answer of admin.vm.List; unknown keys are ignored.
func ParseVMList(b []byte) ([]VMLine, error) {
	var out []VMLine
	for _, line := range Lines(b) {
		f := strings.Split(line, " ")
		l := VMLine{Name: f[0]}
		for _, kv := range f[1:] {
			switch k, v, _ := strings.Cut(kv, "="); k {
			case "class":
				l.Class = v
			case "state":
				l.State = v
			case "uuid":
				l.UUID = v
			}
		}
		if l.Name == "" || l.Class == "" || l.State == "" {
			return nil, fmt.Errorf("qube line %.64q: %w", line, ErrFraming)
		}
		out = append(out, l)
	}
	return out, nil
}

// Lines splits an answer of newline-ended lines; an empty answer has none.
func Lines(b []byte) []string {
	s := strings.TrimSuffix(string(b), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// KeyValues reads "k=v" words separated by sep ("\n" for volume.Info, " " for CurrentState).
func KeyValues(b []byte, sep string) map[string]string {
	out := make(map[string]string)
	for w := range strings.SplitSeq(strings.TrimSuffix(string(b), sep), sep) {
		if k, v, ok := strings.Cut(w, "="); ok {
			out[k] = v
		}
	}
	return out
}

// PyBool is how the API writes a truth value.
func PyBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
