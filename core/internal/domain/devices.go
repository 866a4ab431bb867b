package domain

import (
	"encoding/xml"
	"fmt"
	"slices"

	"qubist/core/adminapi"
	"qubist/core/adminapi/device"
	"qubist/core/internal/store"
	"qubist/core/qube"
)

// DeviceClasses are the kinds of devices that can be assigned.
var DeviceClasses = []string{"block", "pci"}

// Assignments are vm's assignments of one class, "" for all, in the order they were made.
func (vm *VM) Assignments(class string) []device.Assignment {
	var out []device.Assignment
	for _, a := range vm.assigned {
		if class == "" || a.Class == class {
			out = append(out, a)
		}
	}
	return out
}

func (vm *VM) findAssignment(class string, id device.ID) int {
	return slices.IndexFunc(vm.assigned, func(a device.Assignment) bool { return a.Class == class && a.ID == id })
}

// hasPCI reports whether PCI devices are assigned to vm.
func (vm *VM) hasPCI() bool { return vm != nil && len(vm.Assignments("pci")) > 0 }

// Assign keeps an assignment.
func (m *Model) Assign(vm *VM, a device.Assignment) error {
	switch {
	case !vm.Local() || vm.Class == qube.AdminVM:
		return adminapi.Errorf(adminapi.VMError, "Cannot assign devices to %s %s", vm.Class, vm.Name)
	case !device.Mode(a.Mode):
		return adminapi.Errorf(adminapi.ValueError, "Only auto-attachable devices can be assigned.")
	case a.Backend != device.Any && m.vms[qube.Name(a.Backend)] == nil:
		return NotFound(a.Backend)
	case vm.findAssignment(a.Class, a.ID) >= 0:
		return adminapi.Errorf(adminapi.DeviceAlreadyAssigned, "'%s device %s already assigned to %s'", a.Class, a.ID, vm.Name)
	}
	m.Fire(vm, "device-pre-assign:"+a.Class, "device", a.String(), "options", device.Repr(a.Options))
	a.Frontend = ""
	vm.assigned = append(vm.assigned, a)
	m.dirty = true
	m.Fire(vm, "device-assign:"+a.Class, "device", a.String(), "options", device.Repr(a.Options))
	return nil
}

// NotAssigned is the API's error for a missing assignment.
func NotAssigned(vm *VM, class string, id device.ID) error {
	return adminapi.Errorf(adminapi.DeviceNotAssigned, "'%s device %s not assigned to %s'", class, id, vm.Name)
}

// SetAssignment changes the mode of an assignment.
func (m *Model) SetAssignment(vm *VM, class string, id device.ID, mode string) error {
	i := vm.findAssignment(class, id)
	if i < 0 {
		return NotAssigned(vm, class, id)
	}
	m.Fire(vm, "device-pre-assign:"+class, "device", id.String(), "options", device.Repr(vm.assigned[i].Options))
	vm.assigned[i].Mode = mode
	m.dirty = true
	m.Fire(vm, "device-assignment-changed:"+class, "device", id.String())
	return nil
}

// Unassign drops an assignment.
func (m *Model) Unassign(vm *VM, class string, id device.ID) error {
	i := vm.findAssignment(class, id)
	if i < 0 {
		return NotAssigned(vm, class, id)
	}
	vm.assigned = slices.Delete(vm.assigned, i, i+1)
	m.dirty = true
	m.Fire(vm, "device-unassign:"+class, "device", id.String())
	return nil
}

// providesAssigned reports whether devices of vm are assigned to other qubes.
func (m *Model) providesAssigned(vm *VM) bool {
	for _, o := range m.vms {
		if o != vm && slices.ContainsFunc(o.assigned, func(a device.Assignment) bool { return a.Backend == string(vm.Name) }) {
			return true
		}
	}
	return false
}

// fileDevices is the kept form: one element for each class.
func (vm *VM) fileDevices() []store.Devices {
	var out []store.Devices
	for _, a := range vm.assigned {
		i := slices.IndexFunc(out, func(d store.Devices) bool { return d.Class == a.Class })
		if i < 0 {
			i = len(out)
			out = append(out, store.Devices{Class: a.Class})
		}
		d := store.Device{Attrs: []xml.Attr{store.Attr("backend-domain", a.Backend), store.Attr("id", a.Port), store.Attr("mode", a.Mode), store.Attr("identity", a.Device)}}
		for _, o := range a.Options {
			d.Options = append(d.Options, store.Option{Name: o.Key, Value: o.Value})
		}
		out[i].Devices = append(out[i].Devices, d)
	}
	return out
}

func (vm *VM) loadDevices(classes []store.Devices) error {
	for _, c := range classes {
		for _, d := range c.Devices {
			a, err := loadDevice(c.Class, d)
			if err != nil {
				return err
			}
			if vm.findAssignment(a.Class, a.ID) < 0 {
				vm.assigned = append(vm.assigned, a)
			}
		}
	}
	return nil
}

func loadDevice(class string, d store.Device) (device.Assignment, error) {
	get := func(name, missing string) string {
		if v, ok := store.Get(d.Attrs, name); ok {
			return v
		}
		return missing
	}
	a := device.Assignment{ID: device.ID{Backend: get("backend-domain", ""), Port: get("id", ""), Device: get("identity", device.Any)}, Class: class, Mode: get("mode", "")}
	if a.Mode == "" { // older files
		a.Mode = device.Required
		if b, ok := ParseBool(get("required", "")); ok && !b {
			a.Mode = device.Auto
		}
	}
	for _, o := range d.Options {
		if o.Name == "identity" {
			a.Device = o.Value
			continue
		}
		a.Options = append(a.Options, device.KV{Key: o.Name, Value: o.Value})
	}
	if class == "" || a.Backend == "" || a.Port == "" || !device.Mode(a.Mode) {
		return a, fmt.Errorf("device %s of class %q: malformed", a.ID, class)
	}
	return a, nil
}
