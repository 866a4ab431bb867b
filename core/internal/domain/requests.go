package domain

import (
	"maps"
	"slices"
	"strings"
	"time"

	"qubist/core/qube"
)

// Limits of a features request (spec core.md §6).
const (
	// MaxRequest bounds the entries of one request.
	MaxRequest   = 1024
	maxBootModes = 64
)

// Families of features that a request replaces as a whole.
const (
	supportedFeature = "supported-feature."
	supportedService = "supported-service."
	supportedRPC     = "supported-rpc."
	bootKernelOpts   = "boot-mode.kernelopts."
	bootName         = "boot-mode.name."
	bootUser         = "boot-mode.default-user."
)

// RequestFeatures takes what a qube says of itself. The values are checked to be of the
// request's character set; which of them mean something, and for whom, is decided here. A
// qube that has a template may announce services only.
func (m *Model) RequestFeatures(vm *VM, untrusted map[string]string) {
	own := m.Ref(vm, "template") == nil
	if own {
		m.replaceFamily(vm, supportedFeature, untrusted)
		m.requestOS(vm, untrusted)
		m.requestServices(vm, untrusted)
	}
	m.replaceFamily(vm, supportedRPC, untrusted)
	m.Fire(vm, "features-request", "untrusted_features", pyDict(untrusted))
	if !own {
		return
	}
	m.requestAbout(vm, untrusted)
	m.requestAgents(vm, untrusted)
	m.requestBootModes(vm, untrusted)
	if untrusted["anon-timezone"] == "1" {
		_ = m.SetFeature(vm, "anon-timezone", "1")
	}
}

// pyDict is how events carry the request: a Python dictionary of plain text, by key.
func pyDict(kv map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		parts = append(parts, "'"+k+"': '"+kv[k]+"'")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// plainName: only these may be in the names of features; those of a request are a qube's text.
func plainName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	})
}

// replaceFamily makes the entries that equal "1" the only features of a family. A request
// that has none changes nothing.
func (m *Model) replaceFamily(vm *VM, prefix string, untrusted map[string]string) (added, removed []string) {
	wanted := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(untrusted)) {
		if strings.HasPrefix(k, prefix) && plainName(k[len(prefix):]) && untrusted[k] == "1" {
			wanted[k] = true
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		if !vm.HasFeature(k) {
			_ = m.SetFeature(vm, k, "1") // names of these families always pass
			added = append(added, k)
		}
	}
	for _, f := range vm.Features() {
		if strings.HasPrefix(f.Key, prefix) && !wanted[f.Key] {
			_ = m.RemoveFeature(vm, f.Key)
			removed = append(removed, f.Key)
		}
	}
	return added, removed
}

func (m *Model) requestServices(vm *VM, untrusted map[string]string) {
	const apparmor = supportedService + "apparmor"
	added, removed := m.replaceFamily(vm, supportedService, untrusted)
	if slices.Contains(added, apparmor) && !vm.HasFeature("apparmor") {
		_ = m.SetFeature(vm, "apparmor", "1")
	}
	if v, _ := vm.Feature("apparmor"); v == "1" && slices.Contains(removed, apparmor) {
		_ = m.RemoveFeature(vm, "apparmor")
	}
}

// requestOS: Windows with an agent brings settings of its own.
func (m *Model) requestOS(vm *VM, untrusted map[string]string) {
	os := untrusted["os"]
	if os != "Windows" && os != "Linux" {
		return
	}
	_ = m.SetFeature(vm, "os", os)
	if os != "Windows" || untrusted["qrexec"] != "1" {
		return
	}
	_ = m.SetFeature(vm, "rpc-clipboard", "1")
	for prop, n := range map[string]int64{"maxmem": 0, "qrexec_timeout": 6000} {
		if d, err := m.Def(vm, prop); err == nil {
			_ = m.SetValue(vm, d, IntValue(n)) // a running qube's maxmem stays
		}
	}
	for _, f := range []KV{{"stubdom-qrexec", "1"}, {"audio-model", "ich6"}, {"timezone", "localtime"}, {"no-monitor-layout", "1"}} {
		if _, ok := m.FindFeature(vm, f.Key); !ok {
			_ = m.SetFeature(vm, f.Key, f.Value)
		}
	}
}

// requestAbout stores what is said of the distribution.
func (m *Model) requestAbout(vm *VM, untrusted map[string]string) {
	digits := func(s, more string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune(more, r) })
	}
	is := map[string]func(string) bool{
		"os-distribution":      func(s string) bool { return s != "" },
		"os-distribution-like": func(s string) bool { return s != "" },
		"os-version":           func(s string) bool { return digits(s, ".-") && s[0] != '.' && s[0] != '-' },
		"os-eol": func(s string) bool {
			_, err := time.Parse(time.DateOnly, s)
			return err == nil
		},
		"qubes-agent-version": func(s string) bool {
			major, minor, ok := strings.Cut(s, ".")
			return ok && digits(major, "") && digits(minor, "")
		},
	}
	for _, k := range []string{"os-distribution", "os-distribution-like", "os-version", "os-eol", "qubes-agent-version"} {
		if v, ok := untrusted[k]; ok && is[k](v) {
			_ = m.SetFeature(vm, k, v)
		}
	}
}

// requestAgents: an agent is announced once; what the user set since stays.
func (m *Model) requestAgents(vm *VM, untrusted map[string]string) {
	installed := false
	for _, k := range []string{"qrexec", "gui", "gui-emulated", "qubes-firewall", "vmexec"} {
		v, ok := untrusted[k]
		if !ok || v != "0" && v != "1" {
			continue
		}
		if v == "0" {
			v = ""
		}
		if always := k == "qubes-firewall" || k == "vmexec"; always || !vm.HasFeature(k) {
			_ = m.SetFeature(vm, k, v)
			installed = installed || k == "qrexec" && v == "1"
		}
	}
	if installed {
		m.Fire(vm, "template-postinstall")
	}
}

// bootModes reads the modes of a request; false when the set as a whole is not acceptable.
func bootModes(untrusted map[string]string) (map[string]string, bool) {
	modes, set := map[string]bool{"default": true}, map[string]string{}
	for k, v := range untrusted {
		if mode, ok := strings.CutPrefix(k, bootKernelOpts); ok && plainName(mode) && !strings.Contains(mode, ".") && mode != "default" {
			modes[mode], set[k] = true, v
		}
	}
	seen := map[string]bool{}
	for k, v := range untrusted {
		for _, prefix := range []string{bootName, bootUser} {
			mode, ok := strings.CutPrefix(k, prefix)
			if !ok || !modes[mode] || mode == "default" && prefix != bootName {
				continue
			}
			if seen[prefix+v] || v == "" {
				return nil, false
			}
			seen[prefix+v], set[k] = true, v
		}
	}
	return set, len(set) > 0 && len(set) <= maxBootModes
}

func (m *Model) requestBootModes(vm *VM, untrusted map[string]string) {
	if set, ok := bootModes(untrusted); ok {
		for _, f := range vm.Features() {
			family := strings.HasPrefix(f.Key, bootKernelOpts) || strings.HasPrefix(f.Key, bootName) || strings.HasPrefix(f.Key, bootUser)
			if _, stays := set[f.Key]; family && !stays {
				_ = m.RemoveFeature(vm, f.Key)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(set)) {
			if old, had := vm.Feature(k); !had || old != set[k] {
				_ = m.SetFeature(vm, k, set[k])
			}
		}
	}
	for _, k := range []string{"boot-mode.active", "boot-mode.appvm-default", "boot-mode.standalone-default"} {
		v, ok := untrusted[k]
		if !ok || k == "boot-mode.appvm-default" && vm.Class != qube.TemplateVM {
			continue
		}
		if v == "default" || vm.HasFeature(bootKernelOpts+v) {
			_ = m.SetFeature(vm, k, v)
		}
	}
}

// NotifyUpdates notes what a qube found when it looked for updates. For a qube that is not
// updateable itself outdated says whether its volumes are behind the template's.
func (m *Model) NotifyUpdates(vm *VM, available, outdated bool, now time.Time) {
	if !m.Truth(vm, "updateable") {
		t := m.Ref(vm, "template")
		for n := 0; t != nil && !m.Truth(t, "updateable") && n <= len(m.vms); n++ {
			t = m.Ref(t, "template")
		}
		// A running template will tell by itself, and an outdated qube, or one that finds
		// nothing, says little about its template.
		if t == nil || !t.Halted() || !available || outdated {
			return
		}
		vm = t
	}
	had := m.featureTrue(vm, "updates-available")
	stamp := now.Format(time.DateTime)
	value := ""
	if available {
		value = "1"
	}
	_ = m.SetFeature(vm, "updates-available", value)
	_ = m.SetFeature(vm, "last-updates-check", stamp)
	if had && !available {
		_ = m.SetFeature(vm, "last-update", stamp)
	}
}
