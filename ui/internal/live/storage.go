package live

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/ui/internal/state"
)

const (
	storageCalls = 8    // at a time
	maxPools     = 1000 // of one system
	maxVolumes   = 64   // of one qube
	maxRevisions = 1000 // of one volume
)

// Storage reads all pools and the volumes of all known qubes. Only a server that cannot be
// asked at all is an error.
func (s *Source) Storage(ctx context.Context) (state.Storage, error) {
	out := state.Storage{At: time.Now()}
	b, err := s.client.Call(ctx, "admin.pool.List", "dom0", "", nil)
	if err != nil {
		return out, err
	}
	names := adminapi.Lines(b)
	for _, n := range names[:min(len(names), maxPools)] {
		b, err := s.client.Call(ctx, "admin.pool.Info", "dom0", n, nil)
		if err != nil {
			continue // removed meanwhile, or not ours to see
		}
		kv := adminapi.KeyValues(b, "\n")
		out.Pools = append(out.Pools, state.Pool{Name: word(n, maxWord), Driver: word(kv["driver"], maxWord), Dir: word(kv["dir_path"], maxValue),
			Size: number(kv["size"]), Used: number(kv["usage"])})
	}
	v := volumes{s: s, out: &out}
	if err := v.readAll(ctx); err != nil {
		return out, err
	}
	for i := range out.Pools {
		p := &out.Pools[i]
		for _, v := range out.Volumes {
			if v.Pool == p.Name {
				p.Volumes++
				p.Held += v.Used
			}
		}
	}
	return out, nil
}

// number is a size of a server, 0 when it is none.
func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0
	}
	return n
}

// volumes collects the volumes of many qubes.
type volumes struct {
	s   *Source
	mu  sync.Mutex
	out *state.Storage
}

func (r *volumes) readAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(storageCalls)
	for _, vm := range r.s.live.Snapshot().VMs {
		if vm.Class == "AdminVM" {
			continue
		}
		g.Go(func() error {
			err := r.read(ctx, string(vm.Name))
			if refused(err) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.out.Missing++
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.SortFunc(r.out.Volumes, func(a, b state.Volume) int { return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Name, b.Name)) })
	return nil
}

// refused reports whether the server answered, but not with what was asked for.
func refused(err error) bool {
	return adminapi.KindOf(err) != "" || errors.Is(err, adminapi.ErrRefused)
}

func (r *volumes) read(ctx context.Context, vm string) error {
	b, err := r.s.client.Call(ctx, "admin.vm.volume.List", vm, "", nil)
	if err != nil {
		return err
	}
	names := adminapi.Lines(b)
	for _, n := range names[:min(len(names), maxVolumes)] {
		b, err := r.s.client.Call(ctx, "admin.vm.volume.Info", vm, n, nil)
		if err != nil {
			return err
		}
		kv := adminapi.KeyValues(b, "\n")
		v := state.Volume{Owner: word(vm, maxWord), Name: word(n, maxWord), Pool: word(kv["pool"], maxWord), Size: number(kv["size"]), Used: number(kv["usage"]),
			Keeps: kv["save_on_stop"] == "True", Fresh: kv["snap_on_start"] == "True", Source: word(kv["source"], maxValue)}
		v.Keep, _ = strconv.Atoi(kv["revisions_to_keep"])
		if v.Size == 0 && v.Used == 0 {
			continue // the kernel's, which is a directory of dom0
		}
		if v.Keeps {
			if v.Revisions, err = r.revisions(ctx, vm, n); err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.out.Volumes = append(r.out.Volumes, v)
		r.mu.Unlock()
	}
	return nil
}

// revisions are a volume's, as long as the server lists any.
func (r *volumes) revisions(ctx context.Context, vm, name string) ([]string, error) {
	r.mu.Lock()
	known := r.out.NoRevisions == ""
	r.mu.Unlock()
	if !known {
		return nil, nil
	}
	b, err := r.s.client.Call(ctx, "admin.vm.volume.ListSnapshots", vm, name, nil)
	if refused(err) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.out.NoRevisions = "This qubesd does not list revisions."
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	lines := adminapi.Lines(b)
	for _, l := range lines[:min(len(lines), maxRevisions)] {
		out = append(out, word(l, maxWord))
	}
	return out, nil
}
