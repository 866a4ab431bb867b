package domain

import (
	"slices"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Features of preloaded disposables (spec core.md §9).
const (
	preloadList       = "preload-dispvm"
	preloadMax        = "preload-dispvm-max"
	preloadInProgress = "preload-dispvm-in-progress"
	preloadCompleted  = "preload-dispvm-completed"
)

// maxPreload bounds the preloaded disposables of one template.
const maxPreload = 50

// checkPreload vets a value of the features that people set.
func checkPreload(name, value string) error {
	whole := strings.TrimPrefix(value, "-")
	switch {
	case value == "":
		return nil
	case name == preloadMax || name == "preload-dispvm-threshold":
		whole = value
	case name != "preload-dispvm-delay":
		return nil
	}
	if whole == "" || len(whole) > 9 || strings.Trim(whole, "0123456789") != "" {
		return adminapi.Errorf(adminapi.ValueError, "Invalid %s value: not a number", name)
	}
	return nil
}

// featureNumber reads a numeric feature; false when it is absent or empty.
func featureNumber(vm *VM, name string) (int, bool) {
	v, ok := vm.Feature(name)
	if !ok || v == "" {
		return 0, false
	}
	n, err := strconv.Atoi(v)
	return n, err == nil
}

// PreloadMax is how many disposables of t are to be ready. For the system's default
// template dom0's feature decides when it is there.
func (m *Model) PreloadMax(t *VM) int {
	if !m.Truth(t, "template_for_dispvms") {
		return 0
	}
	n, _ := featureNumber(t, preloadMax)
	if m.Ref(nil, "default_dispvm") == t {
		if g, ok := featureNumber(m.Dom0(), preloadMax); ok {
			n = g
		}
	}
	for _, f := range []string{"qrexec", "supported-rpc.qubes.WaitForRunningSystem", "supported-rpc.qubes.WaitForSession"} {
		if !m.FeatureWithTemplate(t, f) {
			return 0
		}
	}
	return min(max(n, 0), maxPreload)
}

// PreloadNumber is a numeric setting of t or else of dom0.
func (m *Model) PreloadNumber(t *VM, name string, missing int) int {
	if n, ok := featureNumber(t, name); ok {
		return n
	}
	if n, ok := featureNumber(m.Dom0(), name); ok {
		return n
	}
	return missing
}

// Preloaded lists the names of t's preloaded disposables, oldest first; some may be gone.
func Preloaded(t *VM) []qube.Name {
	v, _ := t.Feature(preloadList)
	var out []qube.Name
	for s := range strings.FieldsSeq(v) {
		out = append(out, qube.Name(s))
	}
	return out
}

// IsPreload reports whether vm waits to be used.
func (m *Model) IsPreload(vm *VM) bool {
	if vm == nil || vm.Class != qube.DispVM {
		return false
	}
	t := m.Ref(vm, "template")
	return t != nil && slices.Contains(Preloaded(t), vm.Name)
}

// PreloadReady reports whether a preloaded disposable has been prepared to the end.
func PreloadReady(vm *VM) bool { return vm.HasFeature(preloadCompleted) }

// PreloadStarted reports whether vm was made to be preloaded.
func PreloadStarted(vm *VM) bool { return vm.HasFeature(preloadInProgress) }

// AddPreload makes the new disposable vm one of t's.
func (m *Model) AddPreload(t, vm *VM) {
	_ = m.SetFeature(vm, preloadInProgress, "1") // valid names always pass
	_ = m.SetFeature(t, preloadList, joinNames(append(Preloaded(t), vm.Name)))
	_ = m.SetFeature(vm, "internal", "1")
	m.announce(vm, "is_preload")
}

// CompletePreload notes that vm is prepared.
func (m *Model) CompletePreload(vm *VM) { _ = m.SetFeature(vm, preloadCompleted, "1") }

// DropPreload takes a disposable off t's list; it need not exist any more.
func (m *Model) DropPreload(t *VM, n qube.Name) {
	list := slices.DeleteFunc(Preloaded(t), func(o qube.Name) bool { return o == n })
	if len(list) == 0 {
		if t.HasFeature(preloadList) {
			_ = m.RemoveFeature(t, preloadList)
		}
		return
	}
	_ = m.SetFeature(t, preloadList, joinNames(list))
}

// UsePreload hands vm, no longer on a list, over to its user.
func (m *Model) UsePreload(vm *VM) {
	for _, f := range []string{"internal", preloadInProgress, preloadCompleted} {
		if vm.HasFeature(f) {
			_ = m.RemoveFeature(vm, f)
		}
	}
	m.announce(vm, "is_preload")
}

func joinNames(ns []qube.Name) string {
	s := make([]string, len(ns))
	for i, n := range ns {
		s[i] = string(n)
	}
	return strings.Join(s, " ")
}

// differs are properties that may differ between a disposable and its template.
var differs = map[string]bool{
	"template": true, "label": true, "auto_cleanup": true, "include_in_backups": true, "backup_timestamp": true,
	"autostart": true, "installed_by_rpm": true, "default_dispvm": true,
}

// PreloadStale reports whether t was changed since the disposable vm was made of it.
func (m *Model) PreloadStale(t, vm *VM) bool {
	if m.Ref(vm, "template") != t {
		return true
	}
	if a, b := t.Volume("private"), vm.Volume("private"); a == nil || b == nil || a.Size != b.Size {
		return true
	}
	for _, d := range m.Defs(vm) {
		other, err := m.Def(t, d.Name)
		if err != nil || other != d || d.Fixed || d.ReadOnly || differs[d.Name] {
			continue
		}
		if m.IsDefault(vm, d.Name) != m.IsDefault(t, d.Name) || !m.IsDefault(vm, d.Name) && vm.props[d.Name] != t.props[d.Name] {
			return true
		}
	}
	return false
}
