package admin

import (
	"context"
	"fmt"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
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
		{Name: "admin.vm.volume.Resize", Dest: anywhere, Arg: must, Payload: must, Scope: "local", Flags: "RW", Do: volumeResize},
		{Name: "admin.vm.volume.Set.revisions_to_keep", Dest: anywhere, Arg: must, Payload: must, Scope: "local", Flags: "RW", Write: setRevisions},
		{Name: "admin.vm.volume.Set.ephemeral", Dest: anywhere, Arg: must, Payload: must, Scope: "local", Flags: "RW", Write: setEphemeral},
		{Name: "admin.vm.volume.ListSnapshots", Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: "R", Do: listSnapshots},
		{Name: "admin.vm.volume.Revert", Dest: anywhere, Arg: must, Payload: must, Scope: "local", Flags: "RW", Do: volumeRevert},
		{Name: "admin.vm.volume.Clear", Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: "RW", Do: func(ctx context.Context, c *Call) ([]byte, error) {
			if _, err := c.findVolume(); err != nil {
				return nil, err
			}
			return nil, c.api.Sys.Clear(ctx, c.Dest, c.Arg)
		}},
		{Name: "admin.vm.volume.CloneFrom", Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: "RW", Do: cloneFrom},
		{Name: "admin.vm.volume.CloneTo", Dest: anywhere, Arg: must, Payload: must, Scope: "local", Flags: "RW", Do: cloneTo},
		{Name: "admin.vm.volume.Set.rw", Dest: anywhere, Arg: must, Payload: must, Scope: "local", Flags: "RW", Write: setRW},
	}
}

func findVolume(m *domain.Model, c *Call) (*domain.Volume, error) {
	if v := c.dest(m).Volume(c.Arg); v != nil {
		return v, nil
	}
	return nil, adminapi.Errorf(adminapi.PermissionDenied, "Argument not in '%s volumes'", c.Dest)
}

// revisions reads a number that may be negative.
func revisions(payload []byte, what string) (int, error) {
	s, minus := strings.CutPrefix(string(payload), "-")
	n, err := number(s, what)
	if err != nil {
		return 0, err
	}
	if n > maxRevisions {
		return 0, adminapi.Errorf(adminapi.ValueError, "Invalid value for revisions_to_keep")
	}
	if minus {
		n = -n
	}
	return int(n), nil
}

// maxRevisions is more than any pool will hold.
const maxRevisions = 1 << 20

func setRevisions(m *domain.Model, c *Call) ([]byte, error) {
	v, err := findVolume(m, c)
	if err != nil {
		return nil, err
	}
	n, err := revisions(c.Payload, "Revisions to keep")
	switch {
	case err != nil:
		return nil, err
	case n < -1:
		return nil, adminapi.Errorf(adminapi.ValueError, "Invalid value for revisions_to_keep")
	case v.Name == "kernel" && n != 0:
		return nil, adminapi.Errorf(adminapi.ValueError, "LinuxModules supports only revisions_to_keep=0")
	case (n == -1) != (v.RevisionsToKeep == -1) && !c.dest(m).Halted():
		return nil, domain.NotHalted(c.dest(m))
	}
	v.RevisionsToKeep = n
	m.Touch()
	return nil, nil
}

func setRW(m *domain.Model, c *Call) ([]byte, error) {
	v, err := findVolume(m, c)
	if err != nil {
		return nil, err
	}
	on, ok := domain.ParseBool(string(c.Payload))
	switch {
	case !ok:
		return nil, protocolError("Payload is not boolean ASCII")
	case !c.dest(m).Halted():
		return nil, domain.NotHalted(c.dest(m))
	case v.Name == "kernel" && on:
		return nil, adminapi.Errorf(adminapi.ValueError, "LinuxModules supports only read-only volumes")
	}
	v.RW = on
	m.Touch()
	return nil, nil
}

func volumeResize(ctx context.Context, c *Call) ([]byte, error) {
	if _, err := c.findVolume(); err != nil {
		return nil, err
	}
	size, err := number(strings.TrimSpace(string(c.Payload)), "Volume size")
	if err != nil {
		return nil, err
	}
	return nil, c.api.Sys.Resize(ctx, c.Dest, c.Arg, size)
}

// findVolume gives a copy of the volume the call names, with the id it has now.
func (c *Call) findVolume() (v domain.Volume, err error) {
	err = c.api.Sys.Read(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		found, err := findVolume(m, c)
		if err != nil {
			return err
		}
		v = *found
		v.ID = m.VolumeID(c.dest(m), found)
		return nil
	})
	return v, err
}

func volumeInfo(ctx context.Context, c *Call) ([]byte, error) {
	v, err := c.findVolume()
	if err != nil {
		return nil, err
	}
	var path string
	var ephemeral bool
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		path, ephemeral = m.VolumePath(c.dest(m), &v), m.EphemeralVolume(&v)
		return nil
	}); err != nil {
		return nil, err
	}
	usage := int64(0)
	if v.Name != "kernel" {
		usage = c.api.Sys.Usage(ctx, v.Config)
	}
	b := adminapi.PyBool
	return fmt.Appendf(nil, "pool=%s\nvid=%s\nsize=%d\nusage=%d\nrw=%s\nsource=%s\npath=%s\nsave_on_stop=%s\nsnap_on_start=%s\nrevisions_to_keep=%d\nephemeral=%s\nis_outdated=%s\n",
		v.Pool, v.ID, v.Size, usage, b(v.RW), v.Source, path, b(v.SaveOnStop), b(v.SnapOnStart), v.RevisionsToKeep, b(ephemeral), b(c.api.Sys.Outdated(ctx, v.Config))), nil
}
