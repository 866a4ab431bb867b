package domain

import (
	"slices"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Sets of classes in the table.
const (
	allVMs  = "APTSDR"
	qubesVM = "PTSD" // have volumes, a kernel, a network
	hasDisp = "PS"   // may be templates of disposables
)

// basicProperties are who a qube is and how it is shown (spec core.md §3).
func basicProperties() []*Def {
	return []*Def{
		{Name: "name", Type: "str", Classes: allVMs, Doc: "Name of the qube.", Fixed: true, Field: func(vm *VM) Value { return TextValue(string(vm.Name)) }},
		{Name: "qid", Type: "int", Classes: allVMs, Doc: "Number of the qube in this system.", Fixed: true, Field: func(vm *VM) Value { return IntValue(int64(vm.QID)) }},
		{Name: "uuid", Type: "str", Classes: allVMs, Doc: "Identity of the qube.", Fixed: true, Parse: parseUUID, Field: func(vm *VM) Value { return TextValue(vm.UUID) }},
		{Name: "dispid", Type: "int", Classes: "D", Doc: "Number of the disposable.", Fixed: true, Field: func(vm *VM) Value { return IntValue(int64(vm.DispID)) }},
		{Name: "klass", Type: "str", Classes: allVMs, Doc: "Class of the qube.", ReadOnly: true, Default: func(_ *Model, vm *VM) (Value, bool) { return TextValue(string(vm.Class)), true }},
		{Name: "label", Type: "label", Classes: allVMs, Doc: "Colour that shows how far the qube is trusted.", NoReset: true,
			OnSet: func(m *Model, vm *VM, _, _ Value) {
				if vm.Local() {
					m.announce(vm, "icon")
				}
			}},
		{Name: "icon", Type: "str", Classes: allVMs, Doc: "Name of the qube's icon.", ReadOnly: true, Default: func(m *Model, vm *VM) (Value, bool) { return TextValue(m.icon(vm)), true }},
		{Name: "autostart", Type: "bool", Classes: qubesVM, Doc: "Start the qube when the system starts.", Default: fixed(BoolValue(false))},
		{Name: "auto_cleanup", Type: "bool", Classes: "D", Doc: "Remove the disposable when it stops.", Default: fixed(BoolValue(false))},
		{Name: "is_preload", Type: "bool", Classes: "D", Doc: "Whether the disposable waits to be used.", ReadOnly: true, Default: func(m *Model, vm *VM) (Value, bool) {
			return BoolValue(m.IsPreload(vm)), true
		}},
		{Name: "backup_timestamp", Type: "int", Classes: qubesVM, Doc: "Time of the last backup, in seconds since 1970.", Default: fixed(Value{})},
		{Name: "include_in_backups", Type: "bool", Classes: allVMs, Doc: "Whether backups include the qube by default.", Default: func(m *Model, vm *VM) (Value, bool) {
			return BoolValue(vm.Class != qube.RemoteVM && !(vm.Class == qube.DispVM && m.Truth(vm, "auto_cleanup"))), true
		}},
		{Name: "installed_by_rpm", Type: "bool", Classes: qubesVM, Doc: "Whether a package owns the qube.", Default: fixed(BoolValue(false))},
		{Name: "updateable", Type: "bool", Classes: "A" + qubesVM, Doc: "Whether software can be installed in the qube.", ReadOnly: true, Default: func(m *Model, vm *VM) (Value, bool) {
			return BoolValue(m.Ref(vm, "template") == nil), true
		}},
		{Name: "default_user", Type: "str", Classes: qubesVM, Doc: "User that commands run as.", Inherit: true, Default: fixed(TextValue("user")), Check: checkUser},
		{Name: "keyboard_layout", Type: "str", Classes: "A" + qubesVM, Doc: "Keyboard layout, variant and options, joined with '+'.", Check: checkKeyboard, Default: keyboardDefault},
		{Name: "devices_denied", Type: "str", Classes: "A" + qubesVM, Doc: "Device interfaces that must not be attached.", Default: fixed(TextValue("")), Parse: parseDenied},
		{Name: "template_for_dispvms", Type: "bool", Classes: hasDisp, Doc: "Whether disposables can be made of the qube.", Default: fixed(BoolValue(false)), PreSet: keepDispTemplate,
			PreDel: func(m *Model, vm *VM, old, def Value) error { return keepDispTemplate(m, vm, def, old) },
			OnSet:  func(m *Model, vm *VM, _, _ Value) { m.announce(vm, "icon") }},
		{Name: "transport_rpc", Type: "str", Classes: "R", Doc: "Service that carries calls to the remote qube.", Default: fixed(Value{})},
		{Name: "remote_name", Type: "str", Classes: "R", Doc: "Name of the qube on the remote system.", Default: fixed(Value{})},
	}
}

func (m *Model) icon(vm *VM) string {
	kind := "appvm"
	switch {
	case vm.Class == qube.AdminVM:
		kind = "adminvm"
	case vm.Class == qube.TemplateVM, vm.Class != qube.DispVM && m.Truth(vm, "template_for_dispvms"):
		kind = "templatevm"
	case vm.Class == qube.RemoteVM:
		kind = "remotevm"
	case m.featureTrue(vm, "servicevm"):
		kind = "servicevm"
	case vm.Class == qube.DispVM:
		kind = "dispvm"
	case vm.Class == qube.StandaloneVM:
		kind = "standalonevm"
	}
	return kind + "-" + m.Label(vm).Name
}

const userChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+,."

func checkUser(_ *Model, _ *VM, v Value) (Value, error) {
	if strings.Trim(v.S, userChars) != "" || strings.ContainsFunc(v.S, func(r rune) bool { return !strings.ContainsRune(userChars, r) }) {
		return v, adminapi.Errorf(adminapi.PropertyValue, "Username can contain only those characters: %s", userChars)
	}
	return v, nil
}

func keyboardDefault(m *Model, vm *VM) (Value, bool) {
	if g := m.Ref(vm, "guivm"); g != nil && g != vm {
		if v, ok := m.Value(g, "keyboard_layout"); ok {
			return v, true
		}
	}
	return TextValue("us++"), true
}

func checkKeyboard(_ *Model, _ *VM, v Value) (Value, error) {
	bad := func(s string) (Value, error) { return v, adminapi.Errorf(adminapi.PropertyValue, "%s", s) }
	parts := strings.Split(v.S, "+")
	if len(parts) != 3 {
		return bad("invalid number of keyboard layout parameters")
	}
	letter := func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }
	word := func(r rune) bool { return letter(r) || r >= '0' && r <= '9' || r == '-' || r == '_' }
	not := func(s string, ok func(rune) bool) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return !ok(r) })
	}
	switch {
	case parts[0] == "" || not(parts[0], letter):
		return bad("Invalid keyboard layout provided")
	case not(parts[1], word):
		return bad("Invalid layout variant provided")
	case not(parts[2], func(r rune) bool { return word(r) || r == ':' || r == ',' }):
		return bad("Invalid layout options provided")
	}
	return v, nil
}

// interfaceLen is the length of one device interface code.
const interfaceLen = 7

func parseDenied(s string) (Value, error) {
	codes, err := DeniedCodes(s)
	if err != nil {
		return Value{}, err
	}
	slices.Sort(codes)
	return TextValue(strings.Join(slices.Compact(codes), "")), nil
}

// DeniedCodes splits and checks a run of device interface codes.
func DeniedCodes(s string) ([]string, error) {
	if len(s)%interfaceLen != 0 {
		return nil, adminapi.Errorf(adminapi.ValueError, "Invalid length of interfaces='%s' (is %d, expected multiple of %d)", s, len(s), interfaceLen)
	}
	var out []string
	for i := 0; i < len(s); i += interfaceLen {
		code := s[i : i+interfaceLen]
		if strings.IndexByte("bump*", code[0]) < 0 || strings.Trim(code[1:], "0123456789abcdef*") != "" {
			return nil, adminapi.Errorf(adminapi.PropertyValue, "Interface code list should be in the form chhhhhhchhhhhh...,where c is one of \"b\", \"u\", \"m\", \"p\", \"*\" and h is a hexdigit or \"*\".")
		}
		out = append(out, code)
	}
	return out, nil
}

// keepDispTemplate refuses to take the flag from a disposable template in use.
func keepDispTemplate(m *Model, vm *VM, v, _ Value) error {
	if v.B {
		return nil
	}
	var system, users []string
	for _, p := range []string{"default_dispvm", "management_dispvm"} {
		if m.Ref(nil, p) == vm {
			system = append(system, p)
		}
	}
	if len(system) > 0 {
		return adminapi.Errorf(adminapi.VMInUse, "Cannot change template_for_dispvms to False while it is in use by the system by any of these properties: %s", strings.Join(system, ", "))
	}
	for _, o := range m.VMs() {
		if m.IsPreload(o) { // they go
			continue
		}
		for _, p := range []string{"default_dispvm", "management_dispvm", "template"} {
			if e, ok := o.props[p]; ok && m.ref(e) == vm {
				users = append(users, string(o.Name))
				break
			}
		}
	}
	if len(users) > 0 {
		return adminapi.Errorf(adminapi.VMInUse, "Cannot change template_for_dispvms to False while it is in use by these qubes: %s", strings.Join(users, ", "))
	}
	return nil
}

func positive(name string) func(*Model, *VM, Value) (Value, error) {
	return func(_ *Model, _ *VM, v Value) (Value, error) {
		if v.N <= 0 {
			return v, adminapi.Errorf(adminapi.PropertyValue, "%s must be positive", name)
		}
		return v, nil
	}
}

// runtimeProperties say what runs now.
func runtimeProperties() []*Def {
	return []*Def{
		{Name: "xid", Type: "int", Classes: qubesVM, Doc: "Number of the running domain, -1 when there is none.", ReadOnly: true, Default: func(_ *Model, vm *VM) (Value, bool) {
			if vm.Run.XID == 0 {
				return IntValue(-1), true
			}
			return IntValue(int64(vm.Run.XID)), true
		}},
		{Name: "stubdom_xid", Type: "int", Classes: qubesVM, Doc: "Number of the domain that emulates devices, -1 when there is none.", ReadOnly: true, Default: fixed(IntValue(-1))},
		{Name: "stubdom_uuid", Type: "str", Classes: qubesVM, Doc: "Identity of the domain that emulates devices.", ReadOnly: true, Default: fixed(TextValue(""))},
		{Name: "start_time", Type: "str", Classes: qubesVM, Doc: "When the qube was started, in seconds since 1970.", ReadOnly: true, Default: func(_ *Model, vm *VM) (Value, bool) {
			if vm.Halted() || vm.Run.Since.IsZero() {
				return Value{}, true
			}
			return TextValue(strconv.FormatFloat(float64(vm.Run.Since.UnixMilli())/1000, 'f', 3, 64)), true
		}},
	}
}
