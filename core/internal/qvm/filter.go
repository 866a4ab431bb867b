package qvm

import (
	"context"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

var filterOptions = []option{
	many(val("class", "CLASS,…", "qubes of these classes")), many(val("label", "LABEL,…", "qubes with these labels")),
	many(val("tags", "TAG,…", "qubes with one of these tags")), many(val("exclude-tags", "TAG,…", "qubes with none of these tags")),
	sw("running", "running qubes"), sw("paused", "paused qubes"), sw("halted", "halted qubes"),
	many(val("template-source", "VM,…", "qubes made of these templates")), many(val("netvm-is", "VM,…", "clients of these network qubes")),
	val("internal", "y|n", "qubes with feature internal, or without"), val("servicevm", "y|n", "qubes with feature servicevm, or without"),
	sw("pending-update", "qubes with updates available"),
	many(val("features", "FEATURE=VALUE", "qubes with such a feature")), many(val("prefs", "PROPERTY=VALUE", "qubes with such a property")),
}

// filtered drops rows that the switches exclude. What the list of qubes tells is looked at
// first, then tags, then features, then properties, so that little is asked.
func (t *tool) filtered(ctx context.Context, rows []*row) ([]*row, error) {
	if err := t.checkFilters(); err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { return !t.listedAs(r) })
	for _, step := range []struct {
		wanted bool
		keep   func(context.Context, *row) (bool, error)
	}{
		{t.has("tags") || t.has("exclude-tags"), t.tagged},
		{t.has("internal") || t.has("servicevm") || t.has("pending-update") || t.has("features"), t.featured},
		{t.has("label") || t.has("template-source") || t.has("netvm-is") || t.has("prefs"), t.set},
	} {
		if !step.wanted {
			continue
		}
		keep := make(map[*row]bool, len(rows))
		answers := make([]bool, len(rows))
		index := map[*row]int{}
		for i, r := range rows {
			index[r] = i
		}
		if err := eachRow(ctx, rows, func(ctx context.Context, r *row) (err error) {
			answers[index[r]], err = step.keep(ctx, r)
			return err
		}); err != nil {
			return nil, err
		}
		for i, r := range rows {
			keep[r] = answers[i]
		}
		rows = slices.DeleteFunc(rows, func(r *row) bool { return !keep[r] })
	}
	return rows, nil
}

func (t *tool) checkFilters() error {
	for _, name := range []string{"internal", "servicevm"} {
		if v := t.get(name); t.has(name) && v != "y" && v != "n" {
			return usageError("argument --" + name + ": invalid choice: '" + v + "' (choose from 'y', 'n')")
		}
	}
	for _, name := range []string{"features", "prefs"} {
		for _, kv := range t.list(name) {
			if !strings.Contains(kv, "=") {
				return usageError("argument --" + name + ": NAME=VALUE expected: '" + kv + "'")
			}
		}
	}
	return nil
}

// among reports whether value is one of those a switch lists; a switch not given lists all.
func (t *tool) among(flag, value string) bool {
	return !t.has(flag) || slices.Contains(t.words(flag), value)
}

// words are the values of a switch, each a list with commas.
func (t *tool) words(flag string) []string {
	return strings.Split(strings.Join(t.list(flag), ","), ",")
}

func (t *tool) listedAs(r *row) bool {
	states := map[string]bool{"running": r.State == qube.Running || r.State == qube.Transient, "paused": r.State == qube.Paused, "halted": r.State == qube.Halted}
	asked, ok := false, false
	for name, is := range states {
		if t.has(name) {
			asked, ok = true, ok || is
		}
	}
	return (!asked || ok) && t.among("class", string(r.Class))
}

func (t *tool) tagged(ctx context.Context, r *row) (bool, error) {
	have, err := t.c.Tags(ctx, string(r.Name))
	has := func(tag string) bool { return slices.Contains(have, tag) }
	return (!t.has("tags") || slices.ContainsFunc(t.words("tags"), has)) &&
		(!t.has("exclude-tags") || !slices.ContainsFunc(t.words("exclude-tags"), has)), err
}

func (t *tool) featured(ctx context.Context, r *row) (bool, error) {
	for _, f := range []string{"internal", "servicevm"} {
		if !t.has(f) {
			continue
		}
		v, err := t.feature(ctx, string(r.Name), f)
		if err != nil || (v != "") != (t.get(f) == "y") {
			return false, err
		}
	}
	if t.has("pending-update") {
		if v, err := t.feature(ctx, string(r.Name), "updates-available"); err != nil || v == "" {
			return false, err
		}
	}
	for _, kv := range t.list("features") {
		name, want, _ := strings.Cut(kv, "=")
		if v, err := t.feature(ctx, string(r.Name), name); err != nil || v != want {
			return false, err
		}
	}
	return true, nil
}

// feature gives a qube's own feature, "" when it has none.
func (t *tool) feature(ctx context.Context, vm, name string) (string, error) {
	v, err := t.c.Feature(ctx, vm, name)
	if isKind(err, adminapi.FeatureNotFound) {
		err = nil
	}
	return v, err
}

func (t *tool) set(ctx context.Context, r *row) (ok bool, err error) {
	if r.props, err = t.c.Properties(ctx, string(r.Name)); err != nil {
		return false, err
	}
	for _, kv := range t.list("prefs") {
		name, want, _ := strings.Cut(kv, "=")
		if p, have := r.props[name]; !have || p.Value != want && !(p.Value == "" && strings.EqualFold(want, "none")) {
			return false, nil
		}
	}
	return t.among("label", r.props["label"].Value) && t.among("template-source", r.props["template"].Value) && t.among("netvm-is", r.props["netvm"].Value), nil
}
