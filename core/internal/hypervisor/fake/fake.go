// Package fake is a hypervisor without guests: domains are lines in a file. It keeps its
// promises about states, events and survival of this process, so that everything above a
// hypervisor can run and be tested anywhere. It does not touch disks or sockets.
package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// Driver implements hypervisor.Driver.
type Driver struct {
	file string
	// BeforeCreate, when set, is called without locks by Create and may delay or fail it.
	// ShutdownTakes is how long guests take to shut down; negative means for ever.
	BeforeCreate  func(context.Context, hypervisor.Spec) error
	ShutdownTakes time.Duration
	// Terminal is the console of every domain.
	Terminal string

	mu     sync.Mutex
	doms   map[qube.Name]*domain
	subs   map[chan hypervisor.Event]struct{}
	timers sync.WaitGroup
	closed chan struct{}
}

var (
	_ hypervisor.Driver   = (*Driver)(nil)
	_ hypervisor.Consoler = (*Driver)(nil)
)

type domain struct {
	Spec  hypervisor.Spec
	State qube.State
	Since time.Time
	MemMB uint64
}

// Open makes a driver whose domains are kept in file; "" keeps them in memory only.
func Open(file string) (*Driver, error) {
	d := &Driver{file: file, doms: map[qube.Name]*domain{}, subs: map[chan hypervisor.Event]struct{}{}, closed: make(chan struct{}), ShutdownTakes: 10 * time.Millisecond}
	if file == "" {
		return d, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return d, os.MkdirAll(filepath.Dir(file), 0o770)
	}
	if err == nil {
		err = json.Unmarshal(b, &d.doms)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the fake's domains: %w", err)
	}
	return d, nil
}

// keep writes the file; the caller holds the lock.
func (d *Driver) keep() error {
	if d.file == "" {
		return nil
	}
	b, err := json.Marshal(d.doms)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.file+"~", b, 0o600); err != nil {
		return err
	}
	return os.Rename(d.file+"~", d.file)
}

func (d *Driver) tell(e hypervisor.Event) {
	for ch := range d.subs {
		ch <- e // large buffers; see Events
	}
}

// Accel implements hypervisor.Driver.
func (d *Driver) Accel() hypervisor.Accel {
	return hypervisor.Accel{Reason: "the fake hypervisor runs no guests"}
}

// Create implements hypervisor.Driver.
func (d *Driver) Create(ctx context.Context, s hypervisor.Spec) error {
	if d.BeforeCreate != nil {
		if err := d.BeforeCreate(ctx, s); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.doms[s.Name] != nil {
		return hypervisor.ErrExists
	}
	d.doms[s.Name] = &domain{Spec: s, State: qube.Paused, Since: time.Now(), MemMB: s.MemoryMiB}
	if err := d.keep(); err != nil {
		delete(d.doms, s.Name)
		return err
	}
	return nil
}

// set changes a domain's state; Halted removes it.
func (d *Driver) set(n qube.Name, to qube.State) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dom := d.doms[n]
	if dom == nil {
		return hypervisor.ErrNotFound
	}
	dom.State = to
	if to == qube.Halted {
		delete(d.doms, n)
	}
	if err := d.keep(); err != nil {
		return err
	}
	d.tell(hypervisor.Event{Name: n, XID: dom.Spec.XID, State: to})
	return nil
}

// Resume implements hypervisor.Driver.
func (d *Driver) Resume(_ context.Context, n qube.Name) error { return d.set(n, qube.Running) }

// Pause implements hypervisor.Driver.
func (d *Driver) Pause(_ context.Context, n qube.Name) error { return d.set(n, qube.Paused) }

// Destroy implements hypervisor.Driver.
func (d *Driver) Destroy(_ context.Context, n qube.Name) error { return d.set(n, qube.Halted) }

// Shutdown implements hypervisor.Driver.
func (d *Driver) Shutdown(_ context.Context, n qube.Name) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dom := d.doms[n]
	if dom == nil {
		return hypervisor.ErrNotFound
	}
	if d.ShutdownTakes < 0 {
		return nil
	}
	d.timers.Go(func() {
		select {
		case <-time.After(d.ShutdownTakes):
		case <-d.closed:
			return
		}
		d.mu.Lock()
		same := d.doms[n] == dom && dom.State != qube.Paused
		d.mu.Unlock()
		if same {
			_ = d.set(n, qube.Halted) // it may be gone by now
		}
	})
	return nil
}

// Crash ends a domain from inside, for tests.
func (d *Driver) Crash(n qube.Name) error { return d.set(n, qube.Halted) }

func (dom *domain) info() hypervisor.Info {
	return hypervisor.Info{Name: dom.Spec.Name, UUID: dom.Spec.UUID, XID: dom.Spec.XID, State: dom.State, MemKiB: dom.MemMB * 1024}
}

// Get implements hypervisor.Driver.
func (d *Driver) Get(_ context.Context, n qube.Name) (hypervisor.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dom := d.doms[n]
	if dom == nil {
		return hypervisor.Info{}, hypervisor.ErrNotFound
	}
	return dom.info(), nil
}

// List implements hypervisor.Driver.
func (d *Driver) List(context.Context) ([]hypervisor.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []hypervisor.Info
	for _, dom := range d.doms {
		out = append(out, dom.info())
	}
	return out, nil
}

// Spec is what a domain was built from, for tests.
func (d *Driver) Spec(n qube.Name) (hypervisor.Spec, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dom := d.doms[n]; dom != nil {
		return dom.Spec, true
	}
	return hypervisor.Spec{}, false
}

// SetMemory implements hypervisor.Driver.
func (d *Driver) SetMemory(_ context.Context, n qube.Name, mib uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dom := d.doms[n]
	if dom == nil {
		return hypervisor.ErrNotFound
	}
	dom.MemMB = mib
	return d.keep()
}

// Events implements hypervisor.Driver. The queue between is unbounded: the fake is for
// tests, where nothing may be lost.
func (d *Driver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	in, out := make(chan hypervisor.Event), make(chan hypervisor.Event)
	d.mu.Lock()
	d.subs[in] = struct{}{}
	d.mu.Unlock()
	d.timers.Go(func() {
		defer close(out)
		var queue []hypervisor.Event
		done := ctx.Done()
		for {
			var send chan<- hypervisor.Event
			var first hypervisor.Event
			if len(queue) > 0 {
				send, first = out, queue[0]
			}
			select {
			case e := <-in:
				queue = append(queue, e)
			case send <- first:
				queue = queue[1:]
			case <-done:
				go drain(in) // tell may be waiting with the lock held
				d.mu.Lock()
				delete(d.subs, in)
				d.mu.Unlock()
				close(in)
				return
			}
		}
	})
	return out, nil
}

func drain(ch <-chan hypervisor.Event) {
	for range ch {
	}
}

// WindowRegion implements hypervisor.Driver.
func (d *Driver) WindowRegion(xid qube.DomID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dom := range d.doms {
		if dom.Spec.XID == xid && dom.Spec.WindowRegion > 0 {
			return fmt.Sprintf("/dev/shm/qubist-fake-%d", xid)
		}
	}
	return ""
}

// Close implements hypervisor.Driver. The contexts given to Events must have ended.
func (d *Driver) Close() error {
	close(d.closed)
	d.timers.Wait()
	return nil
}

// Console implements hypervisor.Consoler.
func (d *Driver) Console(_ context.Context, n qube.Name) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.doms[n] == nil {
		return "", hypervisor.ErrNotFound
	}
	if d.Terminal == "" {
		return "", errors.New("the fake has no terminals")
	}
	return d.Terminal, nil
}
