package domain

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
	"qubist/core/qubesdb/wire"
)

// SeedKey is the entry with randomness for the qube's kernel, which the qube removes.
const SeedKey = "/qubes-random-seed"

// netmask is that of every address in a qube: its only neighbour is the gateway.
const netmask = "255.255.255.255"

// compatServices are features that older agents know as services.
var compatServices = []KV{
	{"service.ntpd", "ntpd"}, {"check-updates", "qubes-update-check"}, {"dvm", "qubes-dvm"}, {"updates-proxy-setup", "yum-proxy-setup"},
}

// entries collects what goes into a database.
type entries []KV

func (e *entries) add(key, value string) { *e = append(*e, KV{key, value}) }

func (e *entries) addSet(key, value string) {
	if value != "" {
		e.add(key, value)
	}
}

// Database is what dom0 writes into the QubesDB of a qube at its start (spec qubesdb.md §5),
// except SeedKey, in order; of two entries with one key the later counts. Entries that no
// database can hold, which odd names and values of features would make, are left out.
// The signals for R3 firewalls are not written.
func (m *Model) Database(vm *VM) []KV {
	var e entries
	e.add("/name", string(vm.Name))
	e.add("/type", string(vm.Class))
	e.add("/default-user", m.DefaultUser(vm))
	updateable := m.Truth(vm, "updateable")
	e.add("/qubes-vm-updateable", adminapi.PyBool(updateable))
	switch {
	case vm.Class == qube.DispVM:
		e.add("/qubes-vm-persistence", "none")
	case updateable:
		e.add("/qubes-vm-persistence", "full")
	default:
		e.add("/qubes-vm-persistence", "rw-only")
	}
	e.add("/qubes-vm-type", m.agentType(vm))
	e.add("/qubes-debug-mode", bit(m.Truth(vm, "debug")))
	template := ""
	if t := m.Ref(vm, "template"); t != nil {
		template = string(t.Name)
	}
	e.add("/qubes-base-template", template)
	m.networkEntries(&e, vm)
	if zone := m.Host.Timezone; zone != nil && !m.FeatureWithTemplate(vm, "anon-timezone") {
		e.addSet("/qubes-timezone", zone())
	}
	e.add("/qubes-block-devices", "")
	e.add("/qubes-usb-devices", "")
	e = append(e, m.LiveDatabase(vm)...)
	m.featureEntries(&e, vm)
	m.displayEntries(&e, vm)
	return e.valid()
}

// LiveDatabase is the part of Database that follows features and properties while the qube
// runs.
func (m *Model) LiveDatabase(vm *VM) []KV {
	var e entries
	for _, f := range vm.features {
		name, ok := strings.CutPrefix(f.Key, "service.")
		if !ok {
			continue
		}
		e.add("/qubes-service/"+name, bit(f.Value != ""))
		if app, ok := strings.CutPrefix(name, "app-dispvm."); ok && f.Value != "" {
			sum := sha256.Sum256([]byte(app))
			e.add("/hash-app-dispvm/"+base64.RawURLEncoding.EncodeToString(sum[:]), app)
		}
	}
	for _, c := range compatServices {
		if v, ok := vm.Feature(c.Key); ok {
			e.add("/qubes-service/"+c.Value, bit(v != ""))
		}
	}
	e.add("/qubes-service/meminfo-writer", bit(m.Number(vm, "maxmem") > 0))
	guivm := m.Ref(vm, "guivm")
	gui, has := vm.Feature("gui")
	e.add("/qubes-gui-enabled", adminapi.PyBool(guivm != nil && (gui != "" || !has)))
	e.addSet("/qubes-gui-domain-xid", runningXID(guivm, vm))
	if guivm != nil && guivm != vm {
		e.add("/keyboard-layout", m.Text(vm, "keyboard_layout"))
	}
	e.addSet("/qubes-audio-domain-xid", runningXID(m.Ref(vm, "audiovm"), vm))
	for _, r := range m.VMs() {
		if r.Class != qube.RemoteVM || m.Ref(r, "relayvm") != vm {
			continue
		}
		name := m.Text(r, "remote_name")
		if name == "" {
			name = string(r.Name)
		}
		e.add("/remote/"+string(r.Name), name)
	}
	return e.valid()
}

// DefaultUser is whom commands in vm run as: the boot mode's user, or property default_user.
func (m *Model) DefaultUser(vm *VM) string {
	if u, ok := m.FindFeature(vm, "boot-mode.default-user."+m.Text(vm, "bootmode")); ok && u != "" {
		if _, err := checkUser(m, vm, TextValue(u)); err == nil {
			return u
		}
	}
	return m.Text(vm, "default_user")
}

// agentType is what the agent's first script asks for.
func (m *Model) agentType(vm *VM) string {
	switch {
	case vm.Class == qube.TemplateVM:
		return "TemplateVM"
	case !m.Truth(vm, "provides_network"):
		return "AppVM"
	case m.Ref(vm, "netvm") != nil:
		return "ProxyVM"
	}
	return "NetVM"
}

func (m *Model) networkEntries(e *entries, vm *VM) {
	first, second, _ := strings.Cut(m.Text(vm, "dns"), " ")
	if m.Truth(vm, "provides_network") {
		gateway := m.Text(vm, "gateway")
		e.add("/qubes-netvm-network", gateway)
		e.add("/qubes-netvm-gateway", gateway)
		e.addSet("/qubes-netvm-gateway6", m.Text(vm, "gateway6"))
		e.add("/qubes-netvm-netmask", netmask)
		e.add("/qubes-netvm-primary-dns", first)
		e.add("/qubes-netvm-secondary-dns", second)
		var ip, ip6 []string
		for _, c := range m.VMs() {
			if m.Ref(c, "netvm") == vm && !c.Halted() {
				ip = append(ip, m.Text(c, "visible_ip"))
				if a := m.Text(c, "visible_ip6"); a != "" {
					ip6 = append(ip6, a)
				}
			}
		}
		e.add("/connected-ips", strings.Join(ip, " "))
		e.add("/connected-ips6", strings.Join(ip6, " "))
	}
	if m.Ref(vm, "netvm") == nil {
		return
	}
	e.add("/qubes-mac", m.Text(vm, "mac"))
	e.add("/qubes-ip", m.Text(vm, "visible_ip"))
	e.add("/qubes-netmask", m.Text(vm, "visible_netmask"))
	e.add("/qubes-gateway", m.Text(vm, "visible_gateway"))
	e.add("/qubes-primary-dns", first)
	e.add("/qubes-secondary-dns", second)
	e.addSet("/qubes-ip6", m.Text(vm, "visible_ip6"))
	e.addSet("/qubes-gateway6", m.Text(vm, "visible_gateway6"))
}

func (m *Model) featureEntries(e *entries, vm *VM) {
	for _, f := range vm.features {
		if name, ok := strings.CutPrefix(f.Key, "vm-config."); ok {
			e.add("/vm-config/"+name, f.Value)
		}
		if name, ok := strings.CutPrefix(f.Key, "custom-persist."); ok {
			e.add("/persist/"+name, f.Value)
		}
	}
}

func (m *Model) displayEntries(e *entries, vm *VM) {
	for _, name := range []string{"gui-videoram-min", "gui-videoram-overhead"} {
		v, ok := m.FindFeature(vm, name)
		if !ok {
			v, ok = m.Dom0().Feature(name)
		}
		if ok {
			e.add("/qubes-"+name, v)
		}
	}
	if m.featureTrue(vm, "service.guivm") {
		prefix, ok := vm.Feature("guivm-windows-prefix")
		if !ok {
			prefix = "GuiVM"
		}
		e.add("/guivm-windows-prefix", prefix)
	}
}

// runningXID is the number of the domain that serves vm, "" when there is none.
func runningXID(server, vm *VM) string {
	if server == nil || server == vm || server.Class != qube.AdminVM && (server.Halted() || server.Run.XID == 0) {
		return ""
	}
	return strconv.FormatUint(uint64(server.Run.XID), 10)
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func (e entries) valid() []KV {
	return slices.DeleteFunc(e, func(kv KV) bool { return !wire.ValidKey(kv.Key) || !wire.ValidValue(kv.Value) })
}
