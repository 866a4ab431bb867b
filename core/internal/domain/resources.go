package domain

import (
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// maxKernelOpts bounds the kernelopts property, in bytes.
const maxKernelOpts = 512

// resourceProperties are memory, processors, kernel and time limits (spec core.md §3, §8).
func resourceProperties() []*Def {
	timeout := func(name, doc string) *Def {
		return &Def{Name: name, Type: "int", Classes: qubesVM, Doc: doc, Inherit: true, Check: positive(name),
			Default: func(m *Model, _ *VM) (Value, bool) { return m.Value(nil, "default_"+name) }}
	}
	return []*Def{
		{Name: "memory", Type: "int", Classes: qubesVM, Doc: "Memory at start, in MiB.", Inherit: true, Default: fixed(IntValue(400)), Check: positive("memory")},
		{Name: "maxmem", Type: "int", Classes: qubesVM, Doc: "Memory the balancer may give, in MiB; 0 excludes the qube from balancing.", Default: maxmemDefault, Check: checkMaxmem, PreSet: maxmemHalted, Inherit: false,
			OnSet: func(m *Model, vm *VM, _, _ Value) {
				for _, c := range m.VMs() {
					if m.Ref(c, "template") == vm && m.IsDefault(c, "maxmem") {
						m.announce(c, "maxmem")
					}
				}
			}},
		{Name: "maxmem", Type: "int", Classes: "A", Doc: "Most memory dom0 may have, in MiB.", ReadOnly: true, Default: func(m *Model, _ *VM) (Value, bool) { return IntValue(m.Host.Dom0MaxMiB), true }},
		{Name: "stubdom_mem", Type: "int", Classes: qubesVM, Doc: "Memory of the domain that emulates devices, in MiB.", Default: fixed(Value{}), Check: positive("stubdom_mem")},
		{Name: "vcpus", Type: "int", Classes: qubesVM, Doc: "Number of processors.", Inherit: true, Default: fixed(IntValue(2)), Check: positive("vcpus")},
		{Name: "virt_mode", Type: "str", Classes: qubesVM, Doc: "Kind of virtual machine: hvm, pv or pvh.", Default: virtModeDefault, Check: checkVirtMode},
		{Name: "debug", Type: "bool", Classes: qubesVM, Doc: "Start with more diagnostics.", Default: fixed(BoolValue(false))},
		{Name: "kernel", Type: "str", Classes: qubesVM, Doc: "Kernel from dom0; empty for the qube's own.", Inherit: true, Check: checkKernelName, PreSet: kernelInstalled,
			Default: func(m *Model, _ *VM) (Value, bool) { return m.Value(nil, "default_kernel") }},
		{Name: "kernelopts", Type: "str", Classes: qubesVM, Doc: "Additional words of the kernel command line.", Late: true, Inherit: true, Own: kernelOptsOwn, Default: kernelOptsDefault, Check: func(_ *Model, _ *VM, v Value) (Value, error) {
			if len(v.S) > maxKernelOpts {
				return v, adminapi.Errorf(adminapi.PropertyValue, "Kernelopts value too long (512 chars max)")
			}
			return v, nil
		}},
		{Name: "bootmode", Type: "str", Classes: qubesVM, Doc: "Boot mode, one of those the template offers.", Late: true, Default: func(m *Model, vm *VM) (Value, bool) { return TextValue(m.bootMode(vm)), true }},
		{Name: "appvm_default_bootmode", Type: "str", Classes: "T", Doc: "Boot mode of the qubes based on the template.", Late: true, Default: func(_ *Model, vm *VM) (Value, bool) {
			if v, ok := vm.Feature("boot-mode.appvm-default"); ok {
				return TextValue(v), true
			}
			return TextValue("default"), true
		}},
		timeout("qrexec_timeout", "Seconds to wait for the starting qube's agent."),
		timeout("shutdown_timeout", "Seconds to wait for the qube to shut down."),
	}
}

func checkMaxmem(_ *Model, _ *VM, v Value) (Value, error) {
	if v.N < 0 {
		return v, adminapi.Errorf(adminapi.PropertyValue, "maxmem must be positive or zero")
	}
	return v, nil
}

func maxmemHalted(_ *Model, vm *VM, v, old Value) error {
	if !vm.Halted() && v != old {
		return adminapi.Errorf(adminapi.VMNotHalted, "Cannot change maxmem of a running qube")
	}
	return nil
}

// maxmemDefault: 0 when memory cannot be balanced, else the template's, else ten times the
// memory for Linux, at most half of the machine.
func maxmemDefault(m *Model, vm *VM) (Value, bool) {
	if vm.hasPCI() {
		return IntValue(0), true
	}
	if m.Text(vm, "virt_mode") == "hvm" {
		_, announces := m.announcesServices(vm)
		if !m.FeatureWithTemplate(vm, "qrexec") || announces && !m.FeatureWithTemplate(vm, "supported-service.meminfo-writer") {
			return IntValue(0), true
		}
	}
	if t := m.Ref(vm, "template"); t != nil {
		return m.Value(t, "maxmem")
	}
	n := int64(4000)
	if os, _ := vm.Feature("os"); os == "Linux" {
		n = m.Number(vm, "memory") * 10
	}
	return IntValue(min(n, m.Host.MemoryMiB/2)), true
}

// announcesServices reports whether vm or a template of it lists the services it knows.
func (m *Model) announcesServices(vm *VM) (*VM, bool) {
	for o := vm; o != nil; o = m.Ref(o, "template") {
		for _, f := range o.features {
			if strings.HasPrefix(f.Key, "supported-service.") {
				return o, true
			}
		}
	}
	return nil, false
}

// virtModeDefault: devices on the PCI bus need an emulated machine.
func virtModeDefault(m *Model, vm *VM) (Value, bool) {
	if vm.hasPCI() {
		return TextValue("hvm"), true
	}
	if t := m.Ref(vm, "template"); t != nil {
		return m.Value(t, "virt_mode")
	}
	return TextValue("pvh"), true
}

func checkVirtMode(_ *Model, vm *VM, v Value) (Value, error) {
	v.S = strings.ToLower(v.S)
	switch v.S {
	case "pvh":
		if vm.hasPCI() {
			return v, adminapi.Errorf(adminapi.PropertyValue, "pvh mode can't be set if pci devices are attached")
		}
		return v, nil
	case "hvm", "pv":
		return v, nil
	}
	return v, adminapi.Errorf(adminapi.PropertyValue, "Invalid virtualization mode, supported values: hvm, pv, pvh")
}

// kernelOptsOwn are defaults that go before the template's options.
func kernelOptsOwn(m *Model, vm *VM) (Value, bool) {
	kernel := m.Text(vm, "kernel")
	switch {
	case kernel == "":
		return TextValue(""), true
	case !vm.hasPCI():
		return Value{}, false
	}
	s, _ := m.Host.KernelText(kernel, "default-kernelopts-pci.txt")
	s = strings.TrimSpace(s)
	if v, _ := m.Dom0().Feature("suspend-s0ix"); v != "" {
		s += " qubes_exp_pm_use_suspend=1"
	}
	return TextValue(s), true
}

func kernelOptsDefault(m *Model, vm *VM) (Value, bool) {
	kernel := m.Text(vm, "kernel")
	if kernel == "" {
		return TextValue(""), true
	}
	if s, ok := m.Host.KernelText(kernel, "default-kernelopts-nopci.txt"); ok {
		return TextValue(strings.TrimSpace(s)), true
	}
	return TextValue("swiotlb=2048"), true
}

// bootMode is the mode vm starts in when nothing is set (spec core.md §8).
func (m *Model) bootMode(vm *VM) string {
	known := func(mode string) bool {
		if mode == "default" {
			return true
		}
		_, ok := m.FindFeature(vm, "boot-mode.kernelopts."+mode)
		return ok
	}
	if active, ok := vm.Feature("boot-mode.active"); ok && known(active) {
		return active
	}
	for t := m.Ref(vm, "template"); t != nil; t = m.Ref(t, "template") {
		if t.Class == qube.TemplateVM {
			if mode := m.Text(t, "appvm_default_bootmode"); known(mode) {
				return mode
			}
		}
	}
	return "default"
}
