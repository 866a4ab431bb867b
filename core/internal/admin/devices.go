package admin

import (
	"context"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminapi/device"
	"qubist/core/internal/domain"
)

// deviceMethods are admin.deviceclass.List and, for each class, admin.vm.device.CLASS.*.
func deviceMethods() []Method {
	out := []Method{
		{Name: "admin.deviceclass.List", Dest: onDom0, Arg: no, Payload: no, Scope: "global", Flags: "R", Read: func(*domain.Model, *Call) ([]byte, error) {
			return []byte(strings.Join(domain.DeviceClasses, "\n") + "\n"), nil
		}},
		{Name: "admin.vm.device.denied.List", Dest: anywhere, Arg: no, Payload: no, Scope: "local", Flags: "R", Read: func(m *domain.Model, c *Call) ([]byte, error) {
			codes, err := domain.DeniedCodes(m.Text(c.dest(m), "devices_denied"))
			return []byte(strings.Join(codes, "\n")), err
		}},
		{Name: "admin.vm.device.denied.Add", Dest: anywhere, Arg: no, Payload: maybe, Scope: "local", Flags: "RW", Write: deniedAdd},
		{Name: "admin.vm.device.denied.Remove", Dest: anywhere, Arg: no, Payload: maybe, Scope: "local", Flags: "RW", Write: deniedRemove},
	}
	for _, class := range domain.DeviceClasses {
		out = append(out, deviceClass(class)...)
	}
	return out
}

func deviceClass(class string) []Method {
	row := func(verb string, arg, payload need, flags string) Method {
		return Method{Name: "admin.vm.device." + class + "." + verb, Dest: anywhere, Arg: arg, Payload: payload, Scope: "local", Flags: flags}
	}
	available, assigned, attached := row("Available", maybe, no, "R"), row("Assigned", maybe, no, "R"), row("Attached", maybe, no, "R")
	assign, unassign, set := row("Assign", must, must, "RW"), row("Unassign", must, no, "RW"), row("Set.assignment", must, must, "RW")
	attach, detach := row("Attach", must, maybe, "RX"), row("Detach", must, no, "RX")
	available.Do = func(ctx context.Context, c *Call) ([]byte, error) { return listAvailable(ctx, c, class) }
	assigned.Read = func(m *domain.Model, c *Call) ([]byte, error) {
		return listAssignments(c, c.dest(m).Assignments(class))
	}
	attached.Read = func(m *domain.Model, c *Call) ([]byte, error) {
		list := slices.DeleteFunc(slices.Clone(c.dest(m).Run.Attached), func(a device.Assignment) bool { return a.Class != class })
		return listAssignments(c, list)
	}
	assign.Write = func(m *domain.Model, c *Call) ([]byte, error) {
		a, err := parseAssignment(class, c)
		if err != nil {
			return nil, err
		}
		return nil, m.Assign(c.dest(m), a)
	}
	set.Write = func(m *domain.Model, c *Call) ([]byte, error) {
		id, err := parseID(c)
		if err != nil {
			return nil, err
		}
		if !device.Mode(string(c.Payload)) {
			return nil, adminapi.Errorf(adminapi.AssignmentMode, "Invalid assignment mode")
		}
		return nil, m.SetAssignment(c.dest(m), class, id, string(c.Payload))
	}
	unassign.Write = func(m *domain.Model, c *Call) ([]byte, error) {
		id, err := parseID(c)
		if err != nil {
			return nil, err
		}
		return nil, m.Unassign(c.dest(m), class, id)
	}
	attach.Do = func(ctx context.Context, c *Call) ([]byte, error) {
		a, err := parseAssignment(class, c)
		if err != nil {
			return nil, err
		}
		return nil, c.api.Sys.Attach(ctx, c.Dest, a)
	}
	detach.Do = func(ctx context.Context, c *Call) ([]byte, error) {
		id, err := parseID(c)
		if err != nil {
			return nil, err
		}
		return nil, c.api.Sys.Detach(ctx, c.Dest, class, id)
	}
	return []Method{available, assigned, attached, assign, unassign, set, attach, detach}
}

func parseID(c *Call) (device.ID, error) {
	id, err := device.ParseID(c.Arg)
	if err != nil {
		return id, protocolError("%v", err)
	}
	return id, nil
}

func parseAssignment(class string, c *Call) (device.Assignment, error) {
	a, err := device.ParseAssignment(class, c.Arg, c.Payload)
	if err != nil {
		return a, protocolError("%v", err)
	}
	return a, nil
}

func listAvailable(ctx context.Context, c *Call, class string) ([]byte, error) {
	list, err := c.api.Sys.Devices(ctx, c.Dest, class)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, d := range list {
		if c.Arg == "" || c.Arg == d.Port {
			lines = append(lines, string(d.Append(nil))+"\n")
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "")), nil
}

// listAssignments writes those the argument names, if any, sorted.
func listAssignments(c *Call, list []device.Assignment) ([]byte, error) {
	pattern := device.ID{Backend: device.Any, Port: device.Any, Device: device.Any}
	if c.Arg != "" {
		var err error
		if pattern, err = parseID(c); err != nil {
			return nil, err
		}
	}
	var lines []string
	for _, a := range list {
		if a.Matches(pattern) {
			lines = append(lines, string(a.Append(nil))+"\n")
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "")), nil
}

// setDenied stores codes unless they are what is there.
func setDenied(m *domain.Model, c *Call, old, codes []string) error {
	if slices.Equal(old, codes) {
		return nil
	}
	d, err := m.Def(c.dest(m), "devices_denied")
	if err != nil {
		return err
	}
	return m.SetValue(c.dest(m), d, domain.TextValue(strings.Join(codes, "")))
}

// deniedCodes are the payload's codes and the present ones.
func deniedCodes(m *domain.Model, c *Call) (given, old []string, err error) {
	if _, err = m.Def(c.dest(m), "devices_denied"); err != nil {
		return nil, nil, err
	}
	if given, err = domain.DeniedCodes(string(c.Payload)); err != nil {
		return nil, nil, err
	}
	sorted := slices.Sorted(slices.Values(given))
	if len(slices.Compact(sorted)) != len(given) {
		return nil, nil, protocolError("Duplicated device interfaces in payload.")
	}
	old, err = domain.DeniedCodes(m.Text(c.dest(m), "devices_denied"))
	return given, old, err
}

func deniedAdd(m *domain.Model, c *Call) ([]byte, error) {
	given, old, err := deniedCodes(m, c)
	if err != nil {
		return nil, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(old, given)))
	return nil, setDenied(m, c, old, slices.Compact(all))
}

func deniedRemove(m *domain.Model, c *Call) ([]byte, error) {
	if string(c.Payload) == "all" {
		c.Payload = []byte(m.Text(c.dest(m), "devices_denied"))
	}
	given, old, err := deniedCodes(m, c)
	if err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(slices.Clone(old), func(s string) bool { return slices.Contains(given, s) })
	return nil, setDenied(m, c, old, left)
}
