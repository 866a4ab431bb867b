// Package hvtest is the conformance suite of hypervisor drivers: every driver keeps the
// promises of the interface's comments, checked here.
package hvtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// Config says how to test a driver.
type Config struct {
	// Open connects to the hypervisor. It is called again to see what survives.
	Open func(t *testing.T) hypervisor.Driver
	// Spec describes a domain that can be built. Its guest need not do anything.
	Spec func(t *testing.T, n qube.Name, xid qube.DomID) hypervisor.Spec
	// Obeys says that guests of Spec shut down when asked.
	Obeys bool
	// Wait bounds each wait for the hypervisor.
	Wait time.Duration
}

// Run runs the suite.
func Run(t *testing.T, c Config) {
	t.Run("absent", func(t *testing.T) { absent(t, c) })
	t.Run("life", func(t *testing.T) { life(t, c) })
	t.Run("exists", func(t *testing.T) { exists(t, c) })
	t.Run("shutdown", func(t *testing.T) { shutdown(t, c) })
	t.Run("survives", func(t *testing.T) { survives(t, c) })
}

func (c Config) open(t *testing.T) (context.Context, hypervisor.Driver, <-chan hypervisor.Event) {
	t.Helper()
	d := c.Open(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*c.Wait)
	ev, err := d.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range ev { // Events closes the channel when ctx ends
		}
		if err := d.Close(); err != nil {
			t.Error("closing:", err)
		}
	})
	return ctx, d, ev
}

// build makes a domain that is destroyed at the end.
func (c Config) build(t *testing.T, ctx context.Context, d hypervisor.Driver, n qube.Name, xid qube.DomID) hypervisor.Spec {
	t.Helper()
	s := c.Spec(t, n, xid)
	if err := d.Create(ctx, s); err != nil {
		t.Fatal("creating:", err)
	}
	t.Cleanup(func() { _ = d.Destroy(context.Background(), n) })
	return s
}

// await reads events until one has brought n to a state.
func (c Config) await(t *testing.T, ev <-chan hypervisor.Event, n qube.Name, xid qube.DomID, to ...qube.State) {
	t.Helper()
	end := time.After(c.Wait)
	for {
		select {
		case e, ok := <-ev:
			if !ok {
				t.Fatal("the event channel was closed early")
			}
			if e.Name == n && slices.Contains(to, e.State) {
				if e.XID != xid {
					t.Fatalf("event %+v, want xid %d", e, xid)
				}
				return
			}
		case <-end:
			t.Fatalf("no event brought %s to %v", n, to)
		}
	}
}

func absent(t *testing.T, c Config) {
	ctx, d, _ := c.open(t)
	for name, err := range map[string]error{
		"Resume": d.Resume(ctx, "hv-absent"), "Pause": d.Pause(ctx, "hv-absent"), "Shutdown": d.Shutdown(ctx, "hv-absent"),
		"Destroy": d.Destroy(ctx, "hv-absent"), "SetMemory": d.SetMemory(ctx, "hv-absent", 64),
	} {
		if !errors.Is(err, hypervisor.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	if _, err := d.Get(ctx, "hv-absent"); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if p := d.WindowRegion(4242); p != "" {
		t.Errorf("window region %q of nobody", p)
	}
}

func life(t *testing.T, c Config) {
	ctx, d, ev := c.open(t)
	s := c.build(t, ctx, d, "hv-life", 101)
	state := func(want qube.State) {
		t.Helper()
		i, err := d.Get(ctx, s.Name)
		if err != nil || i.State != want || i.XID != s.XID || i.UUID != s.UUID || i.Name != s.Name {
			t.Fatalf("got %+v %v, want %s of %+v", i, err, want, s)
		}
	}
	state(qube.Paused)
	if err := d.Resume(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	c.await(t, ev, s.Name, s.XID, qube.Running)
	state(qube.Running)
	if err := d.Pause(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	c.await(t, ev, s.Name, s.XID, qube.Paused)
	state(qube.Paused)
	if err := d.Destroy(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(ctx, s.Name); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("after Destroy: %v", err)
	}
	c.await(t, ev, s.Name, s.XID, qube.Halted, qube.Crashed)
}

func exists(t *testing.T, c Config) {
	ctx, d, _ := c.open(t)
	s := c.build(t, ctx, d, "hv-exists", 102)
	if err := d.Create(ctx, s); !errors.Is(err, hypervisor.ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	if i, err := d.Get(ctx, s.Name); err != nil || i.XID != s.XID {
		t.Errorf("the first domain suffered: %+v %v", i, err)
	}
}

func shutdown(t *testing.T, c Config) {
	if !c.Obeys {
		t.Skip("the guests of this configuration do not react to the power button")
	}
	ctx, d, ev := c.open(t)
	s := c.build(t, ctx, d, "hv-shutdown", 103)
	if err := d.Resume(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	if err := d.Shutdown(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	c.await(t, ev, s.Name, s.XID, qube.Halted)
}

func survives(t *testing.T, c Config) {
	s := func() hypervisor.Spec {
		var s hypervisor.Spec
		t.Run("first", func(t *testing.T) {
			ctx, d, _ := c.open(t)
			s = c.Spec(t, "hv-survives", 104)
			if err := d.Create(ctx, s); err != nil {
				t.Fatal(err)
			}
			if err := d.Resume(ctx, s.Name); err != nil {
				t.Fatal(err)
			}
		})
		return s
	}()
	ctx, d, ev := c.open(t)
	l, err := d.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(l, func(i hypervisor.Info) bool { return i.Name == s.Name })
	if i < 0 || l[i].XID != s.XID || l[i].UUID != s.UUID || l[i].State != qube.Running {
		t.Fatalf("after reconnecting: %+v", l)
	}
	if err := d.Destroy(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	c.await(t, ev, s.Name, s.XID, qube.Halted, qube.Crashed)
}
