package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/backupprofile"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// backupMethods read profiles. Making backups is not part of this daemon yet: Execute says
// so after the profile passed, and nothing is ever running that could be cancelled.
func backupMethods() []Method {
	row := func(verb, scope, flags string, f func(context.Context, *Call, backupprofile.Profile) ([]byte, error)) Method {
		return Method{Name: "admin.backup." + verb, Dest: onDom0, Arg: must, Payload: no, Scope: scope, Flags: flags, Do: func(ctx context.Context, c *Call) ([]byte, error) {
			p, err := c.profile()
			if err != nil {
				return nil, err
			}
			return f(ctx, c, p)
		}}
	}
	return []Method{
		row("Info", "local", "R", backupInfo),
		row("Execute", "global", "RX", func(context.Context, *Call, backupprofile.Profile) ([]byte, error) {
			return nil, adminapi.Errorf(adminapi.NotImplemented, "Backups are not available")
		}),
		row("Cancel", "global", "RX", func(context.Context, *Call, backupprofile.Profile) ([]byte, error) {
			return nil, adminapi.Errorf(adminapi.Exception, "Backup operation not running")
		}),
	}
}

// profile reads the profile the call names.
func (c *Call) profile() (p backupprofile.Profile, err error) {
	switch {
	case strings.Contains(c.Arg, "/"):
		return p, protocolError("Backup profile ID must not contain forward slash character")
	case !only(c.Arg, safeSet) || c.Arg[0] == '.':
		return p, protocolError("Backup profile ID must be in safe set: %s", safeSet)
	}
	b, err := c.api.Sys.FS.ReadFile(filepath.Join(c.api.Sys.Paths.Etc, "backup", c.Arg+".conf"))
	if errors.Is(err, fs.ErrNotExist) {
		return p, adminapi.Errorf(adminapi.BackupProfileNotFound, "Backup profile does not exist: %s", c.Arg)
	}
	if err == nil {
		p, err = backupprofile.Parse(b)
	}
	if err != nil {
		return p, adminapi.Errorf(adminapi.Exception, "Backup profile %s cannot be used: %v", c.Arg, err)
	}
	return p, nil
}

// selected lists the qubes an item of a profile means.
func selected(m *domain.Model, item string) ([]*domain.VM, error) {
	var match func(*domain.VM) bool
	if tag, ok := strings.CutPrefix(item, "@tag:"); ok {
		match = func(vm *domain.VM) bool { return vm.HasTag(tag) }
	} else if class, ok := strings.CutPrefix(item, "@type:"); ok {
		match = func(vm *domain.VM) bool { return string(vm.Class) == class }
	} else {
		vm := m.VM(qube.Name(item))
		if vm == nil {
			return nil, domain.NotFound(item)
		}
		return []*domain.VM{vm}, nil
	}
	var out []*domain.VM
	for _, vm := range m.VMs() {
		if vm.Local() && match(vm) {
			out = append(out, vm)
		}
	}
	return out, nil
}

// choose applies a profile to the system: those to be backed up, in listing order.
func choose(m *domain.Model, p backupprofile.Profile) (map[*domain.VM]bool, error) {
	chosen := map[*domain.VM]bool{}
	if p.Include == nil {
		for _, vm := range m.VMs() {
			chosen[vm] = vm.Local() && m.Truth(vm, "include_in_backups")
		}
	}
	for i, list := range [][]string{p.Include, p.Exclude} {
		for _, item := range list {
			vms, err := selected(m, item)
			if err != nil {
				return nil, err
			}
			for _, vm := range vms {
				chosen[vm] = i == 0
			}
		}
	}
	return chosen, nil
}

// saved is one qube of a backup.
type saved struct {
	name    qube.Name
	kind    string
	running bool
	volumes []volume.Config
}

func backupInfo(ctx context.Context, c *Call, p backupprofile.Profile) ([]byte, error) {
	var in []saved
	var out []qube.Name
	if err := c.api.Sys.Write(func(m *domain.Model) error { // fires events
		chosen, err := choose(m, p)
		if err != nil {
			return err
		}
		for _, vm := range m.VMs() {
			if !chosen[vm] {
				out = append(out, vm.Name)
				continue
			}
			m.Fire(vm, "backup-get-files")
			s := saved{name: vm.Name, kind: backupKind(m, vm), running: vm.Class != qube.AdminVM && !vm.Halted()}
			for _, v := range vm.Volumes {
				if v.SaveOnStop {
					s.volumes = append(s.volumes, v.Config)
				}
			}
			in = append(in, s)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return summary(ctx, c, in, out), nil
}

func backupKind(m *domain.Model, vm *domain.VM) string {
	switch {
	case vm.Class == qube.AdminVM:
		return "User home"
	case vm.Class == qube.TemplateVM:
		return "Template VM"
	case m.Truth(vm, "updateable"):
		return "VM + Sys"
	}
	return "VM"
}

// summary is the table clients show.
func summary(ctx context.Context, c *Call, in []saved, out []qube.Name) []byte {
	slices.SortFunc(out, func(a, b qube.Name) int { return strings.Compare(string(a), string(b)) })
	const rule = "------------------+--------------+--------------+\n"
	b := []byte(rule)
	b = fmt.Appendf(b, " %16s | %12s | %12s |\n", "VM", "type", "size")
	b = append(b, rule...)
	var total int64
	for _, s := range in {
		size := int64(0)
		for _, v := range s.volumes {
			size += c.api.Sys.Usage(ctx, v)
		}
		total += size
		b = fmt.Appendf(b, " %16s | %12s | %12s |", s.name, s.kind, human(size))
		if s.running {
			b = append(b, " <-- The VM is running, backup will contain its state from before its start!"...)
		}
		b = append(b, '\n')
	}
	b = append(b, rule...)
	b = fmt.Appendf(b, " %16s | %27s |\n", "Total size:", human(total))
	b = append(b, rule...)
	if len(out) > 0 {
		b = append(b, "VMs not selected for backup:\n"...)
		for _, n := range out {
			b = fmt.Appendf(b, " - %s\n", n)
		}
	}
	return b
}

// human is a size in the largest unit that leaves at least 1.
func human(n int64) string {
	v, units := float64(n), []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
