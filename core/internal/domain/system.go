package domain

import (
	"strings"

	"qubist/core/adminapi"
)

// systemProperties are the rows of spec core.md §4.
func systemProperties() []*Def {
	pool := func(name, doc, fallback string) *Def {
		return &Def{Name: name, Type: "str", Doc: doc, Check: checkPool, Default: func(m *Model, _ *VM) (Value, bool) {
			if fallback != "" {
				return m.Value(nil, fallback)
			}
			return m.firstPool(), true
		}}
	}
	return []*Def{
		{Name: "check_updates_vm", Type: "bool", Doc: "Check for updates inside qubes.", Default: fixed(BoolValue(true))},
		{Name: "clockvm", Type: "vm", Doc: "Which qube provides the time for dom0.", Default: fixed(Value{}), OnSet: moveClock,
			OnDel: func(m *Model, vm *VM, old, def Value) { moveClock(m, vm, def, old) }},
		{Name: "updatevm", Type: "vm", Doc: "Which qube downloads dom0's updates.", Default: fixed(Value{})},
		{Name: "default_audiovm", Type: "vm", Doc: "Which qube carries the sound of others by default.", Default: dom0Ref, OnSet: onDefaultAgent("audiovm")},
		{Name: "default_guivm", Type: "vm", Doc: "Which qube shows the windows of others by default.", Default: dom0Ref, OnSet: onDefaultAgent("guivm")},
		{Name: "default_dispvm", Type: "vm", Doc: "Default template of disposables.", Default: fixed(Value{}), Check: checkDispTemplate("default_dispvm"),
			OnSet: onDefaultDispvm, OnDel: func(m *Model, vm *VM, old, def Value) { onDefaultDispvm(m, vm, def, old) }},
		{Name: "management_dispvm", Type: "vm", Doc: "Disposable template for managing other qubes.", Default: fixed(Value{}), Check: checkDispTemplate("management_dispvm")},
		{Name: "default_kernel", Type: "str", Doc: "Kernel of qubes that do not choose another.", Check: checkKernelName, PreSet: kernelInstalled, NoReset: true},
		{Name: "default_netvm", Type: "vm", Doc: "Network qube of qubes that do not choose another.", Default: fixed(Value{}), Check: checkDefaultNetvm, PreSet: preDefaultNetvm, OnSet: onDefaultNetvm,
			OnDel: func(m *Model, vm *VM, old, def Value) { onDefaultNetvm(m, vm, def, old) }},
		pool("default_pool", "Pool of new volumes.", ""),
		pool("default_pool_private", "Pool of new private volumes.", "default_pool"),
		pool("default_pool_root", "Pool of new root volumes.", "default_pool"),
		pool("default_pool_volatile", "Pool of new volatile volumes.", "default_pool"),
		pool("default_pool_kernel", "Pool of kernels.", "default_pool"),
		{Name: "default_qrexec_timeout", Type: "int", Doc: "Seconds to wait for a starting qube's agent.", Default: fixed(IntValue(60)), Check: positive("default_qrexec_timeout")},
		{Name: "default_shutdown_timeout", Type: "int", Doc: "Seconds to wait for a qube to shut down.", Default: fixed(IntValue(60)), Check: positive("default_shutdown_timeout")},
		{Name: "default_template", Type: "vm", Doc: "Template of new qubes.", Check: checkTemplateClass},
		{Name: "maxmem", Type: "int", Doc: "Memory of the machine in MiB.", ReadOnly: true, Default: func(m *Model, _ *VM) (Value, bool) { return IntValue(m.Host.MemoryMiB), true }},
		{Name: "no_cpus", Type: "int", Doc: "Processors of the machine.", ReadOnly: true, Default: func(m *Model, _ *VM) (Value, bool) { return IntValue(m.Host.CPUs), true }},
		{Name: "stats_interval", Type: "int", Doc: "Seconds between two statistics events.", Default: fixed(IntValue(3)), Check: positive("stats_interval")},
	}
}

// fixed is a default that does not depend on anything.
func fixed(v Value) func(*Model, *VM) (Value, bool) {
	return func(*Model, *VM) (Value, bool) { return v, true }
}

func dom0Ref(m *Model, _ *VM) (Value, bool) { return RefValue(m.Dom0()), true }

// firstPool is the pool of a system that never chose one (storage-network-memory.md §1).
func (m *Model) firstPool() Value {
	if m.Pool("default") != nil {
		return TextValue("default")
	}
	for _, p := range m.Pools {
		if p.Driver == "file" || p.Driver == "file-reflink" || p.Driver == "lvm_thin" {
			return TextValue(p.Name)
		}
	}
	return Value{}
}

func checkPool(m *Model, _ *VM, v Value) (Value, error) {
	if m.Pool(v.S) == nil {
		return v, adminapi.Errorf(adminapi.PropertyValue, "No such storage pool")
	}
	return v, nil
}

func checkKernelName(_ *Model, _ *VM, v Value) (Value, error) {
	if strings.Contains(v.S, "/") || v.S == "." || v.S == ".." {
		return v, adminapi.Errorf(adminapi.PropertyValue, "Kernel name cannot contain '/'")
	}
	return v, nil
}

func kernelInstalled(m *Model, _ *VM, v, _ Value) error {
	if v.S != "" && !m.Host.HasKernel(v.S) {
		return adminapi.Errorf(adminapi.PropertyValue, "Kernel '%s' not installed", v.S)
	}
	return nil
}

func checkTemplateClass(m *Model, _ *VM, v Value) (Value, error) {
	if t := m.ref(v); t != nil && t.Class != "TemplateVM" {
		return v, wrongClass(t, "TemplateVM")
	}
	return v, nil
}

func checkDispTemplate(prop string) func(*Model, *VM, Value) (Value, error) {
	return func(m *Model, vm *VM, v Value) (Value, error) {
		t := m.ref(v)
		if t == nil || m.Truth(t, "template_for_dispvms") {
			return v, nil
		}
		to := "system"
		if vm != nil {
			to = "qube '" + string(vm.Name) + "'"
		}
		return v, adminapi.Errorf(adminapi.PropertyValue, "Cannot set invalid property to %s, %s '%s' has template_for_dispvms set to False", to, prop, t.Name)
	}
}

// moveClock keeps feature service.clocksync on the qube that provides the time.
func moveClock(m *Model, _ *VM, v, old Value) {
	if v == old {
		return
	}
	if t := m.ref(v); t != nil {
		_ = m.SetFeature(t, "service.clocksync", "1") // a valid name always passes
	}
	if t := m.ref(old); t != nil && t.HasFeature("service.clocksync") {
		_ = m.RemoveFeature(t, "service.clocksync")
	}
}

// onDefaultDispvm announces the new default on those that use it.
func onDefaultDispvm(m *Model, _ *VM, _, old Value) {
	for _, vm := range m.VMs() {
		d, err := m.Def(vm, "default_dispvm")
		if err == nil && vm.Class != "DispVM" && m.IsDefault(vm, d.Name) {
			m.Fire(vm, "property-reset:default_dispvm", "name", d.Name, "oldvalue", old.Str())
		}
	}
}

// onDefaultAgent repeats a changed default_guivm or default_audiovm on those that use it.
func onDefaultAgent(prop string) func(*Model, *VM, Value, Value) {
	return func(m *Model, _ *VM, v, old Value) {
		for _, vm := range m.VMs() {
			d, err := m.Def(vm, prop)
			if err == nil && m.IsDefault(vm, prop) {
				d.OnSet(m, vm, v, old)
				m.Fire(vm, "property-set:"+prop, setArgs(prop, v, old, true)...)
			}
		}
	}
}

// networkDefaults lists the qubes that use default_netvm.
func (m *Model) networkDefaults() []*VM {
	var out []*VM
	for _, vm := range m.VMs() {
		if _, err := m.Def(vm, "netvm"); err == nil && m.IsDefault(vm, "netvm") {
			out = append(out, vm)
		}
	}
	return out
}

func checkDefaultNetvm(m *Model, _ *VM, v Value) (Value, error) {
	t := m.ref(v)
	if t == nil {
		return v, nil
	}
	for _, vm := range m.networkDefaults() {
		if m.netLoop(vm, t) {
			return v, adminapi.Errorf(adminapi.PropertyValue, "Network loop on '%s'", vm.Name)
		}
	}
	if !m.Truth(t, "provides_network") {
		return v, adminapi.Errorf(adminapi.PropertyValue, "The %s qube does not provide network", t.Name)
	}
	return v, nil
}

func preDefaultNetvm(m *Model, _ *VM, v, old Value) error {
	for _, vm := range m.networkDefaults() {
		m.Fire(vm, "property-pre-set:netvm", setArgs("netvm", v, old, true)...)
	}
	return nil
}

func onDefaultNetvm(m *Model, _ *VM, _, old Value) {
	for _, vm := range m.networkDefaults() {
		if now, _ := m.Value(vm, "netvm"); now != old {
			connect(m, vm, now, old)
			m.Fire(vm, "property-set:netvm", setArgs("netvm", now, old, true)...)
		}
		m.Fire(vm, "property-reset:netvm", "name", "netvm", "oldvalue", old.Str())
	}
}
