package domain

import (
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Limits of feature families, in bytes (spec core.md §6).
const (
	maxService = 48
	maxConfig  = 52
)

// Feature is vm's own feature and whether it has it.
func (vm *VM) Feature(name string) (string, bool) {
	for _, f := range vm.features {
		if f.Key == name {
			return f.Value, true
		}
	}
	return "", false
}

// HasFeature reports whether vm itself has the feature, even empty.
func (vm *VM) HasFeature(name string) bool {
	_, ok := vm.Feature(name)
	return ok
}

// Features lists vm's own features in the order they were first set.
func (vm *VM) Features() []KV { return slices.Clone(vm.features) }

func (m *Model) featureTrue(vm *VM, name string) bool {
	v, _ := vm.Feature(name)
	return v != ""
}

// featureChain looks along a property that refers to another qube.
func (m *Model) featureChain(vm *VM, name, link string) (string, bool) {
	for n := 0; vm != nil && n <= len(m.vms); n++ {
		if v, ok := vm.Feature(name); ok {
			return v, true
		}
		vm = m.Ref(vm, link)
	}
	return "", false
}

// FindFeature looks at vm, then its templates.
func (m *Model) FindFeature(vm *VM, name string) (string, bool) {
	return m.featureChain(vm, name, "template")
}

// FindFeatureNet looks at vm, then its network qubes.
func (m *Model) FindFeatureNet(vm *VM, name string) (string, bool) {
	return m.featureChain(vm, name, "netvm")
}

// FeatureWithTemplate reports whether the feature is true on vm or, when absent, its templates.
func (m *Model) FeatureWithTemplate(vm *VM, name string) bool {
	v, _ := m.FindFeature(vm, name)
	return v != ""
}

// NoFeature is the API's error for an absent feature.
func NoFeature(vm *VM, name string) error {
	return adminapi.Errorf(adminapi.FeatureNotFound, "Feature not set for domain %s: %s", vm.Name, name)
}

// SetFeature sets a feature with all its consequences. The name must be checked.
func (m *Model) SetFeature(vm *VM, name, value string) error {
	args := []string{"feature", name, "value", value}
	old, had := vm.Feature(name)
	if had {
		args = append(args, "oldvalue", old)
	}
	m.Fire(vm, "domain-feature-pre-set:"+name, args...)
	if err := vetoFeature(name); err != nil {
		return err
	}
	if err := checkPreload(name, value); err != nil {
		return err
	}
	vm.putFeature(name, value)
	m.dirty = true
	if err := checkStored(name, value); err != nil {
		return err
	}
	m.onFeature(vm, name)
	m.Fire(vm, "domain-feature-set:"+name, args...)
	return nil
}

func (vm *VM) putFeature(name, value string) {
	for i := range vm.features {
		if vm.features[i].Key == name {
			vm.features[i].Value = value
			return
		}
	}
	vm.features = append(vm.features, KV{name, value})
}

// RemoveFeature deletes a feature.
func (m *Model) RemoveFeature(vm *VM, name string) error {
	m.Fire(vm, "domain-feature-pre-delete:"+name, "feature", name)
	if !vm.HasFeature(name) {
		return NoFeature(vm, name)
	}
	vm.features = slices.DeleteFunc(vm.features, func(f KV) bool { return f.Key == name })
	m.dirty = true
	m.onFeature(vm, name)
	m.Fire(vm, "domain-feature-delete:"+name, "feature", name)
	return nil
}

// onFeature announces what the feature decides.
func (m *Model) onFeature(vm *VM, name string) {
	switch {
	case name == "boot-mode.active", strings.HasPrefix(name, "boot-mode.kernelopts."):
		m.announce(vm, "bootmode")
	case name == "boot-mode.appvm-default" && vm.Class == qube.TemplateVM:
		m.announce(vm, "appvm_default_bootmode")
		for _, c := range m.VMs() {
			if m.Ref(c, "template") == vm && m.IsDefault(c, "bootmode") {
				m.announce(c, "bootmode")
			}
		}
	}
}

// vetoFeature refuses names before anything is stored.
func vetoFeature(name string) error {
	service, ok := strings.CutPrefix(name, "service.")
	if !ok {
		return nil
	}
	switch {
	case service == "":
		return adminapi.Errorf(adminapi.ValueError, "Service name cannot be empty")
	case service == "." || service == "..":
		return adminapi.Errorf(adminapi.ValueError, "Service name cannot be \".\" or \"..\"")
	case strings.Contains(service, "/"):
		return adminapi.Errorf(adminapi.ValueError, "Service name cannot contain slash character")
	case len(service) > maxService && !strings.HasPrefix(service, "app-dispvm."):
		return adminapi.Errorf(adminapi.ValueError, "Service name must not exceed 48 bytes")
	}
	return nil
}

// checkStored complains about values that are stored all the same, as upstream does.
func checkStored(name, value string) error {
	if c, ok := strings.CutPrefix(name, "vm-config."); ok {
		switch {
		case c == "" || c[0]|0x20 < 'a' || c[0]|0x20 > 'z':
			return adminapi.Errorf(adminapi.ValueError, "Config name must start with an ASCII letter")
		case len(c) > maxConfig:
			return adminapi.Errorf(adminapi.ValueError, "Config name must not exceed 52 bytes")
		}
	}
	if strings.HasPrefix(name, "custom-persist.") {
		return CheckPersist(value)
	}
	return nil
}

// CheckPersist checks "/path" or "file|dir:owner:group:mode:/path"; empty is fine.
func CheckPersist(value string) error {
	if value == "" || strings.HasPrefix(value, "/") {
		return nil
	}
	f := strings.SplitN(value, ":", 5)
	if len(f) != 5 || (f[0] != "file" && f[0] != "dir") || !strings.HasPrefix(f[4], "/") {
		return adminapi.Errorf(adminapi.ValueError, "invalid value format: '%s'", value)
	}
	return nil
}
