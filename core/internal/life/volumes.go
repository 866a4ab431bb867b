package life

import (
	"context"
	"errors"
	"fmt"
	"io"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// volumeOf finds a volume of a qube; with idle the qube must be halted.
func (s *System) volumeOf(n qube.Name, name string, idle bool) (c volume.Config, err error) {
	err = s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil || vm.Volume(name) == nil {
			return domain.NotFound(string(n))
		}
		if idle && !vm.Halted() {
			return domain.NotHalted(vm)
		}
		c = vm.Volume(name).Config
		return nil
	})
	return c, err
}

// changeVolume calls f with a saved volume of a halted qube, which does not start meanwhile.
func (s *System) changeVolume(ctx context.Context, n qube.Name, name, what string, f func(volume.Pool, volume.Config) error) error {
	c, err := s.volumeOf(n, name, true) // before waiting for a start that is under way
	if err != nil {
		return err
	}
	if !c.SaveOnStop {
		return adminapi.Errorf(adminapi.StoragePool, "Cannot %s: %s is not save_on_stop", what, c.ID)
	}
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	if c, err = s.volumeOf(n, name, true); err != nil {
		return err
	}
	pool, err := s.pool(c.Pool)
	if err == nil {
		err = f(pool, c)
	}
	return storageError(what, c.ID, err)
}

// storageError makes an exception of what a pool said.
func storageError(what string, id volume.ID, err error) error {
	var e *adminapi.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return adminapi.Errorf(adminapi.StoragePool, "Cannot %s: volume %s: %v", what, id, err)
}

// setSize records a volume's size.
func (s *System) setSize(n qube.Name, name string, size int64) error {
	return s.Write(func(m *domain.Model) error {
		if vm := m.VM(n); vm != nil && vm.Volume(name) != nil && vm.Volume(name).Size != size {
			vm.Volume(name).Size = size
			m.Touch()
		}
		return nil
	})
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Clear empties a volume; its size stays.
func (s *System) Clear(ctx context.Context, n qube.Name, name string) error {
	return s.changeVolume(ctx, n, name, "clear", func(p volume.Pool, c volume.Config) error {
		s.fire(n, "domain-volume-import-begin", "volume", name, "size", fmt.Sprint(c.Size))
		var err error
		if quick, ok := p.(volume.Clearer); ok {
			err = quick.Clear(ctx, c, c.Size)
		} else {
			err = p.Import(ctx, c, io.LimitReader(zeros{}, c.Size), c.Size)
		}
		s.fire(n, "domain-volume-import-end", "volume", name, "success", adminapi.PyBool(err == nil))
		return err
	})
}

// Revisions lists what a volume's pool keeps of it, oldest first.
func (s *System) Revisions(ctx context.Context, n qube.Name, name string) ([]string, error) {
	c, err := s.volumeOf(n, name, false)
	if err != nil || !c.SaveOnStop {
		return nil, err
	}
	pool, err := s.pool(c.Pool)
	if err != nil {
		return nil, storageError("list revisions", c.ID, err)
	}
	r, ok := pool.(volume.Reverter)
	if !ok {
		return nil, nil
	}
	out, err := r.Revisions(ctx, c)
	return out, storageError("list revisions", c.ID, err)
}

// Revert returns a volume to a revision.
func (s *System) Revert(ctx context.Context, n qube.Name, name, id string) error {
	return s.changeVolume(ctx, n, name, "revert", func(p volume.Pool, c volume.Config) error {
		err := error(volume.ErrNotFound)
		if r, ok := p.(volume.Reverter); ok {
			err = r.Revert(ctx, c, id)
		}
		if errors.Is(err, volume.ErrNotFound) {
			return adminapi.Errorf(adminapi.VolumeRevisionNotFound, "Volume %s has no revision %s", c.ID, id)
		}
		return err
	})
}

// CloneVolume replaces the content of a volume by that of src, a volume of another or the
// same qube that may run: its stopped content is taken.
func (s *System) CloneVolume(ctx context.Context, src volume.Config, n qube.Name, name string) error {
	dst, err := s.volumeOf(n, name, false)
	if err != nil {
		return err
	}
	switch {
	case !dst.SaveOnStop: // nothing of it stays
	case !src.SaveOnStop:
		return adminapi.Errorf(adminapi.StoragePool, "Cannot export: %s is not save_on_stop", src.ID)
	default:
		var size int64
		if err := s.changeVolume(ctx, n, name, "import", func(p volume.Pool, c volume.Config) error {
			size, err = s.copyContent(ctx, src, p, c)
			return err
		}); err != nil {
			return err
		}
		if err := s.setSize(n, name, size); err != nil {
			return err
		}
	}
	s.fire(n, "domain-import-volume", "name", name, "source", string(src.ID))
	return nil
}

func (s *System) copyContent(ctx context.Context, src volume.Config, p volume.Pool, dst volume.Config) (int64, error) {
	from, err := s.pool(src.Pool)
	if err != nil {
		return 0, err
	}
	e, ok := from.(volume.Exporter)
	if !ok {
		return 0, fmt.Errorf("pool %s cannot be read", src.Pool)
	}
	r, size, err := e.Export(ctx, src)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return size, p.Import(ctx, dst, r, size)
}

// Outdated reports whether a running snapshot is behind its source; false also when that
// cannot be found out.
func (s *System) Outdated(ctx context.Context, c volume.Config) bool {
	if !c.SnapOnStart {
		return false
	}
	pool, err := s.pool(c.Pool)
	if err != nil {
		return false
	}
	o, ok := pool.(volume.Outdater)
	if !ok {
		return false
	}
	old, err := o.Outdated(ctx, c)
	return err == nil && old
}

// Space is a pool's size and how much of it is occupied, in bytes; false when the pool
// cannot tell.
func (s *System) Space(ctx context.Context, name string) (size, used int64, ok bool) {
	pool, err := s.pool(name)
	if err != nil {
		return 0, 0, false
	}
	z, ok := pool.(volume.Sized)
	if !ok {
		return 0, 0, false
	}
	size, used, err = z.Space(ctx)
	return size, used, err == nil
}
