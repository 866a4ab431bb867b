package qvm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

var cloneOptions = with([]option{val("class,C", "CLASS", "class of the new qube"), sw("ignore-errors", "go on when a setting cannot be copied")}, placeOptions)

func clone(ctx context.Context, t *tool) error {
	v, rest, err := t.one(ctx)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return needed("NEWNAME")
	}
	name, err := qube.ParseName(rest[0])
	if err != nil {
		return usageError(err.Error())
	}
	class := v.Class
	if t.has("class") {
		class = qube.Class(t.get("class"))
	}
	return t.cloneOf(ctx, string(v.Name), newVM{class: class, name: name})
}

// own are properties a clone has for itself, or that were given when it was made.
var own = []string{"name", "qid", "uuid", "dispid", "label", "template", "installed_by_rpm"}

// cloneOf makes n like src: its properties, tags, features, notes, firewall and data. What
// n says goes before what src has. A clone that could not be completed is removed.
func (t *tool) cloneOf(ctx context.Context, src string, n newVM) (err error) {
	props, err := t.c.Properties(ctx, src)
	if err != nil {
		return err
	}
	if n.label == "" {
		n.label = props["label"].Value
	}
	if n.template == "" && n.class != qube.StandaloneVM && n.class != qube.TemplateVM {
		n.template = props["template"].Value
	}
	if err := t.make(ctx, n); err != nil {
		return err
	}
	dst := string(n.name)
	defer func() {
		if err != nil {
			err = errors.Join(err, t.c.Remove(context.WithoutCancel(ctx), dst))
		}
	}()
	for _, k := range slices.Sorted(maps.Keys(props)) {
		if props[k].Default || slices.Contains(own, k) {
			continue
		}
		if err := t.copied("property "+k, t.c.SetProperty(ctx, dst, k, props[k].Value)); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context, string, string) error{t.cloneTags, t.cloneFeatures, t.cloneNotes, t.cloneFirewall} {
		if err := step(ctx, src, dst); err != nil {
			return err
		}
	}
	return t.cloneVolumes(ctx, src, dst)
}

// copied decides whether a setting that was not copied stops the clone. A property the new
// class does not have never does.
func (t *tool) copied(what string, err error) error {
	switch {
	case err == nil || isKind(err, adminapi.NoSuchProperty):
		return nil
	case t.has("ignore-errors"):
		t.complain(fmt.Errorf("copying %s: %w", what, err))
		return nil
	}
	return fmt.Errorf("copying %s: %w", what, err)
}

func (t *tool) cloneTags(ctx context.Context, src, dst string) error {
	tags, err := t.c.Tags(ctx, src)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if strings.HasPrefix(tag, "created-by-") || strings.HasPrefix(tag, "disp-created-by-") {
			continue
		}
		if err := t.copied("tag "+tag, t.call(ctx, "admin.vm.tag.Set", dst, tag, "")); err != nil {
			return err
		}
	}
	return nil
}

// cloneFeatures keeps the order, which is that of their setting.
func (t *tool) cloneFeatures(ctx context.Context, src, dst string) error {
	b, err := t.c.Call(ctx, "admin.vm.feature.List", src, "", nil)
	if err != nil {
		return err
	}
	for _, f := range adminapi.Lines(b) {
		v, err := t.c.Feature(ctx, src, f)
		if err != nil {
			return err
		}
		if err := t.copied("feature "+f, t.c.SetFeature(ctx, dst, f, v)); err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) cloneNotes(ctx context.Context, src, dst string) error {
	text, err := t.c.Call(ctx, "admin.vm.notes.Get", src, "", nil)
	if err != nil || len(text) == 0 {
		return t.copied("notes", err)
	}
	return t.copied("notes", t.call(ctx, "admin.vm.notes.Set", dst, "", string(text)))
}

func (t *tool) cloneFirewall(ctx context.Context, src, dst string) error {
	rules, err := t.rules(ctx, src)
	if err != nil {
		return t.copied("firewall", err)
	}
	return t.copied("firewall", t.setRules(ctx, dst, rules))
}

// cloneVolumes copies the volumes that are kept when a qube stops.
func (t *tool) cloneVolumes(ctx context.Context, src, dst string) error {
	b, err := t.c.Call(ctx, "admin.vm.volume.List", dst, "", nil)
	if err != nil {
		return err
	}
	for _, name := range adminapi.Lines(b) {
		b, err := t.c.Call(ctx, "admin.vm.volume.Info", dst, name, nil)
		if err != nil {
			return err
		}
		if adminapi.KeyValues(b, "\n")["save_on_stop"] != "True" {
			continue
		}
		if err := t.cloneVolume(ctx, src, name, dst, name); err != nil {
			return fmt.Errorf("copying volume %s: %w", name, err)
		}
	}
	return nil
}

func (t *tool) cloneVolume(ctx context.Context, src, from, dst, to string) error {
	token, err := t.c.Call(ctx, "admin.vm.volume.CloneFrom", src, from, nil)
	if err != nil {
		return err
	}
	return t.call(ctx, "admin.vm.volume.CloneTo", dst, to, string(token))
}
