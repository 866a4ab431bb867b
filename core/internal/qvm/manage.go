package qvm

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
)

var createOptions = []option{{long: "class", short: 'C', value: true}, {long: "standalone"}, {long: "disp"}, {long: "property", value: true, many: true}, {long: "prop", value: true, many: true},
	{long: "pool", short: 'P', value: true}, {long: "template", short: 't', value: true}, {long: "label", short: 'l', value: true}, {long: "help-classes"}, {long: "no-root"}}

func create(ctx context.Context, t *tool) error {
	if t.has("help-classes") {
		b, err := t.c.Call(ctx, "admin.vmclass.List", string(qube.Dom0), "", nil)
		if err != nil {
			return err
		}
		for _, c := range adminapi.Lines(b) {
			t.say(c)
		}
		return nil
	}
	class := qube.AppVM
	switch {
	case t.has("class"):
		class = qube.Class(t.get("class"))
	case t.has("standalone"):
		class = qube.StandaloneVM
	case t.has("disp"):
		class = qube.DispVM
	}
	if len(t.args) != 1 {
		return usageError("VMNAME is mandatory")
	}
	name, err := qube.ParseName(t.args[0])
	if err != nil {
		return usageError(err.Error())
	}
	props := map[string]string{}
	for _, p := range append(t.list("property"), t.list("prop")...) {
		k, v, ok := strings.Cut(p, "=")
		if !ok {
			return usageError("invalid property: " + p)
		}
		props[k] = v
	}
	label, template := t.get("label"), t.get("template")
	if v, ok := props["label"]; ok {
		label = v
		delete(props, "label")
	}
	if v, ok := props["template"]; ok {
		template = v
		delete(props, "template")
	}
	if label == "" {
		return usageError("--label option is mandatory")
	}
	if err := t.makeVM(ctx, class, name, label, template); err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	for _, k := range slices.Sorted(maps.Keys(props)) {
		if err := setPref(ctx, t, string(name), k, props[k]); err != nil {
			return fmt.Errorf("setting property %s: %w", k, err)
		}
	}
	return nil
}

func (t *tool) makeVM(ctx context.Context, class qube.Class, name qube.Name, label, template string) error {
	if !t.has("pool") {
		return t.c.Create(ctx, class, name, label, template)
	}
	payload := fmt.Sprintf("name=%s label=%s pool=%s", name, label, t.get("pool"))
	_, err := t.c.Call(ctx, "admin.vm.CreateInPool."+string(class), string(qube.Dom0), template, []byte(payload))
	return err
}

func remove(ctx context.Context, t *tool) error {
	vms, err := t.selected(ctx, false)
	if err != nil {
		return err
	}
	if !t.has("force") {
		var names []string
		for _, v := range vms {
			names = append(names, string(v.Name))
		}
		fmt.Fprintf(t.Stdout, "This will completely remove the selected qube(s): %s\nAre you sure? [y/N] ", strings.Join(names, ", "))
		line, _ := bufio.NewReader(t.Stdin).ReadString('\n')
		if strings.TrimSpace(strings.ToLower(line)) != "y" {
			return exitStatus(exitError)
		}
	}
	return t.each(ctx, "Failed to remove", func(ctx context.Context, v adminclient.ListedVM) error { return t.c.Remove(ctx, string(v.Name)) })
}

// one gives the qube named by the first argument and the arguments after it.
func (t *tool) one(ctx context.Context) (string, []string, error) {
	if len(t.args) == 0 {
		return "", nil, usageError("the following arguments are required: VMNAME")
	}
	rest := t.args[1:]
	t.args = t.args[:1]
	vms, err := t.selected(ctx, false)
	if err != nil {
		return "", nil, err
	}
	return string(vms[0].Name), rest, nil
}

func features(ctx context.Context, t *tool) error {
	vm, args, err := t.one(ctx)
	if err != nil {
		return err
	}
	unset := t.has("unset") || t.has("default") || t.has("delete")
	switch {
	case len(args) > 2 || unset && len(args) != 1:
		return usageError("wrong number of arguments")
	case len(args) == 0:
		all, err := t.c.Features(ctx, vm)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, k := range slices.Sorted(maps.Keys(all)) {
			rows = append(rows, []string{k, all[k]})
		}
		if len(rows) > 0 {
			table(t, safe(rows))
		}
		return nil
	case unset:
		return t.c.RemoveFeature(ctx, vm, args[0])
	case len(args) == 2:
		return t.c.SetFeature(ctx, vm, args[0], args[1])
	}
	v, err := t.c.Feature(ctx, vm, args[0])
	if isKind(err, adminapi.FeatureNotFound) {
		return exitStatus(exitError)
	}
	if err == nil {
		t.say(v)
	}
	return err
}

func tags(ctx context.Context, t *tool) error {
	vm, args, err := t.one(ctx)
	if err != nil {
		return err
	}
	action := "list"
	if len(args) > 0 {
		action, args = args[0], args[1:]
	}
	method := ""
	switch action {
	case "list", "ls", "l":
		have, err := t.c.Tags(ctx, vm)
		if err != nil {
			return err
		}
		found := len(args) == 0
		for _, tag := range have {
			if len(args) == 0 || slices.Contains(args, tag) {
				found = true
				t.say(tag)
			}
		}
		if !found {
			return exitStatus(exitError)
		}
		return nil
	case "add", "a", "set":
		method = "admin.vm.tag.Set"
	case "del", "d", "unset", "u":
		method = "admin.vm.tag.Remove"
	default:
		return usageError("invalid action: " + action)
	}
	if len(args) == 0 {
		return usageError("the following arguments are required: TAG")
	}
	for _, tag := range args {
		if _, err := t.c.Call(ctx, method, vm, tag, nil); err != nil {
			return err
		}
	}
	return nil
}
