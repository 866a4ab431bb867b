package qvm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/safetext"
)

var prefsOptions = []option{{long: "get", short: 'g'}, {long: "set", short: 's'}, {long: "default", short: 'D'}, {long: "unset"}, {long: "delete"}, {long: "hide-default"}, {long: "help-properties"}}

func vmPrefs(ctx context.Context, t *tool) error {
	if len(t.args) == 0 {
		return usageError("the following arguments are required: VMNAME")
	}
	rest := t.args[1:]
	t.args = t.args[:1]
	vms, err := t.selected(ctx, false)
	if err != nil {
		return err
	}
	return prefs(ctx, t, string(vms[0].Name), rest)
}

func systemPrefs(ctx context.Context, t *tool) error { return prefs(ctx, t, "", t.args) }

// prefs works on the qube vm, or on the system when it is "".
func prefs(ctx context.Context, t *tool, vm string, args []string) error {
	reset := t.has("default") || t.has("unset") || t.has("delete")
	err := error(nil)
	switch {
	case len(args) > 2 || reset && len(args) != 1 || t.has("set") && len(args) != 2 || t.has("get") && len(args) != 1:
		return usageError("wrong number of arguments")
	case len(args) == 0:
		return listPrefs(ctx, t, vm)
	case reset:
		err = t.c.ResetProperty(ctx, vm, args[0])
	case len(args) == 1:
		p, gerr := t.c.Property(ctx, vm, args[0])
		if err = gerr; err == nil {
			t.say(p.Value)
		}
	default:
		err = setPref(ctx, t, vm, args[0], args[1])
	}
	if isKind(err, adminapi.NoSuchProperty) {
		return usageError(fmt.Sprintf("no such property: '%s'", args[0]))
	}
	return err
}

// setPref writes a value; "none" for a property that refers to a qube is no qube.
func setPref(ctx context.Context, t *tool, vm, name, value string) error {
	if strings.EqualFold(value, "none") {
		p, err := t.c.Property(ctx, vm, name)
		if err != nil {
			return err
		}
		if p.Type == "vm" {
			value = ""
		}
	}
	return t.c.SetProperty(ctx, vm, name, value)
}

func listPrefs(ctx context.Context, t *tool, vm string) error {
	props, err := t.c.Properties(ctx, vm)
	if err != nil {
		return err
	}
	width := 0
	for n := range props {
		width = max(width, len(n))
	}
	for _, n := range slices.Sorted(maps.Keys(props)) {
		p := props[n]
		mark := "-"
		switch {
		case p.Default && p.Value == "" && p.Type != "str" && p.Type != "vm":
			mark = "U"
		case p.Default:
			mark = "D"
		}
		if mark == "D" && t.has("hide-default") {
			continue
		}
		line := fmt.Sprintf("%-*s  %s", width, safetext.Line(n, 64), mark)
		if mark != "U" {
			line += "  " + safetext.Line(p.Value, maxMessage)
		}
		fmt.Fprintln(t.Stdout, line)
	}
	return nil
}
