package domain

import (
	"qubist/core/adminapi"
	"qubist/core/qube"
)

// linkProperties refer to other qubes (spec core.md §3).
func linkProperties() []*Def {
	return []*Def{
		{Name: "template", Type: "vm", Classes: "PD", Late: true, Doc: "Qube whose software this one uses.", Check: checkTemplate, PreSet: preTemplate, OnSet: onTemplate,
			PreDel: func(m *Model, vm *VM, _, _ Value) error {
				return adminapi.Errorf(adminapi.ValueError, "Cannot unset template. You can set it to the current default (%s) instead", m.Text(nil, "default_template"))
			}},
		{Name: "guivm", Type: "vm", Classes: qubesVM, Late: true, Doc: "Qube that shows the windows; none for no windows.", Default: func(m *Model, _ *VM) (Value, bool) { return m.Value(nil, "default_guivm") },
			OnSet: onGUI, OnDel: func(m *Model, vm *VM, old, def Value) { onGUI(m, vm, def, old) }},
		{Name: "audiovm", Type: "vm", Classes: qubesVM, Late: true, Doc: "Qube that carries the sound.", Default: func(m *Model, _ *VM) (Value, bool) { return m.Value(nil, "default_audiovm") },
			OnSet: onAudio, OnDel: func(m *Model, vm *VM, old, def Value) { onAudio(m, vm, def, old) }},
		{Name: "default_dispvm", Type: "vm", Classes: "A" + qubesVM, Late: true, Doc: "Template of the disposables this qube opens.", Check: checkDispTemplate("default_dispvm"), Default: func(m *Model, vm *VM) (Value, bool) {
			if vm.Class == qube.DispVM {
				return m.Value(vm, "template")
			}
			return m.Value(nil, "default_dispvm")
		}},
		{Name: "management_dispvm", Type: "vm", Classes: qubesVM, Late: true, Doc: "Disposable template for managing this qube.", Inherit: true, Check: checkDispTemplate("management_dispvm"),
			Default: func(m *Model, _ *VM) (Value, bool) { return m.Value(nil, "management_dispvm") }},
		{Name: "relayvm", Type: "vm", Classes: "R", Late: true, Doc: "Local qube that carries calls to the remote one.", Default: fixed(Value{}), OnSet: onRelay,
			OnDel: func(m *Model, vm *VM, old, def Value) { onRelay(m, vm, def, old) }},
	}
}

func checkTemplate(m *Model, vm *VM, v Value) (Value, error) {
	t := m.ref(v)
	if t == nil {
		return v, adminapi.Errorf(adminapi.PropertyValue, "Invalid value None for property 'template' of %s", vm.Name)
	}
	return v, m.CheckTemplate(vm.Class, t)
}

// CheckTemplate reports whether t may be the template of a qube of a class.
func (m *Model) CheckTemplate(c qube.Class, t *VM) error {
	switch {
	case c == qube.DispVM && !m.Truth(t, "template_for_dispvms"):
		return adminapi.Errorf(adminapi.ValueError, "template for disposable (%s) needs to be an AppVM with template_for_dispvms=True", t.Name)
	case c != qube.DispVM && t.Class != qube.TemplateVM:
		return wrongClass(t, "TemplateVM")
	}
	return nil
}

func preTemplate(m *Model, vm *VM, _, _ Value) error {
	if !vm.Halted() {
		return adminapi.Errorf(adminapi.VMNotHalted, "Cannot change template while qube is running")
	}
	for _, d := range m.VMs() {
		if d.Class == qube.DispVM && m.Ref(d, "template") == vm && !d.Halted() {
			return adminapi.Errorf(adminapi.VMInUse, "Cannot change template while there are running disposables based on this disposable template")
		}
	}
	return nil
}

// onTemplate rebuilds the volumes that come from the template, here and in disposables.
func onTemplate(m *Model, vm *VM, _, _ Value) {
	m.relink(vm)
	for _, d := range m.VMs() {
		if d.Class == qube.DispVM && m.Ref(d, "template") == vm {
			m.relink(d)
		}
	}
}

func onGUI(m *Model, vm *VM, v, old Value) {
	if v != old {
		m.moveTag(vm, "guivm-", v, old)
	}
}

// onAudio takes the tag off and puts it on even when nothing changes, as upstream does.
func onAudio(m *Model, vm *VM, v, old Value) { m.moveTag(vm, "audiovm-", v, old) }

func onRelay(m *Model, vm *VM, v, old Value) { m.moveTag(vm, "relayvm-", v, old) }

func (m *Model) moveTag(vm *VM, prefix string, v, old Value) {
	if old.Kind == Ref && vm.HasTag(prefix+old.S) {
		_ = m.RemoveTag(vm, prefix+old.S) // it is there
	}
	if v.Kind == Ref {
		_ = m.AddTag(vm, prefix+v.S) // names of qubes with a '.' are no tags; see Tag
	}
}
