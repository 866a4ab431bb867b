package adminclient

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

const (
	parallel  = 8                      // calls at a time while reading qubes
	settle    = 15 * time.Millisecond  // events arriving together are answered together
	retryMin  = 200 * time.Millisecond // between connection attempts
	retryMax  = 5 * time.Second
	maxQubes  = 10001 // as many qids as there are
	eventsCap = 1024  // unread events before the reader waits
)

// Live keeps a Snapshot up to date until its context ends.
type Live struct {
	c       *Client
	log     *slog.Logger
	changed chan struct{}
	snap    atomic.Pointer[Snapshot]
	done    chan struct{}

	// owned by the run goroutine
	vms    map[qube.Name]*VM
	labels map[string]qube.Label
	next   Snapshot
}

// Watch starts following the system behind c until ctx ends. It returns at once: the first
// snapshot is empty and not connected.
func Watch(ctx context.Context, c *Client, log *slog.Logger) *Live {
	l := &Live{c: c, log: log, changed: make(chan struct{}, 1), done: make(chan struct{}), vms: map[qube.Name]*VM{}}
	l.snap.Store(&Snapshot{})
	go func() {
		defer close(l.done)
		l.run(ctx)
	}()
	return l
}

// Snapshot is the present picture; never nil, never changed later.
func (l *Live) Snapshot() *Snapshot { return l.snap.Load() }

// Changed receives after one or more changes of Snapshot.
func (l *Live) Changed() <-chan struct{} { return l.changed }

// Wait returns when the context given to Watch has ended and everything is closed.
func (l *Live) Wait() { <-l.done }

func (l *Live) publish() {
	l.next.Serial++
	s := l.next
	s.VMs = slices.SortedFunc(maps.Values(l.vms), func(a, b *VM) int {
		if d0, d1 := a.Name == qube.Dom0, b.Name == qube.Dom0; d0 != d1 {
			if d0 {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	l.snap.Store(&s)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// run connects, follows, and connects again.
func (l *Live) run(ctx context.Context) {
	wait := retryMin
	for ctx.Err() == nil {
		start := time.Now()
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if l.next.Connected {
			l.log.Warn("lost qubesd", "err", err)
		}
		l.next.Connected, l.next.Err = false, err.Error()
		l.publish()
		if time.Since(start) > retryMax {
			wait = retryMin
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMax)
	}
}

// follow holds one connection: subscribe first, then read everything, then apply events.
func (l *Live) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	events := make(chan adminapi.Event, eventsCap)
	lost := make(chan error, 1)
	if err := l.pump(ctx, &wg, "admin.Events", events, lost); err != nil {
		return err
	}
	if err := l.readAll(ctx); err != nil {
		return err
	}
	// Statistics are a bonus: a server that refuses them is still watched.
	stats := make(chan adminapi.Event, eventsCap)
	statsLost := make(chan error, 1)
	if err := l.pump(ctx, &wg, "admin.vm.Stats", stats, statsLost); err != nil {
		l.log.Info("no statistics from qubesd", "err", err)
	}
	for {
		d := newDirty()
		select {
		case e := <-events:
			d.add(e)
			l.gather(ctx, events, d)
			if err := l.refresh(ctx, d); err != nil {
				return err
			}
		case e := <-stats:
			l.applyStats(e)
			for len(stats) > 0 {
				l.applyStats(<-stats)
			}
		case err := <-lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		l.publish()
	}
}

// pump copies a subscription's events to ch until it ends, then reports why on lost.
func (l *Live) pump(ctx context.Context, wg *sync.WaitGroup, method string, ch chan<- adminapi.Event, lost chan<- error) error {
	s, err := l.c.Subscribe(ctx, method, "dom0")
	if err != nil {
		return err
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer s.Close()
		for {
			e, err := s.Next()
			if err != nil {
				lost <- fmt.Errorf("event stream ended: %w", err)
				return
			}
			select {
			case ch <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

// gather takes what arrives within the settling time.
func (l *Live) gather(ctx context.Context, events <-chan adminapi.Event, d *dirty) {
	t := time.NewTimer(settle)
	defer t.Stop()
	for {
		select {
		case e := <-events:
			d.add(e)
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// readAll replaces the whole picture.
func (l *Live) readAll(ctx context.Context) error {
	if err := l.readSystem(ctx); err != nil {
		return err
	}
	status, err := l.c.Status(ctx)
	if err != nil {
		status = nil
	}
	l.next.Status = status
	list, err := l.c.List(ctx, string(qube.Dom0))
	if err != nil {
		return err
	}
	if len(list) > maxQubes {
		return fmt.Errorf("listing qubes: %d of them: %w", len(list), adminapi.ErrTooLong)
	}
	clear(l.vms)
	d := newDirty()
	for _, e := range list {
		l.vms[e.Name] = &VM{Name: e.Name, Class: e.Class, State: e.State, UUID: e.UUID}
		d.vms[e.Name] = dirtyProps | dirtyFeatures | dirtyTags
	}
	if err := l.refresh(ctx, d); err != nil {
		return err
	}
	l.next.Connected, l.next.Ever, l.next.Err = true, true, ""
	l.publish()
	return nil
}

func (l *Live) readSystem(ctx context.Context) error {
	labels, err := l.c.Labels(ctx)
	if err != nil {
		return err
	}
	l.labels = make(map[string]qube.Label, len(labels))
	for _, lb := range labels {
		l.labels[lb.Name] = lb
	}
	l.next.Labels = labels
	l.next.Globals, err = l.c.Properties(ctx, "")
	return err
}

// refresh asks again for what d names. Only a broken connection is an error.
func (l *Live) refresh(ctx context.Context, d *dirty) error {
	if d.system {
		if err := l.readSystem(ctx); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	fresh := make(map[qube.Name]*VM, len(d.vms))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for n, what := range d.vms {
		old := l.vms[n]
		g.Go(func() error {
			v, err := l.readVM(gctx, n, old, what)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			fresh[n] = v
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for n, v := range fresh {
		if v == nil {
			delete(l.vms, n)
		} else if len(l.vms) < maxQubes {
			l.vms[n] = v
		}
	}
	return nil
}

// readVM is a new VM like old with the parts in what read again; nil when it is gone.
func (l *Live) readVM(ctx context.Context, n qube.Name, old *VM, what dirtyBits) (*VM, error) {
	v := VM{Name: n}
	if old != nil {
		v = *old
	} else {
		what = dirtyProps | dirtyFeatures | dirtyTags | dirtyState
	}
	name := string(n)
	err := func() (err error) {
		if what&dirtyState != 0 {
			list, err := l.c.List(ctx, name)
			if err != nil {
				return err
			}
			for _, e := range list {
				if e.Name == n {
					v.Class, v.State, v.UUID = e.Class, e.State, e.UUID
				}
			}
			if !v.Active() {
				v.MemKiB, v.CPUPercent, v.SwapKiB = 0, 0, 0
			}
		}
		if what&dirtyProps != 0 {
			if v.Properties, err = l.c.Properties(ctx, name); err != nil {
				return err
			}
			v.Label = l.labels[v.Properties["label"].Value]
		}
		if what&dirtyFeatures != 0 {
			if v.Features, err = l.c.Features(ctx, name); err != nil {
				return err
			}
		}
		if what&dirtyTags != 0 {
			v.Tags, err = l.c.Tags(ctx, name)
		}
		return err
	}()
	kind := adminapi.KindOf(err)
	switch {
	case kind == adminapi.VMNotFound:
		return nil, nil
	case kind != "":
		v.Err = err.Error()
	case err != nil:
		return nil, err
	default:
		v.Err = ""
	}
	return &v, nil
}

func (l *Live) applyStats(e adminapi.Event) {
	old := l.vms[qube.Name(e.Subject)]
	if e.Name != "vm-stats" || old == nil {
		return
	}
	v := *old
	v.MemKiB, _ = strconv.ParseUint(e.Get("memory_kb"), 10, 64)
	v.CPUPercent, _ = strconv.Atoi(e.Get("cpu_usage"))
	v.SwapKiB, _ = strconv.ParseUint(e.Get("swap_used"), 10, 64)
	l.vms[v.Name] = &v
}
