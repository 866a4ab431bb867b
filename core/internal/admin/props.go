package admin

import (
	"fmt"

	"qubist/core/internal/domain"
)

// propertyMethods are admin.property.* and admin.vm.property.*.
func propertyMethods() []Method {
	pair := func(verb string, arg, payload need, scopeVM, flags string, read, write func(*domain.Model, *domain.VM, *Call) ([]byte, error)) []Method {
		sys := Method{Name: "admin.property." + verb, Dest: onDom0, Arg: arg, Payload: payload, Scope: "global", Flags: flags}
		vm := Method{Name: "admin.vm.property." + verb, Dest: anywhere, Arg: arg, Payload: payload, Scope: scopeVM, Flags: flags}
		if read != nil {
			sys.Read = func(m *domain.Model, c *Call) ([]byte, error) { return read(m, nil, c) }
			vm.Read = func(m *domain.Model, c *Call) ([]byte, error) { return read(m, c.dest(m), c) }
		} else {
			sys.Write = func(m *domain.Model, c *Call) ([]byte, error) { return write(m, nil, c) }
			vm.Write = func(m *domain.Model, c *Call) ([]byte, error) { return write(m, c.dest(m), c) }
		}
		return []Method{sys, vm}
	}
	var out []Method
	out = append(out, pair("List", no, no, "local", "R", propertyList, nil)...)
	out = append(out, pair("GetAll", no, no, "local", "R", propertyGetAll, nil)...)
	out = append(out, pair("Get", must, no, "local", "R", propertyGet, nil)...)
	out = append(out, pair("GetDefault", must, no, "local", "R", propertyGetDefault, nil)...)
	out = append(out, pair("Help", must, no, "local", "R", propertyHelp, nil)...)
	out = append(out, pair("Set", must, maybe, "local", "RW", nil, propertySet)...)
	out = append(out, pair("Reset", must, no, "local", "RW", nil, propertyReset)...)
	return out
}

func propertyList(m *domain.Model, vm *domain.VM, _ *Call) ([]byte, error) {
	var out []byte
	for _, d := range m.Defs(vm) {
		out = append(append(out, d.Name...), '\n')
	}
	return out, nil
}

func propertyGetAll(m *domain.Model, vm *domain.VM, _ *Call) ([]byte, error) {
	var out []byte
	for _, d := range m.Defs(vm) {
		out = m.Property(vm, d).AppendNamed(out, d.Name)
	}
	return out, nil
}

func propertyGet(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
	d, err := m.Def(vm, c.Arg)
	if err != nil {
		return nil, err
	}
	return m.Property(vm, d).Append(nil), nil
}

func propertyGetDefault(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
	d, err := m.Def(vm, c.Arg)
	if err != nil {
		return nil, err
	}
	p, ok := m.DefaultOf(vm, d)
	if !ok {
		return nil, nil
	}
	return fmt.Appendf(nil, "type=%s %s", p.Type, p.Value), nil
}

func propertyHelp(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
	d, err := m.Def(vm, c.Arg)
	if err != nil {
		return nil, err
	}
	return []byte(d.Doc), nil
}

func propertySet(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
	d, err := m.Def(vm, c.Arg)
	if err != nil {
		return nil, err
	}
	return nil, m.Set(vm, d, c.Payload)
}

func propertyReset(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
	d, err := m.Def(vm, c.Arg)
	if err != nil {
		return nil, err
	}
	return nil, m.Reset(vm, d)
}
