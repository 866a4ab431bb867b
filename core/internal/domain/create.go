package domain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// maxQID is the largest qube number.
const maxQID = 10000

// NewVM describes a qube to be added. Template is nil for classes without one.
type NewVM struct {
	Class    qube.Class
	Name     qube.Name // "" for an unnamed disposable
	Label    string
	Template *VM
	Creator  qube.Name
	Place    Placement
}

// Exists is the API's error for a name that is taken.
func Exists(n qube.Name) error {
	return adminapi.Errorf(adminapi.VMAlreadyExists, "Qube already exists: %s", n)
}

// Add puts a new qube into the collection, pending: its volumes are not made yet. Finish
// or Discard it.
func (m *Model) Add(n NewVM) (*VM, error) {
	if n.Name != "" && m.vms[n.Name] != nil {
		return nil, Exists(n.Name)
	}
	vm := &VM{Name: n.Name, Class: n.Class, UUID: m.Host.NewUUID(), props: map[string]Value{}, Pending: true, Run: Run{State: qube.Halted}}
	if n.Class == qube.RemoteVM {
		vm.Run.State = qube.Running
	}
	if vm.QID = m.freeQID(); vm.QID == 0 {
		return nil, adminapi.Errorf(adminapi.Exception, "No free qube number left")
	}
	if n.Class == qube.DispVM {
		if err := m.nameDisposable(vm); err != nil {
			return nil, err
		}
	}
	if n.Template != nil {
		if err := m.CheckTemplate(n.Class, n.Template); err != nil {
			return nil, err
		}
		vm.props["template"] = RefValue(n.Template)
	}
	vm.props["label"] = LabelValue(n.Label)
	m.vms[vm.Name] = vm
	if n.Class == qube.DispVM {
		m.inheritFrom(vm, n.Template, n.Name == "")
	}
	m.autoTags(vm)
	m.Fire(nil, "domain-add", "vm", string(vm.Name))
	if n.Class != qube.RemoteVM {
		if v, ok := m.Value(nil, "check_updates_vm"); ok && !v.B {
			vm.putFeature("check-updates", "")
		}
	}
	m.tagCreator(vm, n)
	if err := m.initVolumes(vm, n.Place); err != nil {
		m.Discard(vm)
		return nil, err
	}
	return vm, nil
}

func (m *Model) tagCreator(vm *VM, n NewVM) {
	_ = m.AddTag(vm, "created-by-"+string(n.Creator)) // names of qubes make valid tags here
	if c := m.vms[n.Creator]; c != nil {
		if g, _ := c.Feature("set-created-guivm"); g != "" {
			if t := m.vms[qube.Name(g)]; t != nil && t.Local() {
				if d, err := m.Def(vm, "guivm"); err == nil {
					_ = m.SetValue(vm, d, RefValue(t)) // a local qube is always accepted
				}
			}
		}
		for t := range strings.FieldsSeq(featureOf(c, "tag-created-vm-with")) {
			_ = m.AddTag(vm, t)
		}
	}
}

func featureOf(vm *VM, name string) string {
	v, _ := vm.Feature(name)
	return v
}

func (m *Model) freeQID() int {
	used := make(map[int]bool, len(m.vms))
	for _, vm := range m.vms {
		used[vm.QID] = true
	}
	for q := 1; q <= maxQID; q++ {
		if !used[q] {
			return q
		}
	}
	return 0
}

// nameDisposable draws a dispid and, for an unnamed one, the name.
func (m *Model) nameDisposable(vm *VM) error {
	used := make(map[int]bool)
	for _, o := range m.vms {
		if o.Class == qube.DispVM {
			used[o.DispID] = true
		}
	}
	for range 100 {
		vm.DispID = m.Host.NewDispID()
		name := vm.Name
		if name == "" {
			name = qube.Name(fmt.Sprintf("disp%d", vm.DispID))
		}
		if !used[vm.DispID] && m.vms[name] == nil {
			vm.Name = name
			return nil
		}
	}
	return adminapi.Errorf(adminapi.Exception, "Failed to find an unused dispid")
}

// inheritFrom copies what a disposable takes from its template (spec core.md §9).
func (m *Model) inheritFrom(vm, t *VM, cleanup bool) {
	for name, v := range t.props {
		d, err := m.Def(vm, name)
		if err == nil && !d.Fixed && !d.ReadOnly && name != "template" && name != "label" {
			vm.props[name] = v
		}
	}
	for _, f := range t.features {
		if !strings.HasPrefix(f.Key, "preload-dispvm") {
			vm.features = append(vm.features, f)
		}
	}
	vm.tags = slices.Clone(t.tags)
	vm.Firewall = slices.Clone(t.Firewall)
	if cleanup {
		vm.props["auto_cleanup"] = BoolValue(true)
	}
}

// Finish makes an added qube permanent: its volumes exist.
func (m *Model) Finish(vm *VM) {
	vm.Pending = false
	m.dirty = true
	if vm.Class != qube.RemoteVM {
		m.Fire(vm, "domain-create-on-disk")
	}
}

// Discard takes an added qube out again.
func (m *Model) Discard(vm *VM) {
	m.Fire(nil, "domain-pre-delete", "vm", string(vm.Name))
	delete(m.vms, vm.Name)
	m.Fire(nil, "domain-delete", "vm", string(vm.Name))
}

// Remove takes a halted qube out of the collection unless something refers to it. The
// caller then removes its volumes.
func (m *Model) Remove(vm *VM) error {
	switch {
	case vm.Class == qube.AdminVM:
		return adminapi.Errorf(adminapi.VMInUse, "'dom0' cannot be removed")
	case vm.Local() && !vm.Halted():
		return NotHalted(vm)
	case m.Truth(vm, "installed_by_rpm"):
		return adminapi.Errorf(adminapi.VMInUse, "VM installed by package manager: %s", vm.Name)
	}
	m.Fire(nil, "domain-pre-delete", "vm", string(vm.Name))
	if m.referred(vm) || m.providesAssigned(vm) {
		return adminapi.Errorf(adminapi.VMInUse, "Domain is in use: '%s';  see 'journalctl -u qubesd -e' in dom0 for details", vm.Name)
	}
	delete(m.vms, vm.Name)
	m.dirty = true
	m.Fire(nil, "domain-delete", "vm", string(vm.Name))
	return nil
}

// referred reports whether a property refers to vm: of the system also by default, of
// qubes only explicitly.
func (m *Model) referred(vm *VM) bool {
	for _, d := range m.Defs(nil) {
		if d.Type == "vm" && m.Ref(nil, d.Name) == vm {
			return true
		}
	}
	for _, o := range m.vms {
		for v := range maps.Values(o.props) {
			if o != vm && m.ref(v) == vm {
				return true
			}
		}
	}
	return false
}

// NotHalted, NotRunning, NotStarted and NotPaused are the API's errors for a qube in the
// wrong state.
func NotHalted(vm *VM) error {
	return adminapi.Errorf(adminapi.VMNotHalted, "Domain is not powered off: '%s'", vm.Name)
}

// NotRunning says that vm is halted or paused.
func NotRunning(vm *VM) error {
	return adminapi.Errorf(adminapi.VMNotRunning, "Domain not running (either powered off or paused): '%s'", vm.Name)
}

// NotStarted says that vm is halted.
func NotStarted(vm *VM) error {
	return adminapi.Errorf(adminapi.VMNotStarted, "Domain is powered off: '%s'", vm.Name)
}

// NotPaused says that vm is not paused.
func NotPaused(vm *VM) error {
	return adminapi.Errorf(adminapi.VMNotPaused, "Domain is not paused: '%s'", vm.Name)
}

// NotFound says that there is no qube of that name.
func NotFound(name string) error {
	return adminapi.Errorf(adminapi.VMNotFound, "No such domain: '%s'", name)
}
