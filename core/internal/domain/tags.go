package domain

import (
	"slices"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// HasTag reports whether vm has the tag.
func (vm *VM) HasTag(t string) bool { return slices.Contains(vm.tags, t) }

// Tags lists vm's tags, sorted.
func (vm *VM) Tags() []string {
	out := slices.Clone(vm.tags)
	slices.Sort(out)
	return out
}

// AddTag puts a tag on vm; a tag that is there already changes nothing.
func (m *Model) AddTag(vm *VM, t string) error {
	if vm.HasTag(t) {
		return nil
	}
	vm.tags = append(vm.tags, t)
	m.dirty = true
	m.Fire(vm, "domain-tag-add:"+t, "tag", t)
	return nil
}

// RemoveTag takes a tag off.
func (m *Model) RemoveTag(vm *VM, t string) error {
	if !vm.HasTag(t) {
		return adminapi.Errorf(adminapi.TagNotFound, "Tag not set for domain %s: %s", vm.Name, t)
	}
	vm.tags = slices.DeleteFunc(vm.tags, func(x string) bool { return x == t })
	m.dirty = true
	m.Fire(vm, "domain-tag-delete:"+t, "tag", t)
	return nil
}

// autoTags gives a new or loaded qube the tags that follow from its properties, silently.
func (m *Model) autoTags(vm *VM) {
	for _, p := range []string{"guivm", "audiovm", "relayvm"} {
		if t := m.Ref(vm, p); t != nil {
			if tag := p + "-" + string(t.Name); !vm.HasTag(tag) {
				vm.tags = append(vm.tags, tag)
			}
		}
	}
}

// AddLabel makes a label. The name and colour must be checked.
func (m *Model) AddLabel(name string, color uint32) error {
	for _, l := range m.Labels {
		if l.Name == name {
			return adminapi.Errorf(adminapi.LabelInUse, "Label is still in use: '%s'", name)
		}
	}
	index := len(qube.BuiltinLabels)
	for _, l := range m.Labels {
		index = max(index, l.Index)
	}
	m.Labels = append(m.Labels, qube.Label{Index: index + 1, Name: name, Color: color})
	m.dirty = true
	return nil
}

// RemoveLabel deletes a label of the user's own that no qube has.
func (m *Model) RemoveLabel(l qube.Label) error {
	if l.Index <= len(qube.BuiltinLabels) {
		return adminapi.Errorf(adminapi.ProtocolError, "Can only remove custom labels")
	}
	for _, vm := range m.VMs() {
		if m.Text(vm, "label") == l.Name {
			return adminapi.Errorf(adminapi.LabelInUse, "Label is still in use: Label(%d, '0x%06x', '%s')", l.Index, l.Color, l.Name)
		}
	}
	m.Labels = slices.DeleteFunc(m.Labels, func(x qube.Label) bool { return x.Name == l.Name })
	m.dirty = true
	return nil
}
