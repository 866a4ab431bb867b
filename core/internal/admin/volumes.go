package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/storage/volume"
)

func volumeMethods() []Method {
	return []Method{
		{Name: "admin.vm.volume.List", Dest: anywhere, Arg: no, Payload: no, Scope: "local", Flags: "R", Read: func(m *domain.Model, c *Call) ([]byte, error) {
			var out []byte
			for _, v := range c.dest(m).Volumes {
				out = append(append(out, v.Name...), '\n')
			}
			return out, nil
		}},
		{Name: "admin.vm.volume.Info", Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: "R", Do: volumeInfo},
	}
}

// findVolume gives a copy of the volume the call names.
func (c *Call) findVolume() (v domain.Volume, vid volume.ID, err error) {
	err = c.api.Sys.Read(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		found := c.dest(m).Volume(c.Arg)
		if found == nil {
			return adminapi.Errorf(adminapi.PermissionDenied, "Argument not in '%s volumes'", c.Dest)
		}
		v, vid = *found, found.ID
		if v.Name == "kernel" { // follows the property
			vid = volume.ID(m.Text(c.dest(m), "kernel"))
		}
		return nil
	})
	return v, vid, err
}

func volumeInfo(ctx context.Context, c *Call) ([]byte, error) {
	v, vid, err := c.findVolume()
	if err != nil {
		return nil, err
	}
	usage := int64(0)
	if v.Name != "kernel" {
		usage = c.api.Sys.Usage(ctx, v.Config)
	}
	b := adminapi.PyBool
	return fmt.Appendf(nil, "pool=%s\nvid=%s\nsize=%d\nusage=%d\nrw=%s\nsource=%s\npath=\nsave_on_stop=%s\nsnap_on_start=%s\nrevisions_to_keep=%d\nephemeral=%s\n",
		v.Pool, vid, v.Size, usage, b(v.RW), v.Source, b(v.SaveOnStop), b(v.SnapOnStart), v.RevisionsToKeep, b(v.Ephemeral != nil && *v.Ephemeral)), nil
}

func poolMethods() []Method {
	return []Method{
		{Name: "admin.pool.List", Dest: onDom0, Arg: no, Payload: no, Scope: "global", Flags: "R", Read: func(m *domain.Model, _ *Call) ([]byte, error) {
			var out []byte
			for _, p := range m.Pools {
				out = append(append(out, p.Name...), '\n')
			}
			return out, nil
		}},
		{Name: "admin.pool.Info", Dest: onDom0, Arg: must, Payload: no, Scope: "global", Flags: "R", Read: poolInfo},
		{Name: "admin.pool.volume.List", Dest: onDom0, Arg: must, Payload: no, Scope: "global", Flags: "R", Read: poolVolumes},
	}
}

func findPool(m *domain.Model, c *Call) (*domain.Pool, error) {
	if p := m.Pool(c.Arg); p != nil {
		return p, nil
	}
	return nil, adminapi.Errorf(adminapi.PermissionDenied, "Argument not in 'pools'")
}

func poolInfo(m *domain.Model, c *Call) ([]byte, error) {
	p, err := findPool(m, c)
	if err != nil {
		return nil, err
	}
	kv := map[string]string{"name": p.Name, "driver": p.Driver}
	for _, o := range p.Options {
		kv[o.Key] = o.Value
	}
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		out = fmt.Appendf(out, "%s=%s\n", k, kv[k])
	}
	return out, nil
}

func poolVolumes(m *domain.Model, c *Call) ([]byte, error) {
	if _, err := findPool(m, c); err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, vm := range m.VMs() {
		for _, v := range vm.Volumes {
			if v.Pool == c.Arg {
				ids[string(v.ID)] = true
			}
		}
	}
	var out []byte
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		out = append(append(out, id...), '\n')
	}
	return out, nil
}
