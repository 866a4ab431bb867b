package uitest

import (
	"strconv"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Typical is a small system as a person might have it.
func Typical() map[string]*VM {
	out := map[string]*VM{"dom0": vm("AdminVM", "Running", "black", "", "", 0)}
	out["dom0"].MemKiB, out["dom0"].CPU = 1677721, 4
	out["debian-12"] = vm("TemplateVM", "Halted", "black", "", "", 400)
	out["default-dvm"] = vm("AppVM", "Halted", "red", "debian-12", "sys-firewall", 400)
	out["default-dvm"].Own["template_for_dispvms"] = adminapi.Property{Type: "bool", Value: "True"}
	out["sys-net"] = vm("AppVM", "Running", "red", "debian-12", "", 120)
	out["sys-firewall"] = vm("AppVM", "Running", "green", "debian-12", "sys-net", 110)
	out["work"] = vm("AppVM", "Running", "blue", "debian-12", "sys-firewall", 2048)
	out["work"].CPU = 11
	out["personal"] = vm("AppVM", "Running", "yellow", "debian-12", "sys-firewall", 1230)
	out["personal"].CPU = 3
	out["untrusted"] = vm("AppVM", "Halted", "red", "debian-12", "sys-firewall", 400)
	out["vault"] = vm("AppVM", "Halted", "black", "debian-12", "", 400)
	out["banking"] = vm("AppVM", "Paused", "green", "debian-12", "sys-firewall", 640)
	out["shopping"] = vm("AppVM", "Halted", "purple", "debian-12", "sys-firewall", 400)
	out["disp4711"] = vm("DispVM", "Running", "red", "default-dvm", "sys-firewall", 512)
	out["disp4711"].CPU = 1
	out["work"].Features = map[string]string{"service.cups": "1", "menu-items": "firefox-esr.desktop xterm.desktop"}
	out["work"].Tags = []string{"created-by-dom0", "office"}
	return out
}

// globals are the made-up system's own properties.
func globals() map[string]adminapi.Property {
	return map[string]adminapi.Property{
		"check_updates_vm": {Type: "bool", Value: "True", Default: true}, "clockvm": {Type: "vm", Default: true},
		"default_dispvm": {Type: "vm", Value: "default-dvm"}, "default_netvm": {Type: "vm", Value: "sys-firewall"},
		"default_qrexec_timeout": {Type: "int", Value: "60", Default: true}, "default_template": {Type: "vm", Value: "debian-12"},
	}
}

func vm(class, state, label, template, netvm string, mib int) *VM {
	str := func(v string) adminapi.Property { return adminapi.Property{Type: "str", Value: v, Default: true} }
	v := &VM{Class: class, State: state, MemKiB: uint64(mib) << 10, Features: map[string]string{}, Tags: []string{"created-by-dom0"},
		Own: map[string]adminapi.Property{"label": {Type: "label", Value: label}},
		Rest: map[string]adminapi.Property{
			"autostart": {Type: "bool", Value: "False", Default: true}, "debug": {Type: "bool", Value: "False", Default: true},
			"default_user": str("user"), "kernel": str("6.12"), "klass": str(class), "xid": {Type: "int", Value: "-1", Default: true},
			"include_in_backups": {Type: "bool", Value: "True", Default: true}, "ip": str("10.137.0.5"),
			"maxmem": {Type: "int", Value: "4000", Default: true}, "memory": {Type: "int", Value: strconv.Itoa(mib), Default: true},
			"qrexec_timeout": {Type: "int", Value: "60", Default: true}, "vcpus": {Type: "int", Value: "2", Default: true},
			"template_for_dispvms": {Type: "bool", Value: "False", Default: true}, "start_time": str(""),
		}}
	if template != "" {
		v.Own["template"] = adminapi.Property{Type: "vm", Value: template}
	}
	if class != string(qube.AdminVM) {
		v.Rest["netvm"] = adminapi.Property{Type: "vm", Value: netvm, Default: netvm != ""}
	}
	if v.Own["template_for_dispvms"].Value != "" {
		delete(v.Rest, "template_for_dispvms")
	}
	return v
}
