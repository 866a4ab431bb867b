package device

import (
	"slices"
	"strings"
)

// Info describes one device of a backend. Empty optional texts are unknown and left out.
type Info struct {
	ID
	Class                                       string
	Vendor, Product, Manufacturer, Name, Serial string
	Attachment                                  string // the qube it is attached to
	Interfaces                                  []string
	ParentPort, ParentClass                     string
	Data                                        []KV // driver's own, keys without the '_'
}

// Append writes the line of an Available answer, without the newline.
func (i Info) Append(b []byte) []byte {
	kvs := []KV{{"device_id", i.Device}, {"port_id", i.Port}, {"devclass", i.Class}, {"backend_domain", i.Backend}}
	add := func(k, v string) {
		if v != "" {
			kvs = append(kvs, KV{k, v})
		}
	}
	add("vendor", i.Vendor)
	add("product", i.Product)
	add("manufacturer", i.Manufacturer)
	add("name", i.Name)
	add("serial", i.Serial)
	add("attachment", i.Attachment)
	add("interfaces", strings.Join(i.Interfaces, ""))
	add("parent_port_id", i.ParentPort)
	add("parent_devclass", i.ParentClass)
	for _, o := range i.Data {
		kvs = append(kvs, KV{"_" + o.Key, o.Value})
	}
	return Append(append(append(append(b, i.Port...), ':'), i.Device+" "...), kvs)
}

// Modes of an assignment.
const (
	Manual   = "manual"
	Ask      = "ask-to-attach"
	Auto     = "auto-attach"
	Required = "required"
)

// Mode reports whether s is a mode that an assignment can be kept with.
func Mode(s string) bool { return s == Ask || s == Auto || s == Required }

// Assignment says which devices a qube gets, and how.
type Assignment struct {
	ID
	Class    string
	Mode     string
	Frontend string // the qube that has it, "" when that is clear
	Options  []KV
}

// Append writes the line of an Assigned or Attached answer, without the newline.
func (a Assignment) Append(b []byte) []byte {
	kvs := []KV{{"device_id", a.Device}, {"port_id", a.Port}, {"devclass", a.Class}, {"backend_domain", a.Backend}, {"mode", a.Mode}}
	if a.Frontend != "" {
		kvs = append(kvs, KV{"frontend_domain", a.Frontend})
	}
	for _, o := range a.Options {
		kvs = append(kvs, KV{"_" + o.Key, o.Value})
	}
	return Append(append(b, a.Backend+"+"+a.Port+":"+a.Device+" "...), kvs)
}

// ParseAssignment reads the argument and payload of an Assign or Attach request for a class
// of devices. Mode is "" when none is given.
func ParseAssignment(class, arg string, payload []byte) (Assignment, error) {
	id, err := ParseID(arg)
	if err != nil {
		return Assignment{}, err
	}
	a := Assignment{ID: id, Class: class}
	kvs, err := Parse(payload)
	if err != nil {
		return Assignment{}, err
	}
	for _, kv := range kvs {
		same := true
		switch kv.Key {
		case "backend_domain":
			same = kv.Value == id.Backend
		case "port_id":
			same = kv.Value == id.Port
		case "devclass":
			same = kv.Value == class
		case "device_id":
			if same = id.Device == Any || kv.Value == id.Device; len(kv.Value) > maxID {
				same = false
			}
			a.Device = kv.Value
		case "mode":
			if !slices.Contains([]string{Manual, Ask, Auto, Required}, kv.Value) {
				return Assignment{}, bad("unknown mode %.32q", kv.Value)
			}
			a.Mode = kv.Value
		case "frontend_domain":
			a.Frontend = kv.Value
		default:
			name, ok := strings.CutPrefix(kv.Key, "_")
			if !ok || name == "" {
				return Assignment{}, bad("unexpected key %.64q", kv.Key)
			}
			a.Options = append(a.Options, KV{name, kv.Value})
		}
		if !same {
			return Assignment{}, bad("%s='%.64s' is not what the argument says", kv.Key, kv.Value)
		}
	}
	return a, nil
}

// Repr is a list of options as events carry it: a Python dictionary.
func Repr(opts []KV) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, o := range opts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(repr(o.Key) + ": " + repr(o.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// repr quotes printable ASCII as Python does.
func repr(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", `\'`) + "'"
}
