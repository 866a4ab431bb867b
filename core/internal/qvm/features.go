package qvm

import (
	"context"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
)

var serviceOptions = []option{sw("list,l", "list the services"), sw("enable,e", "start the service"), sw("disable,d", "do not start the service"), deleteOption}

func features(ctx context.Context, t *tool) error {
	v, args, err := t.one(ctx)
	if err != nil {
		return err
	}
	vm := string(v.Name)
	switch unset := t.has("default"); {
	case len(args) > 2 || unset && len(args) != 1:
		return usageError("wrong number of arguments")
	case len(args) == 0:
		all, err := t.c.Features(ctx, vm)
		if err != nil {
			return err
		}
		return t.pairs(sorted(all))
	case unset:
		return t.c.RemoveFeature(ctx, vm, args[0])
	case len(args) == 2:
		return t.c.SetFeature(ctx, vm, args[0], args[1])
	}
	value, err := t.c.Feature(ctx, vm, args[0])
	if isKind(err, adminapi.FeatureNotFound) {
		return exitStatus(exitError)
	}
	if err == nil {
		t.say(value)
	}
	return err
}

func sorted(m map[string]string) [][]string {
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, []string{k, m[k]})
	}
	return rows
}

// servicePrefix marks the features that are services.
const servicePrefix = "service."

func service(ctx context.Context, t *tool) error {
	v, args, err := t.one(ctx)
	if err != nil {
		return err
	}
	vm := string(v.Name)
	switching := t.has("enable") || t.has("disable") || t.has("default")
	switch {
	case len(args) > 2 || switching && len(args) != 1:
		return usageError("wrong number of arguments")
	case len(args) == 0 || t.has("list"):
		return t.services(ctx, vm)
	case t.has("default"):
		return t.c.RemoveFeature(ctx, vm, servicePrefix+args[0])
	case t.has("enable") || t.has("disable") || len(args) == 2:
		on := t.has("enable")
		if len(args) == 2 {
			if on, err = onOff(args[1]); err != nil {
				return err
			}
		}
		return t.c.SetFeature(ctx, vm, servicePrefix+args[0], map[bool]string{true: "1"}[on])
	}
	value, err := t.c.Feature(ctx, vm, servicePrefix+args[0])
	if isKind(err, adminapi.FeatureNotFound) {
		return exitStatus(exitError)
	}
	if err == nil {
		t.say(serviceState(value))
	}
	return err
}

func onOff(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "on", "1", "true", "yes":
		return true, nil
	case "off", "0", "false", "no", "":
		return false, nil
	}
	return false, usageError("value has to be on or off: '" + s + "'")
}

func serviceState(value string) string {
	if value == "" {
		return "off"
	}
	return "on"
}

func (t *tool) services(ctx context.Context, vm string) error {
	b, err := t.c.Call(ctx, "admin.vm.feature.List", vm, "", nil)
	if err != nil {
		return err
	}
	states := map[string]string{}
	for _, f := range adminapi.Lines(b) {
		name, ok := strings.CutPrefix(f, servicePrefix)
		if !ok {
			continue
		}
		value, err := t.feature(ctx, vm, f)
		if err != nil {
			return err
		}
		states[name] = serviceState(value)
	}
	return t.pairs(sorted(states))
}

func tagActions() []action {
	each := func(method string) func(context.Context, *tool, []string) error {
		return func(ctx context.Context, t *tool, args []string) error {
			if len(args) < 2 {
				return needed("TAG")
			}
			for _, tag := range args[1:] {
				if err := t.call(ctx, method, args[0], tag, ""); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []action{
		act("list,ls,l", "[TAG]", "List the tags, or tell by the exit status whether there is one.", listTags),
		act("add,a,set", "TAG…", "Add tags.", each("admin.vm.tag.Set")),
		act("del,d,unset,u", "TAG…", "Remove tags.", each("admin.vm.tag.Remove")),
	}
}

func listTags(ctx context.Context, t *tool, args []string) error {
	if len(args) > 2 {
		return usageError("only one TAG can be looked for")
	}
	if len(args) == 1 {
		have, err := t.c.Tags(ctx, args[0])
		if err != nil {
			return err
		}
		slices.Sort(have)
		return t.lines(have)
	}
	b, err := t.c.Call(ctx, "admin.vm.tag.Get", args[0], args[1], nil)
	if err != nil {
		return err
	}
	if string(b) != "1" {
		return exitStatus(exitError)
	}
	t.say(args[1])
	return nil
}
