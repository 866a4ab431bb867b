package qvm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"qubist/core/adminapi"
)

var poolOptions = []option{
	many(val("option,o", "NAME=VALUE", "set an option of the pool's driver")),
	sw("list,l", "like the command"), sw("info,i", "like the command"), sw("add,a", "like the command"), sw("remove,r", "like the command"), sw("set,s", "like the command"), sw("help-drivers", "like drivers"),
}

func poolActions() []action {
	return []action{
		act("list,ls,l", "", "List the pools.", listPools),
		act("info,i", "POOL…", "Show what is known about pools.", poolInfo),
		act("add,a", "NAME DRIVER", "Add a pool; its driver's options are given with -o.", addPool),
		act("remove,rm,r", "POOL…", "Remove pools. The data stays.", removePools),
		act("set,s", "POOL", "Change options, given with -o.", setPool),
		act("drivers,d", "", "List drivers and their options.", listDrivers),
	}
}

// pool runs the sub-command, which may also be spelled as a switch.
func pool(ctx context.Context, t *tool) error {
	for _, name := range []string{"list", "info", "add", "remove", "set"} {
		if t.has(name) {
			t.args = append([]string{name}, t.args...)
			return anyActions(ctx, t)
		}
	}
	if t.has("help-drivers") {
		return listDrivers(ctx, t, nil)
	}
	return anyActions(ctx, t)
}

func (t *tool) pools(ctx context.Context) ([]string, error) {
	b, err := t.c.Call(ctx, "admin.pool.List", "dom0", "", nil)
	return adminapi.Lines(b), err
}

// known checks that pools exist.
func (t *tool) known(ctx context.Context, names []string) error {
	all, err := t.pools(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return needed("POOL_NAME")
	}
	for _, n := range names {
		if !slices.Contains(all, n) {
			return usageError("no such pool: '" + n + "'")
		}
	}
	return nil
}

func listPools(ctx context.Context, t *tool, _ []string) error {
	all, err := t.pools(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, n := range all {
		b, err := t.c.Call(ctx, "admin.pool.Info", "dom0", n, nil)
		if err != nil {
			return err
		}
		rows = append(rows, []string{n, adminapi.KeyValues(b, "\n")["driver"]})
	}
	return t.table([]string{"NAME", "DRIVER"}, rows)
}

func poolInfo(ctx context.Context, t *tool, names []string) error {
	if err := t.known(ctx, names); err != nil {
		return err
	}
	for _, n := range names {
		b, err := t.c.Call(ctx, "admin.pool.Info", "dom0", n, nil)
		if err != nil {
			return err
		}
		rows := [][]string{{"name", n}}
		for _, l := range adminapi.Lines(b) {
			if k, v, _ := strings.Cut(l, "="); k != "name" {
				rows = append(rows, []string{k, v})
			}
		}
		if err := t.pairs(rows); err != nil {
			return err
		}
	}
	return nil
}

func addPool(ctx context.Context, t *tool, args []string) error {
	if len(args) != 2 {
		return needed("POOL_NAME, DRIVER")
	}
	payload := "name=" + args[0] + "\n"
	for _, o := range t.list("option") {
		if !strings.Contains(o, "=") || strings.Contains(o, "\n") {
			return usageError("argument --option/-o: invalid value: '" + o + "'")
		}
		payload += o + "\n"
	}
	if err := t.call(ctx, "admin.pool.Add", "dom0", args[1], payload); err != nil {
		return fmt.Errorf("failed to add pool %s: %w", args[0], err)
	}
	return nil
}

func removePools(ctx context.Context, t *tool, names []string) error {
	if err := t.known(ctx, names); err != nil {
		return err
	}
	failed := false
	for _, n := range names {
		if err := t.call(ctx, "admin.pool.Remove", "dom0", n, ""); err != nil {
			failed = true
			t.complain(fmt.Errorf("failed to remove pool %s: %w", n, err))
		}
	}
	if failed {
		return exitStatus(exitError)
	}
	return nil
}

func setPool(ctx context.Context, t *tool, names []string) error {
	if err := t.known(ctx, names); err != nil {
		return err
	}
	for _, o := range t.list("option") {
		k, v, ok := strings.Cut(o, "=")
		if !ok || k != "revisions_to_keep" && k != "ephemeral_volatile" {
			return usageError("argument --option/-o: cannot be changed: '" + o + "'")
		}
		if err := t.call(ctx, "admin.pool.Set."+k, "dom0", names[0], v); err != nil {
			return fmt.Errorf("failed to set option %s of pool %s: %w", k, names[0], err)
		}
	}
	return nil
}

func listDrivers(ctx context.Context, t *tool, _ []string) error {
	b, err := t.c.Call(ctx, "admin.pool.ListDrivers", "dom0", "", nil)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, l := range adminapi.Lines(b) {
		name, options, _ := strings.Cut(l, " ")
		rows = append(rows, []string{name, strings.Join(strings.Fields(options), ", ")})
	}
	slices.SortFunc(rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	return t.table([]string{"DRIVER", "OPTIONS"}, rows)
}
