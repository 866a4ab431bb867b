package domain

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// networkProperties are addresses and what follows from them (spec storage-network-memory.md §2).
func networkProperties() []*Def {
	computed := func(name, doc string, f func(m *Model, vm *VM) string) *Def {
		return &Def{Name: name, Type: "str", Classes: qubesVM, Doc: doc, ReadOnly: true, Default: func(m *Model, vm *VM) (Value, bool) { return optional(f(m, vm)), true }}
	}
	return []*Def{
		{Name: "ip", Type: "str", Classes: qubesVM, Doc: "IPv4 address.", Parse: parseIP4, Default: func(m *Model, vm *VM) (Value, bool) { return optional(m.ip4(vm)), true },
			OnSet: func(m *Model, vm *VM, _, _ Value) { m.addressChanged(vm, "") }, OnDel: func(m *Model, vm *VM, _, _ Value) { m.addressChanged(vm, "") }},
		{Name: "ip6", Type: "str", Classes: qubesVM, Doc: "IPv6 address.", Parse: parseIP6, Default: func(m *Model, vm *VM) (Value, bool) { return optional(m.ip6(vm)), true },
			OnSet: func(m *Model, vm *VM, _, _ Value) { m.addressChanged(vm, "6") }},
		{Name: "mac", Type: "str", Classes: qubesVM, Doc: "Ethernet address.", Default: fixed(TextValue("00:16:3e:5e:6c:00")), Parse: parseMAC},
		{Name: "provides_network", Type: "bool", Classes: qubesVM, Doc: "Whether other qubes may use the qube as their network.", Default: fixed(BoolValue(false)), Check: keepProvider,
			PreDel: func(m *Model, vm *VM, _, def Value) error { _, err := keepProvider(m, vm, def); return err },
			OnSet:  onProvides, OnDel: func(m *Model, vm *VM, old, def Value) { onProvides(m, vm, def, old) }},
		{Name: "netvm", Type: "vm", Classes: qubesVM, Late: true, Doc: "Qube that provides the network; none for no network.", Check: checkNetvm, Default: netvmDefault,
			PreDel: func(m *Model, vm *VM, old, def Value) error {
				if t := m.ref(def); t != nil && m.netLoop(vm, t) {
					return adminapi.Errorf(adminapi.ValueError, "Loops in network are unsupported")
				}
				if def != old {
					m.Fire(vm, "property-pre-set:netvm", setArgs("netvm", def, old, true)...)
				}
				return nil
			},
			OnSet: connect,
			OnDel: func(m *Model, vm *VM, old, def Value) {
				if def != old {
					connect(m, vm, def, old)
					m.Fire(vm, "property-set:netvm", setArgs("netvm", def, old, true)...)
				}
			}},
		computed("dns", "Name servers.", func(m *Model, vm *VM) string {
			if !m.networked(vm) {
				return ""
			}
			return "10.139.1.1 10.139.1.2"
		}),
		computed("gateway", "Address clients use as their gateway.", func(m *Model, vm *VM) string {
			if !m.Truth(vm, "provides_network") {
				return ""
			}
			return m.Text(vm, "visible_ip")
		}),
		computed("gateway6", "IPv6 address clients use as their gateway.", func(m *Model, vm *VM) string {
			if !m.Truth(vm, "provides_network") {
				return ""
			}
			return m.Text(vm, "visible_ip6")
		}),
		computed("visible_ip", "Address the qube itself sees.", func(m *Model, vm *VM) string {
			return m.fakeOr(vm, "net.fake-ip", m.Text(vm, "ip"))
		}),
		computed("visible_ip6", "IPv6 address the qube itself sees.", func(m *Model, vm *VM) string { return m.Text(vm, "ip6") }),
		computed("visible_gateway", "Gateway the qube itself sees.", func(m *Model, vm *VM) string {
			return m.fakeOr(vm, "net.fake-gateway", m.Text(m.Ref(vm, "netvm"), "gateway"))
		}),
		computed("visible_gateway6", "IPv6 gateway the qube itself sees.", func(m *Model, vm *VM) string {
			if m.Text(vm, "ip6") == "" {
				return ""
			}
			return m.Text(m.Ref(vm, "netvm"), "gateway6")
		}),
		computed("visible_netmask", "Network mask the qube itself sees.", func(m *Model, vm *VM) string {
			if m.Ref(vm, "netvm") == nil {
				return m.fakeOr(vm, "net.fake-netmask", "")
			}
			return m.fakeOr(vm, "net.fake-netmask", "255.255.255.255")
		}),
	}
}

func optional(s string) Value {
	if s == "" {
		return Value{}
	}
	return TextValue(s)
}

func (m *Model) fakeOr(vm *VM, feature, real string) string {
	if s, ok := m.FindFeature(vm, feature); ok && s != "" {
		return s
	}
	return real
}

func (m *Model) networked(vm *VM) bool {
	return m.Ref(vm, "netvm") != nil || m.Truth(vm, "provides_network")
}

func (m *Model) ip4(vm *VM) string {
	if !m.networked(vm) {
		return ""
	}
	n, net := vm.QID, 137
	if vm.Class == qube.DispVM {
		n, net = vm.DispID, 138
	}
	if n < 255 {
		return fmt.Sprintf("10.%d.%d.%d", net, n>>8, n&255)
	}
	return fmt.Sprintf("10.%d.%d.%d", net, (n-1)/254, (n-1)%254+1)
}

func (m *Model) ip6(vm *VM) string {
	if !m.networked(vm) || !m.ipv6(vm) {
		return ""
	}
	s := "fd09:24ef:4179::a89:" + strconv.FormatInt(int64(vm.QID), 16)
	if vm.Class == qube.DispVM {
		s = "fd09:24ef:4179::a8a:" + strconv.FormatInt(int64(vm.DispID), 16)
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

// ipv6 reports whether feature ipv6 is true along the chain of network qubes; the first
// qube that has it decides.
func (m *Model) ipv6(vm *VM) bool {
	v, ok := m.featureChain(vm, "ipv6", "netvm")
	return ok && v != ""
}

func parseMAC(s string) (Value, error) {
	s = strings.ToLower(s)
	parts := strings.Split(s, ":")
	ok := len(parts) == 6
	for _, p := range parts {
		ok = ok && len(p) == 2 && strings.Trim(p, "0123456789abcdef") == ""
	}
	if !ok {
		return Value{}, adminapi.Errorf(adminapi.ValueError, "Invalid MAC address value")
	}
	return TextValue(s), nil
}

func netvmDefault(m *Model, vm *VM) (Value, bool) {
	if vm.Class == qube.TemplateVM {
		return Value{}, true
	}
	return m.Value(nil, "default_netvm")
}

func checkNetvm(m *Model, vm *VM, v Value) (Value, error) {
	t := m.ref(v)
	switch {
	case t == nil:
		return v, nil
	case !m.Truth(t, "provides_network"):
		return v, adminapi.Errorf(adminapi.ValueError, "The %s qube does not provide network", t.Name)
	case m.netLoop(vm, t):
		return v, adminapi.Errorf(adminapi.ValueError, "Loops in network are unsupported")
	case !vm.Halted() && t.Halted():
		return v, adminapi.Errorf(adminapi.VMNotStarted, "Cannot dynamically attach to stopped NetVM: %s", t.Name)
	}
	return v, nil
}

// netLoop reports whether vm would reach itself through t.
func (m *Model) netLoop(vm, t *VM) bool {
	for n := 0; t != nil && n <= len(m.vms); n++ {
		if t == vm {
			return true
		}
		t = m.Ref(t, "netvm")
	}
	return false
}

// Clients lists the qubes whose netvm is vm, set or by default.
func (m *Model) Clients(vm *VM) []*VM {
	var out []*VM
	for _, c := range m.VMs() {
		if m.Ref(c, "netvm") == vm {
			out = append(out, c)
		}
	}
	return out
}

func keepProvider(m *Model, vm *VM, v Value) (Value, error) {
	if !v.B && len(m.Clients(vm)) > 0 {
		return v, adminapi.Errorf(adminapi.ValueError, "The qube is still used by other qubes, change theirs 'netvm' first")
	}
	return v, nil
}

func onProvides(m *Model, vm *VM, v, old Value) {
	if v == old {
		return
	}
	if v.B {
		_ = m.SetFeature(vm, "servicevm", "1") // a valid name always passes
	} else if vm.HasFeature("servicevm") {
		_ = m.RemoveFeature(vm, "servicevm")
	}
	m.announce(vm, "icon", "gateway", "gateway6")
}

// addressChanged announces what follows from ip (or ip6).
func (m *Model) addressChanged(vm *VM, suffix string) {
	if m.Truth(vm, "provides_network") {
		m.announce(vm, "gateway"+suffix)
	}
	m.announce(vm, "visible_ip"+suffix)
	for _, c := range m.Clients(vm) {
		m.announce(c, "visible_gateway"+suffix)
	}
}

// DeferredNetvm is a feature of a paused qube whose netvm was changed: the name of the one it
// is still connected to, "" for none. The change takes effect when the qube goes on.
const DeferredNetvm = "deferred-netvm-original"

// connect tells who is concerned when a running qube's netvm changes.
func connect(m *Model, vm *VM, v, old Value) {
	if vm.Halted() {
		return
	}
	if vm.Run.State == qube.Paused && !vm.HasFeature(DeferredNetvm) {
		_ = m.SetFeature(vm, DeferredNetvm, old.S) // a valid name always passes
	}
	if t := m.ref(v); t != nil {
		m.Fire(vm, "domain-qdb-create")
		m.Fire(t, "net-domain-connect", "vm", string(vm.Name))
	}
}

// NetvmApplied drops what was kept of a deferred change.
func (m *Model) NetvmApplied(vm *VM) {
	if vm.HasFeature(DeferredNetvm) {
		_ = m.RemoveFeature(vm, DeferredNetvm) // it is there
	}
}
