package life_test

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"qubist/core/internal/domain"
	"qubist/core/internal/launch"
	"qubist/core/internal/lifetest"
	daemon "qubist/core/internal/qubesdb"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/qubesdb"
)

// databases starts real database daemons in this process, and no other daemons.
type databases struct {
	*testing.T
	dir string
	mu  sync.Mutex
	end map[qube.DomID]func()
}

func (d *databases) Start(ctx context.Context, l launch.Daemon) error {
	if l.Program != "qubesdb-daemon" {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	s := daemon.New(daemon.Config{Name: string(l.Name), Dir: d.dir, Perms: 0o600, Ready: func() { close(ready) }, Log: slog.New(slog.DiscardHandler)})
	go func() { done <- s.Run(ctx) }()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end[l.XID] = func() {
		cancel()
		if err := <-done; err != nil {
			d.Error(err)
		}
	}
	select {
	case <-ready:
		return nil
	case <-time.After(5 * time.Second):
		return errors.New("not ready")
	}
}

func (d *databases) Stop(x qube.DomID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.end[x]; f != nil {
		delete(d.end, x)
		f()
	}
}

func (*databases) Keep([]qube.DomID) {}

// TestDatabaseFollowsTheQube: it is filled before the qube runs, follows features, and is
// filled again when its daemon was started again.
func TestDatabaseFollowsTheQube(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "qdb") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	d := &databases{T: t, dir: dir, end: map[qube.DomID]func(){}}
	s := lifetest.New(t, lifetest.Options{Daemons: d, Database: func(_ paths.Paths, n qube.Name) *qubesdb.Client { return qubesdb.New(dir, string(n)) }})
	defer d.Stop(1)
	pair(t, s)
	if err := s.Start(t.Context(), "work"); err != nil {
		t.Fatal(err)
	}
	db := qubesdb.New(dir, "work")
	defer db.Close()
	read := func(key string) string {
		v, err := db.Read(t.Context(), key)
		if err != nil {
			return err.Error()
		}
		return v
	}
	for key, want := range map[string]string{"/name": "work", "/type": "AppVM", "/qubes-vm-type": "AppVM", "/qubes-gui-domain-xid": "0", "/qubes-service/meminfo-writer": "1"} {
		if got := read(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	seed, err := base64.StdEncoding.DecodeString(read(domain.SeedKey))
	if err != nil || len(seed) != 64 {
		t.Errorf("seed of %d bytes, %v", len(seed), err)
	}
	feature := func(f func(*domain.Model, *domain.VM) error) {
		t.Helper()
		if err := s.Write(func(m *domain.Model) error { return f(m, m.VM("work")) }); err != nil {
			t.Fatal(err)
		}
	}
	feature(func(m *domain.Model, vm *domain.VM) error { return m.SetFeature(vm, "service.cups", "1") })
	until(t, "the service", func() bool { return read("/qubes-service/cups") == "1" })
	feature(func(m *domain.Model, vm *domain.VM) error { return m.SetFeature(vm, "service.cups", "") })
	until(t, "the service's end", func() bool { return read("/qubes-service/cups") == "0" })
	d.Stop(1)
	if err := d.Start(t.Context(), launch.Daemon{Program: "qubesdb-daemon", XID: 1, Name: "work"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the new database", func() bool { return read("/name") == "work" && read("/qubes-service/cups") == "0" })
	feature(func(m *domain.Model, vm *domain.VM) error { return m.RemoveFeature(vm, "service.cups") })
	until(t, "the service's removal", func() bool {
		_, err := db.Read(t.Context(), "/qubes-service/cups")
		return errors.Is(err, qubesdb.ErrNotExist)
	})
	if err := s.Kill(t.Context(), "work"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/qubesdb.work.sock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}
