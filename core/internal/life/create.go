package life

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// Create adds a qube with its volumes. Describe is called with the lock held and says what
// to make. Nothing remains when it fails.
func (s *System) Create(ctx context.Context, describe func(*domain.Model) (domain.NewVM, error)) (qube.Name, error) {
	var (
		vm   *domain.VM
		vols []volume.Config
		dir  string
	)
	if err := s.Write(func(m *domain.Model) error {
		n, err := describe(m)
		if err != nil {
			return err
		}
		if vm, err = m.Add(n); err != nil {
			return err
		}
		vols, dir = configs(vm), s.dir(vm)
		return nil
	}); err != nil {
		return "", err
	}
	err := s.createVolumes(ctx, vols)
	if err == nil && vm.Firewall != nil { // a disposable's, from its template
		if err = s.writeFirewall(dir, vm.Firewall); err != nil {
			s.removeVolumes(vols)
		}
	}
	if err != nil {
		s.Log.Warn("creating volumes failed", "qube", vm.Name, "err", err)
		_ = s.Write(func(m *domain.Model) error { m.Discard(vm); return nil })
		return "", err
	}
	return vm.Name, s.Write(func(m *domain.Model) error { m.Finish(vm); return nil })
}

// configs are a qube's volumes that live in pools of images. The caller holds the lock.
func configs(vm *domain.VM) []volume.Config {
	var out []volume.Config
	for _, v := range vm.Volumes {
		if v.Name != "kernel" {
			out = append(out, v.Config)
		}
	}
	return out
}

func (s *System) createVolumes(ctx context.Context, vols []volume.Config) error {
	var (
		mu   sync.Mutex
		made []volume.Config
	)
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range vols {
		g.Go(func() error {
			pool, err := s.pool(c.Pool)
			if err == nil {
				err = pool.Create(gctx, c)
			}
			if err != nil {
				return adminapi.Errorf(adminapi.StoragePool, "Creating volume %s: %v", c.ID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			made = append(made, c)
			return nil
		})
	}
	err := g.Wait()
	if err != nil {
		s.removeVolumes(made)
	}
	return err
}

// removeVolumes removes what can be removed; the rest is logged.
func (s *System) removeVolumes(vols []volume.Config) {
	for _, c := range vols {
		pool, err := s.pool(c.Pool)
		if err == nil {
			err = pool.Remove(context.WithoutCancel(s.ctx), c)
		}
		if err != nil && !errors.Is(err, volume.ErrNotFound) {
			s.Log.Error("removing a volume", "volume", c.ID, "err", err)
		}
	}
}

// Remove deletes a halted qube and its volumes.
func (s *System) Remove(ctx context.Context, n qube.Name) error {
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	var vols []volume.Config
	var dir string
	if err := s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		if vm.Pending {
			return domain.NotHalted(vm)
		}
		vols, dir = configs(vm), s.dir(vm)
		return m.Remove(vm)
	}); err != nil {
		return err
	}
	s.bus.emit(adminapi.Event{Subject: string(n), Name: "domain-remove-from-disk"})
	s.removeVolumes(vols)
	s.removeFiles(n, dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m.VM(n) == nil {
		delete(s.guests, n)
	}
	return nil
}
