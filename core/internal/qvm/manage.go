package qvm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
)

var createOptions = with([]option{
	val("class,C", "CLASS", "class of the qube; AppVM when not said"), sw("standalone", "class StandaloneVM"), sw("disp", "class DispVM"),
	many(val("property,prop", "NAME=VALUE", "set a property")), val("template,t", "VM", "template of the qube"), val("label,l", "LABEL", "label of the qube"),
	val("root-copy-from,r", "FILE", "contents of the root volume"), val("root-move-from,R", "FILE", "the same; FILE is removed afterwards"),
	sw("no-root", "ignored"), sw("help-classes", "list the classes"),
}, placeOptions)

// placeOptions say where volumes go.
var placeOptions = []option{val("pool,P", "POOL", "pool of all volumes"), many(val("volume-pool,p", "VOLUME=POOL", "pool of one volume"))}

func create(ctx context.Context, t *tool) error {
	if t.has("help-classes") {
		b, err := t.c.Call(ctx, "admin.vmclass.List", string(qube.Dom0), "", nil)
		if err != nil {
			return err
		}
		classes := adminapi.Lines(b)
		slices.Sort(classes)
		return t.lines(classes)
	}
	if len(t.args) != 1 {
		return usageError("VMNAME is mandatory")
	}
	name, err := qube.ParseName(t.args[0])
	if err != nil {
		return usageError(err.Error())
	}
	props, err := keyValues("property", t.list("property"))
	if err != nil {
		return err
	}
	props["label"] = cmp.Or(props["label"], t.get("label"))
	props["template"] = cmp.Or(props["template"], t.get("template"))
	if err := t.knownLabel(ctx, props["label"]); err != nil {
		return err
	}
	n := newVM{class: t.class(), name: name, label: props["label"], template: props["template"]}
	delete(props, "label")
	delete(props, "template")
	if n.class == qube.StandaloneVM && n.template != "" {
		n.template = ""
		err = t.cloneOf(ctx, cmp.Or(t.get("template"), props["template"]), n)
	} else {
		err = t.make(ctx, n)
	}
	if err != nil {
		return err
	}
	return t.finish(ctx, string(name), props)
}

func (t *tool) class() qube.Class {
	switch {
	case t.has("class"):
		return qube.Class(t.get("class"))
	case t.has("standalone"):
		return qube.StandaloneVM
	case t.has("disp"):
		return qube.DispVM
	}
	return qube.AppVM
}

// keyValues reads "NAME=VALUE" values of a switch.
func keyValues(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, usageError("argument --" + flag + ": invalid value: '" + kv + "' (NAME=VALUE expected)")
		}
		out[k] = v
	}
	return out, nil
}

func (t *tool) knownLabel(ctx context.Context, label string) error {
	b, err := t.c.Call(ctx, "admin.label.List", string(qube.Dom0), "", nil)
	if err != nil {
		return err
	}
	labels := adminapi.Lines(b)
	switch {
	case label == "":
		return usageError("--label option is mandatory")
	case !slices.Contains(labels, label):
		return usageError(fmt.Sprintf("no such label: '%s'; available: %s", label, strings.Join(labels, ", ")))
	}
	return nil
}

// newVM is what a qube is made of.
type newVM struct {
	class           qube.Class
	name            qube.Name
	label, template string
}

// make makes an empty qube where --pool and --volume-pool say.
func (t *tool) make(ctx context.Context, n newVM) error {
	pools, err := keyValues("volume-pool", t.list("volume-pool"))
	if err != nil {
		return err
	}
	if t.has("pool") && len(pools) > 0 {
		return usageError("--pool and --volume-pool do not go together")
	}
	if !t.has("pool") && len(pools) == 0 {
		return t.c.Create(ctx, n.class, n.name, n.label, n.template)
	}
	payload := fmt.Sprintf("name=%s label=%s", n.name, n.label)
	if t.has("pool") {
		payload += " pool=" + t.get("pool")
	}
	for _, v := range slices.Sorted(maps.Keys(pools)) {
		payload += " pool:" + v + "=" + pools[v]
	}
	return t.call(ctx, "admin.vm.CreateInPool."+string(n.class), string(qube.Dom0), n.template, payload)
}

// finish sets properties and fills the root volume. A qube that cannot be finished stays:
// what is wrong with it can be put right.
func (t *tool) finish(ctx context.Context, vm string, props map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(props)) {
		if err := t.c.SetProperty(ctx, vm, k, noneAsEmpty(props[k])); err != nil {
			return fmt.Errorf("setting property %s: %w", k, err)
		}
	}
	file := cmp.Or(t.get("root-copy-from"), t.get("root-move-from"))
	if file == "" {
		return nil
	}
	if err := t.importFile(ctx, vm, "root", file, true); err != nil {
		return err
	}
	if t.has("root-move-from") {
		return os.Remove(file)
	}
	return nil
}

func remove(ctx context.Context, t *tool) error {
	vms, err := t.selected(ctx, false)
	if err != nil {
		return err
	}
	var names []string
	for _, v := range vms {
		names = append(names, string(v.Name))
	}
	if err := t.confirm("This removes these qubes and all their data: " + strings.Join(names, ", ")); err != nil {
		return err
	}
	failed := false
	for _, v := range vms {
		if err := t.c.Remove(ctx, string(v.Name)); err != nil {
			failed = true
			t.complain(err)
		}
	}
	if failed {
		return exitStatus(exitError)
	}
	return nil
}

// events prints events until it is interrupted.
func events(ctx context.Context, t *tool) error {
	method, dest := "admin.Events", string(qube.Dom0)
	if t.has("stats") {
		method = "admin.vm.Stats"
	}
	if len(t.args) > 0 {
		v, rest, err := t.one(ctx)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return usageError("only one VM can be watched")
		}
		dest = string(v.Name)
	}
	s, err := t.c.Subscribe(ctx, method, dest)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		e, err := s.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watching events: %w", err)
		}
		if t.has("event") && !slices.Contains(t.list("event"), e.Name) {
			continue
		}
		if err := t.event(e); err != nil {
			return err
		}
		if t.has("once") {
			return nil
		}
	}
}

var eventOptions = []option{many(val("event,e", "NAME", "only events of this name")), sw("stats", "memory and processor use instead"), sw("once", "end after one event")}

func (t *tool) event(e adminclient.Event) error {
	args := map[string]string{}
	cells := []string{cmp.Or(e.Subject, "-"), e.Name}
	for _, a := range e.Args {
		args[a.Key] = a.Value
		cells = append(cells, a.Key+"="+a.Value)
	}
	return t.show(map[string]any{"subject": e.Subject, "event": e.Name, "args": args}, func() { t.pad([][]string{cells}) })
}
