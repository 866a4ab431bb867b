package qvm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/safetext"
)

var prefsOptions = []option{
	sw("get,g", "show a property"), sw("set,s", "set a property"), deleteOption,
	sw("hide-default", "leave out what has its default"), sw("help-properties", "explain the properties"),
}

func vmPrefs(ctx context.Context, t *tool) error {
	if t.has("help-properties") && len(t.args) == 0 {
		return t.helpProperties(ctx, "dom0") // dom0 stands for any
	}
	v, rest, err := t.one(ctx)
	if err != nil {
		return err
	}
	if t.has("help-properties") {
		return t.helpProperties(ctx, string(v.Name))
	}
	return prefs(ctx, t, string(v.Name), rest)
}

func systemPrefs(ctx context.Context, t *tool) error {
	if t.has("help-properties") {
		return t.helpProperties(ctx, "")
	}
	return prefs(ctx, t, "", t.args)
}

// helpProperties prints what qubesd says about each property.
func (t *tool) helpProperties(ctx context.Context, vm string) error {
	method, dest := "admin.vm.property.", vm
	if vm == "" {
		method, dest = "admin.property.", "dom0"
	}
	b, err := t.c.Call(ctx, method+"List", dest, "", nil)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, name := range adminapi.Lines(b) {
		help, err := t.c.Call(ctx, method+"Help", dest, name, nil)
		if err != nil {
			return err
		}
		rows = append(rows, []string{name, strings.Join(strings.Fields(string(help)), " ")})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return t.pairs(rows)
}

// prefs works on the qube vm, or on the system when it is "".
func prefs(ctx context.Context, t *tool, vm string, args []string) error {
	reset := t.has("default")
	err := error(nil)
	switch {
	case len(args) > 2 || reset && len(args) != 1 || t.has("set") && len(args) != 2 || t.has("get") && len(args) != 1:
		return usageError("wrong number of arguments")
	case len(args) == 0:
		return listPrefs(ctx, t, vm)
	case reset:
		err = t.c.ResetProperty(ctx, vm, args[0])
	case len(args) == 1:
		var p adminclient.Property
		if p, err = t.c.Property(ctx, vm, args[0]); err == nil {
			t.say(p.Value)
		}
	default:
		err = t.c.SetProperty(ctx, vm, args[0], noneAsEmpty(args[1]))
	}
	if isKind(err, adminapi.NoSuchProperty) {
		return usageError(fmt.Sprintf("no such property: '%s'", args[0]))
	}
	return err
}

// noneAsEmpty is how a value is sent: "none" is no value at all.
func noneAsEmpty(s string) string {
	if strings.EqualFold(s, "none") {
		return ""
	}
	return s
}

func listPrefs(ctx context.Context, t *tool, vm string) error {
	props, err := t.c.Properties(ctx, vm)
	if err != nil {
		return err
	}
	type pref struct {
		Name    string `json:"name"`
		Type    string `json:"type"`
		Default bool   `json:"default"`
		Value   string `json:"value"`
		mark    string
	}
	out := []pref{}
	width := 0
	for _, n := range slices.Sorted(maps.Keys(props)) {
		p := pref{n, props[n].Type, props[n].Default, props[n].Value, "-"}
		switch {
		case p.Default && p.Value == "" && p.Type != "str" && p.Type != "vm":
			p.mark = "U"
		case p.Default && t.has("hide-default"):
			continue
		case p.Default:
			p.mark = "D"
		}
		out = append(out, p)
	}
	for n := range props {
		width = max(width, len(n))
	}
	return t.show(out, func() {
		for _, p := range out {
			line := fmt.Sprintf("%-*s  %s", width, safetext.Line(p.Name, 64), p.mark)
			if p.mark != "U" {
				line += "  " + safetext.Line(p.Value, maxMessage)
			}
			fmt.Fprintln(t.Stdout, line)
		}
	})
}
