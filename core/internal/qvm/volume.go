package qvm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
)

var volumeOptions = []option{
	many(val("pool,p", "POOL", "list volumes of these pools only")), sw("full", "ignored: each line is always whole"), sw("force,f", "do not ask, and shrink when told to"),
	val("size", "BYTES", "size the volume gets with import"), sw("no-resize", "import does not change the size"),
}

func volumeActions() []action {
	return []action{
		act("list,ls,l", "[VM…]", "List volumes.", listVolumes),
		act("info,i", "VM:VOLUME [KEY]", "Show what is known about a volume.", volumeInfo),
		act("config,c,set,s", "VM:VOLUME KEY VALUE", "Set revisions_to_keep, rw or ephemeral.", volumeConfig),
		act("resize,extend", "VM:VOLUME SIZE", "Change the size; SIZE may have a unit (GiB, GB …).", volumeResize),
		act("revert,rv,r", "VM:VOLUME [REVISION]", "Go back to a revision, the newest when none is named.", volumeRevert),
		act("import", "VM:VOLUME FILE", "Replace the contents by a file's, - for standard input.", volumeImport),
		act("clone", "VM:VOLUME VM:VOLUME", "Replace the second volume's contents by the first's.", volumeClone),
		act("clear", "VM:VOLUME", "Empty a volume.", volumeClear),
	}
}

// volumeArg finds the volume named by the first argument and gives the arguments after it.
func (t *tool) volumeArg(ctx context.Context, args []string, least, most int) (vm, name string, rest []string, err error) {
	if len(args) <= least || len(args) > most+1 {
		return "", "", nil, usageError("wrong number of arguments")
	}
	vms, err := t.all(ctx)
	if err != nil {
		return "", "", nil, err
	}
	vm, name, err = t.namedVolume(ctx, vms, args[0])
	return vm, name, args[1:], err
}

func (t *tool) namedVolume(ctx context.Context, vms []adminclient.ListedVM, arg string) (vm, name string, err error) {
	vm, name, ok := strings.Cut(arg, ":")
	if !ok || name == "" {
		return "", "", usageError("argument VM:VOLUME: invalid value: '" + arg + "'")
	}
	if _, err := find(vms, vm); err != nil {
		return "", "", err
	}
	b, err := t.c.Call(ctx, "admin.vm.volume.List", vm, "", nil)
	if err != nil {
		return "", "", err
	}
	if !slices.Contains(adminapi.Lines(b), name) {
		return "", "", usageError(fmt.Sprintf("no such volume: '%s'", arg))
	}
	return vm, name, nil
}

func listVolumes(ctx context.Context, t *tool, args []string) error {
	t.args = args
	rows, err := t.rows(ctx)
	if err != nil {
		return err
	}
	if err := t.fill(ctx, rows, need{volumes: true}); err != nil {
		return err
	}
	var out [][]string
	// A volume that several qubes share is shown with the last of them first.
	for i := len(rows) - 1; i >= 0; i-- {
		for name, v := range rows[i].volumes {
			if t.has("pool") && !slices.Contains(t.list("pool"), v["pool"]) {
				continue
			}
			b, err := t.c.Call(ctx, "admin.vm.volume.ListSnapshots", string(rows[i].Name), name, nil)
			if err != nil {
				return err
			}
			revert := "No"
			if len(adminapi.Lines(b)) > 0 {
				revert = "Yes"
			}
			out = append(out, []string{v["pool"] + ":" + v["vid"], string(rows[i].Name), name, revert})
		}
	}
	slices.SortFunc(out, func(a, b []string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]), cmp.Compare(a[2], b[2]))
	})
	for i := 0; i < len(out); {
		j := i + 1
		for j < len(out) && out[j][0] == out[i][0] {
			j++
		}
		last := out[j-1]
		copy(out[i+1:j], out[i:j-1])
		out[i] = last
		i = j
	}
	return t.table([]string{"POOL:VOLUME", "VMNAME", "VOLUME_NAME", "REVERT_POSSIBLE"}, out)
}

// infoKeys are what info shows, in the original's order.
var infoKeys = []string{"pool", "vid", "rw", "source", "save_on_stop", "snap_on_start", "size", "usage", "revisions_to_keep", "ephemeral", "is_outdated"}

func volumeInfo(ctx context.Context, t *tool, args []string) error {
	vm, name, rest, err := t.volumeArg(ctx, args, 0, 1)
	if err != nil {
		return err
	}
	snapshots := func() ([]string, error) {
		b, err := t.c.Call(ctx, "admin.vm.volume.ListSnapshots", vm, name, nil)
		return adminapi.Lines(b), err
	}
	if len(rest) == 1 && rest[0] == "revisions" {
		revisions, err := snapshots()
		if err != nil {
			return err
		}
		return t.lines(revisions)
	}
	b, err := t.c.Call(ctx, "admin.vm.volume.Info", vm, name, nil)
	if err != nil {
		return err
	}
	info := adminapi.KeyValues(b, "\n")
	if len(rest) == 1 {
		v, ok := info[rest[0]]
		if !ok {
			return plainError(fmt.Sprintf("no such property: '%s'", rest[0]))
		}
		t.say(v)
		return nil
	}
	var rows [][]string
	for _, k := range infoKeys {
		if v, ok := info[k]; ok {
			rows = append(rows, []string{k, v})
		}
	}
	revisions, err := snapshots()
	if err != nil {
		return err
	}
	object := map[string]any{"revisions": append([]string{}, revisions...)}
	for _, r := range rows {
		object[r[0]] = r[1]
	}
	return t.show(object, func() {
		t.pad(rows)
		if len(revisions) == 0 {
			t.say("List of available revisions (for revert): none")
			return
		}
		t.say("List of available revisions (for revert):")
		for _, r := range revisions {
			t.say("  " + r)
		}
	})
}

func volumeConfig(ctx context.Context, t *tool, args []string) error {
	vm, name, rest, err := t.volumeArg(ctx, args, 2, 2)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"revisions_to_keep", "rw", "ephemeral"}, rest[0]) {
		return plainError(fmt.Sprintf("no such property: '%s'", rest[0]))
	}
	return t.call(ctx, "admin.vm.volume.Set."+rest[0], vm, name, rest[1])
}

func volumeResize(ctx context.Context, t *tool, args []string) error {
	vm, name, rest, err := t.volumeArg(ctx, args, 1, 1)
	if err != nil {
		return err
	}
	size, err := parseSize(rest[0])
	if err != nil {
		return err
	}
	b, err := t.c.Call(ctx, "admin.vm.volume.Info", vm, name, nil)
	if err != nil {
		return err
	}
	now, _ := strconv.ParseUint(adminapi.KeyValues(b, "\n")["size"], 10, 64)
	if size < now && !t.has("force") {
		return plainError(fmt.Sprintf("Refusing to shrink volume %s:%s from %d to %d bytes.\n"+
			"If you really know what you are doing: Manually shrink the filesystem on the volume first, and repartition the volume if it is partitioned. "+
			"Do this in a VM, not in dom0. Then use 'qvm-volume resize --force %s:%s %d'", vm, name, now, size, vm, name, size))
	}
	return t.call(ctx, "admin.vm.volume.Resize", vm, name, strconv.FormatUint(size, 10))
}

// parseSize reads bytes, or a number with a unit: K or KB is 1000, Ki or KiB is 1024.
func parseSize(s string) (uint64, error) {
	digits := strings.TrimRight(s, "KMGTBikmgtbI")
	unit := strings.TrimSuffix(strings.ToUpper(s[len(digits):]), "B")
	base := uint64(1000)
	if u, ok := strings.CutSuffix(unit, "I"); ok {
		unit, base = u, 1024
	}
	n, err := strconv.ParseUint(digits, 10, 62)
	power := map[string]int{"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
	p, ok := power[unit]
	if err != nil || !ok {
		return 0, usageError("invalid size: '" + s + "'")
	}
	for range p {
		if n > 1<<62/base {
			return 0, usageError("invalid size: '" + s + "'")
		}
		n *= base
	}
	return n, nil
}

func volumeRevert(ctx context.Context, t *tool, args []string) error {
	vm, name, rest, err := t.volumeArg(ctx, args, 0, 1)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		b, err := t.c.Call(ctx, "admin.vm.volume.ListSnapshots", vm, name, nil)
		if err != nil {
			return err
		}
		if rest = adminapi.Lines(b); len(rest) == 0 {
			return plainError("No snapshots available")
		}
	}
	return t.call(ctx, "admin.vm.volume.Revert", vm, name, rest[len(rest)-1])
}

func volumeClone(ctx context.Context, t *tool, args []string) error {
	src, from, rest, err := t.volumeArg(ctx, args, 1, 1)
	if err != nil {
		return err
	}
	dst, to, _, err := t.volumeArg(ctx, rest, 0, 0)
	if err != nil {
		return err
	}
	if err := t.confirm(fmt.Sprintf("This replaces the contents of %s:%s by those of %s:%s.", dst, to, src, from)); err != nil {
		return err
	}
	return t.cloneVolume(ctx, src, from, dst, to)
}

func volumeClear(ctx context.Context, t *tool, args []string) error {
	vm, name, _, err := t.volumeArg(ctx, args, 0, 0)
	if err != nil {
		return err
	}
	if err := t.confirm(fmt.Sprintf("This empties %s:%s.", vm, name)); err != nil {
		return err
	}
	return t.call(ctx, "admin.vm.volume.Clear", vm, name, "")
}
