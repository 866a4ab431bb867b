package domain

import (
	"fmt"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Def is one row of the property table. Functions get vm nil for properties of the system.
type Def struct {
	Name    string
	Type    string // str, int, bool, vm or label, as the API reports it
	Classes string // letters of classLetters that have it; "" for a property of the system
	Doc     string
	Late    bool // load stage 4: refers to other qubes; listed last
	// ReadOnly values are computed. Fixed ones are set at creation and never again.
	ReadOnly, Fixed bool
	// Inherit: the default is the template's value when there is a template, and changes of
	// a template's value are announced on its qubes.
	Inherit bool
	Own     func(m *Model, vm *VM) (Value, bool) // a default that goes before an inherited one
	NoReset bool                                 // resetting would break the system, upstream's bug (spec admin-api.md §11)

	Field   func(vm *VM) Value                   // where a Fixed value is kept
	Parse   func(s string) (Value, error)        // replaces the type's parser
	Default func(m *Model, vm *VM) (Value, bool) // false: there is none
	Check   func(m *Model, vm *VM, v Value) (Value, error)
	PreSet  func(m *Model, vm *VM, v, old Value) error // may veto, after the pre-set event
	OnSet   func(m *Model, vm *VM, v, old Value)       // before the set event
	PreDel  func(m *Model, vm *VM, old, def Value) error
	OnDel   func(m *Model, vm *VM, old, def Value)
}

// classLetters: one letter for each class in Def.Classes.
var classLetters = map[qube.Class]byte{
	qube.AdminVM: 'A', qube.AppVM: 'P', qube.TemplateVM: 'T', qube.StandaloneVM: 'S', qube.DispVM: 'D', qube.RemoteVM: 'R',
}

// classKey is the table's key for vm; nil is the system.
func (vm *VM) classKey() qube.Class {
	if vm == nil {
		return ""
	}
	return vm.Class
}

// owner is how messages call the holder of a property.
func (m *Model) owner(vm *VM) string {
	if vm == nil {
		return "Qubes"
	}
	return string(vm.Name)
}

func class(vm *VM) string {
	if vm == nil {
		return "Qubes"
	}
	return string(vm.Class)
}

func (m *Model) bag(vm *VM) map[string]Value {
	if vm == nil {
		return m.props
	}
	return vm.props
}

// Defs lists the properties of vm (nil: of the system) in the API's order: by stage, then
// by name.
func (m *Model) Defs(vm *VM) []*Def {
	return m.table.list[vm.classKey()]
}

// Def finds a property; the error is the API's.
func (m *Model) Def(vm *VM, name string) (*Def, error) {
	if d := m.table.find[vm.classKey()][name]; d != nil {
		return d, nil
	}
	return nil, adminapi.Errorf(adminapi.NoSuchProperty, "Invalid property '%s' of %s", name, m.owner(vm))
}

// Value is a property's value, set or default. False means that there is none at all, which
// is also the answer for properties vm does not have.
func (m *Model) Value(vm *VM, name string) (Value, bool) {
	d, err := m.Def(vm, name)
	if err != nil {
		return Value{}, false
	}
	v, _, ok := m.value(vm, d)
	return v, ok
}

func (m *Model) value(vm *VM, d *Def) (v Value, isDefault, ok bool) {
	if d.Field != nil && vm != nil && vm.Class != qube.AdminVM {
		return d.Field(vm), false, true
	}
	if v, ok := m.bag(vm)[d.Name]; ok {
		return v, false, true
	}
	v, ok = m.defaultOf(vm, d)
	return v, true, ok
}

func (m *Model) defaultOf(vm *VM, d *Def) (Value, bool) {
	if d.Field != nil && vm != nil && vm.Class == qube.AdminVM {
		return d.Field(vm), true
	}
	if d.Own != nil {
		if v, ok := d.Own(m, vm); ok {
			return v, true
		}
	}
	if d.Inherit && vm != nil {
		if t := m.Ref(vm, "template"); t != nil {
			if v, ok := m.Value(t, d.Name); ok {
				return v, true
			}
		}
	}
	if d.Default == nil {
		return Value{}, false
	}
	return d.Default(m, vm)
}

// Property is a property in the API's terms.
func (m *Model) Property(vm *VM, d *Def) adminapi.Property {
	v, isDefault, _ := m.value(vm, d)
	return adminapi.Property{Value: v.API(), Type: d.Type, Default: isDefault}
}

// DefaultOf is a property's default in the API's terms; false when there is none.
func (m *Model) DefaultOf(vm *VM, d *Def) (adminapi.Property, bool) {
	v, ok := m.defaultOf(vm, d)
	return adminapi.Property{Value: v.API(), Type: d.Type, Default: true}, ok
}

// IsDefault reports whether vm has no explicit value.
func (m *Model) IsDefault(vm *VM, name string) bool {
	_, set := m.bag(vm)[name]
	return !set
}

// Set gives a property the value that untrusted text spells.
func (m *Model) Set(vm *VM, d *Def, untrusted []byte) error {
	v, err := m.parse(vm, d, string(untrusted))
	if err != nil {
		return err
	}
	return m.SetValue(vm, d, v)
}

// SetValue sets a parsed value.
func (m *Model) SetValue(vm *VM, d *Def, v Value) error {
	if d.Fixed && !(vm != nil && vm.Class == qube.AdminVM) {
		return adminapi.Errorf(adminapi.PropertyValue, "property '%s' is write-once and already set", d.Name)
	}
	if d.ReadOnly || d.Fixed {
		return adminapi.Errorf(adminapi.PropertyValue, "property '%s' on %s instance cannot be set", d.Name, class(vm))
	}
	if d.Check != nil {
		var err error
		if v, err = d.Check(m, vm, v); err != nil {
			return err
		}
	}
	old, _, had := m.value(vm, d)
	args := setArgs(d.Name, v, old, had)
	m.Fire(vm, "property-pre-set:"+d.Name, args...)
	if d.PreSet != nil {
		if err := d.PreSet(m, vm, v, old); err != nil {
			return err
		}
	}
	var inheriting []*VM
	if v != old {
		inheriting = m.inheriting(vm, d)
	}
	m.bag(vm)[d.Name] = v
	m.dirty = true
	if d.OnSet != nil {
		d.OnSet(m, vm, v, old)
	}
	for _, c := range inheriting {
		m.Fire(c, "property-reset:"+d.Name, "name", d.Name)
	}
	m.Fire(vm, "property-set:"+d.Name, args...)
	return nil
}

// inheriting lists the qubes whose default is vm's value of d.
func (m *Model) inheriting(vm *VM, d *Def) []*VM {
	if !d.Inherit || vm == nil {
		return nil
	}
	return slices.DeleteFunc(m.VMs(), func(c *VM) bool {
		own, err := m.Def(c, d.Name)
		return err != nil || own != d || m.Ref(c, "template") != vm || !m.IsDefault(c, d.Name)
	})
}

func setArgs(name string, v, old Value, had bool) []string {
	args := []string{"name", name, "newvalue", v.Str()}
	if had {
		args = append(args, "oldvalue", old.Str())
	}
	return args
}

// Reset returns a property to its default.
func (m *Model) Reset(vm *VM, d *Def) error {
	if d.Fixed {
		return adminapi.Errorf(adminapi.PropertyValue, "property '%s' is write-once and already set", d.Name)
	}
	if d.NoReset {
		return adminapi.Errorf(adminapi.PropertyValue, "property '%s' has no default, set another value instead", d.Name)
	}
	old, _, had := m.value(vm, d)
	args := []string{"name", d.Name}
	if had {
		args = append(args, "oldvalue", old.Str())
	}
	m.Fire(vm, "property-pre-reset:"+d.Name, args...)
	def, _ := m.defaultOf(vm, d)
	if d.PreDel != nil {
		if err := d.PreDel(m, vm, old, def); err != nil {
			return err
		}
	}
	m.Fire(vm, "property-pre-del:"+d.Name, args...)
	if _, set := m.bag(vm)[d.Name]; set {
		delete(m.bag(vm), d.Name)
		m.dirty = true
	}
	if d.OnDel != nil {
		d.OnDel(m, vm, old, def)
	}
	m.Fire(vm, "property-reset:"+d.Name, args...)
	m.Fire(vm, "property-del:"+d.Name, args...)
	return nil
}

// announce tells readers that a computed default has changed.
func (m *Model) announce(vm *VM, names ...string) {
	for _, n := range names {
		m.Fire(vm, "property-reset:"+n, "name", n)
	}
}

// table is the properties in listing order, by class ("" is the system) and by class and name.
type table struct {
	list map[qube.Class][]*Def
	find map[qube.Class]map[string]*Def
}

func newTable() table {
	all := slices.Concat(systemProperties(), basicProperties(), resourceProperties(), networkProperties(), linkProperties(), runtimeProperties())
	slices.SortStableFunc(all, func(a, b *Def) int {
		if a.Late != b.Late {
			if a.Late {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
	t := table{map[qube.Class][]*Def{}, map[qube.Class]map[string]*Def{}}
	add := func(c qube.Class, d *Def) {
		if t.find[c] == nil {
			t.find[c] = map[string]*Def{}
		}
		if t.find[c][d.Name] != nil || d.Doc == "" {
			panic(fmt.Sprintf("domain: property %q of class %q is in the table twice or has no text", d.Name, c))
		}
		t.find[c][d.Name] = d
		t.list[c] = append(t.list[c], d)
	}
	for _, d := range all {
		if d.Classes == "" {
			add("", d)
		}
		for c, letter := range classLetters {
			if strings.IndexByte(d.Classes, letter) >= 0 {
				add(c, d)
			}
		}
	}
	return t
}
