package life

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/internal/hypervisor"
	"qubist/storage/volume"
)

func (s *System) verify(ctx context.Context, p *plan) error {
	for _, c := range p.volumes {
		pool, err := s.pool(c.Pool)
		if err == nil {
			err = pool.Verify(ctx, c)
		}
		if err != nil {
			return adminapi.Errorf(adminapi.StoragePool, "Volume %s of %s: %v", c.Name, p.name, err)
		}
	}
	return nil
}

// diskTargets are the block devices of the volumes, by name.
var diskTargets = map[string]string{"root": "vda", "private": "vdb", "volatile": "vdc"}

// startVolumes starts all volumes in parallel and gives the disks in the order of c.
func (s *System) startVolumes(ctx context.Context, cs []volume.Config) ([]hypervisor.Disk, error) {
	disks := make([]hypervisor.Disk, len(cs))
	g, ctx := errgroup.WithContext(ctx)
	for i, c := range cs {
		target := diskTargets[c.Name]
		if target == "" {
			target = "vd" + string(rune('d'+i))
		}
		g.Go(func() error {
			pool, err := s.pool(c.Pool)
			if err != nil {
				return err
			}
			d, err := pool.Start(ctx, c)
			if err != nil {
				return adminapi.Errorf(adminapi.StoragePool, "Starting volume %s: %v", c.ID, err)
			}
			disks[i] = hypervisor.Disk{Target: target, Path: d.Path, Format: d.Format, ReadOnly: d.ReadOnly || !c.RW, Discardable: d.Discardable}
			return nil
		})
	}
	return disks, g.Wait()
}

// stopVolumes stops what can be stopped; the rest is logged.
func (s *System) stopVolumes(cs []volume.Config) {
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			pool, err := s.pool(c.Pool)
			if err == nil {
				err = pool.Stop(context.WithoutCancel(s.ctx), c)
			}
			if err != nil && !errors.Is(err, volume.ErrNotFound) {
				s.Log.Error("stopping a volume", "volume", c.ID, "err", err)
			}
		})
	}
	wg.Wait()
}
