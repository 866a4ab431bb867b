package qvm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"qubist/core/adminclient"
	"qubist/core/qube"
)

var startOptions = []option{
	sw("skip-if-running", "a running qube is no error"), val("drive", "[hd:|cdrom:]VM:PATH", "attach this drive of another qube while it starts"),
	val("hddisk", "VM:PATH", "--drive hd:VM:PATH"), val("cdrom", "VM:PATH", "--drive cdrom:VM:PATH"), sw("install-windows-tools", "attach the Windows tools' CD"),
}

// windowsTools is where the package of that name puts its image.
const windowsTools = "cdrom:dom0:/usr/lib/qubes/qubes-windows-tools.iso"

func start(ctx context.Context, t *tool) error {
	vms, err := t.selected(ctx, t.has("all"))
	if err != nil {
		return err
	}
	drive := t.get("drive")
	for flag, kind := range map[string]string{"hddisk": "hd:", "cdrom": "cdrom:"} {
		if t.has(flag) {
			drive = kind + t.get(flag)
		}
	}
	if t.has("install-windows-tools") {
		drive = windowsTools
	}
	if drive != "" && len(vms) != 1 {
		return usageError("a drive can be attached to one qube only")
	}
	failed := false
	for i, err := range try(ctx, vms, func(ctx context.Context, v adminclient.ListedVM) error {
		switch {
		case v.State != qube.Halted && (t.has("skip-if-running") || t.has("all")):
			return nil
		case v.State != qube.Halted:
			return plainError("Domain is already running")
		case drive != "":
			return t.startWith(ctx, string(v.Name), drive)
		}
		return t.c.Start(ctx, string(v.Name))
	}) {
		if err != nil {
			failed = true
			t.complain(fmt.Errorf("%s: %w", vms[i].Name, err))
		}
	}
	if failed {
		return exitStatus(exitError)
	}
	return nil
}

// startWith assigns a drive for the time of the start.
func (t *tool) startWith(ctx context.Context, vm, drive string) (err error) {
	kind, place := "cdrom", drive
	for _, k := range []string{"hd", "cdrom"} {
		if rest, ok := strings.CutPrefix(drive, k+":"); ok {
			kind, place = k, rest
		}
	}
	backend, path, ok := strings.Cut(place, ":")
	if !ok || backend == "" || !filepath.IsAbs(path) {
		return usageError("argument --drive: invalid value: '" + drive + "' ([hd:|cdrom:]VM:PATH expected)")
	}
	port := strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "_")
	if !strings.HasPrefix(path, "/dev/") {
		if port, err = t.loop(ctx, backend, path); err != nil {
			return err
		}
	}
	d := deviceTool{t, "admin.vm.device.block.", "block"}
	id := deviceID{backend, port, "*"}
	if err := d.await(ctx, id); err != nil {
		return err
	}
	t.flags["option"] = []string{"devtype=" + map[string]string{"hd": "disk", "cdrom": "cdrom"}[kind]}
	if kind == "cdrom" {
		t.flags["option"] = append(t.flags["option"], "read-only=yes")
	}
	if err := d.send(ctx, "Assign", id, vm, "required"); err != nil {
		return err
	}
	defer func() {
		err = cmp.Or(err, d.call(context.WithoutCancel(ctx), d.method+"Unassign", vm, id.arg(), ""))
	}()
	return t.c.Start(ctx, vm)
}

// loop makes a file of a qube, or of dom0, a block device and gives its name.
func (t *tool) loop(ctx context.Context, vm, path string) (string, error) {
	var out bytes.Buffer
	var err error
	words := []string{"losetup", "--find", "--show", "--", path}
	if vm == string(qube.Dom0) {
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		cmd.Stdout, cmd.Stderr = &out, t.Stderr
		err = cmd.Run()
	} else {
		code := 0
		r := adminclient.Run{VM: vm, User: "root", Root: t.root, Stdout: &out, Stderr: filter{t.Stderr}}
		if code, err = t.Run(ctx, t.asService(r, "qubes.VMExec+"+vmexec(words))); err == nil && code != 0 {
			err = fmt.Errorf("exit status %d", code)
		}
	}
	if err != nil {
		return "", fmt.Errorf("making %s of %s a drive: %w", path, vm, err)
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(out.String()), "/dev/")
	if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "", fmt.Errorf("making %s of %s a drive: no device but %.40q", path, vm, out.String())
	}
	return name, nil
}

// await waits until a backend offers a device: new ones take a moment to be noticed.
func (d deviceTool) await(ctx context.Context, id deviceID) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := d.query(ctx, "Available", id.backend, "")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(l deviceLine) bool { return id.matches(l.deviceID) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return d.notThere(id)
		case <-tick.C:
		}
	}
}
