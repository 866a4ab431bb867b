// Package lifetest builds whole systems for tests: the real model and life cycle over the
// fake hypervisor, in a temporary directory, with facts of the machine that tests choose.
package lifetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor/fake"
	"qubist/core/internal/launch"
	"qubist/core/internal/life"
	"qubist/core/internal/store"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/qubesdb"
	"qubist/storage/volume"
)

// Options change what New builds.
type Options struct {
	Root    string // "" for a new temporary directory
	Driver  *fake.Driver
	Daemons life.Daemons
	// Database reaches the databases that Daemons serve; nil when they serve none.
	Database func(p paths.Paths, n qube.Name) *qubesdb.Client
	Fresh    func(*domain.Model)
	Host     func(*domain.Host) // changes the usual facts
	Devices  map[string]life.DeviceClass
}

// Kernel is installed in every system.
const Kernel = "6.12.40-1.fc41"

// System is a running system under test.
type System struct {
	*life.System
	Driver *fake.Driver
	Root   string
	close  sync.Once
}

// New opens a system that is closed at the end of the test, or earlier by Stop.
func New(t testing.TB, o Options) *System {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	p, err := paths.New(o.Root)
	if err != nil {
		t.Fatal(err)
	}
	if o.Driver == nil {
		if o.Driver, err = fake.Open(p.Run + "/domains"); err != nil {
			t.Fatal(err)
		}
		d := o.Driver
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if o.Daemons == nil {
		o.Daemons = launch.None{}
	}
	if o.Fresh == nil {
		o.Fresh = Fresh(p)
	}
	h := facts()
	if o.Host != nil {
		o.Host(&h)
	}
	for _, d := range []string{p.Lib, p.Run, p.Log} {
		if err := os.MkdirAll(d, 0o770); err != nil {
			t.Fatal(err)
		}
	}
	var database func(qube.Name) *qubesdb.Client
	if o.Database != nil {
		database = func(n qube.Name) *qubesdb.Client { return o.Database(p, n) }
	}
	sys, err := life.Open(t.Context(), life.Config{
		Database: database, DeviceClasses: o.Devices,
		Paths: p, Driver: o.Driver, Daemons: o.Daemons, Host: h, FS: store.OS{}, Now: time.Now, Fresh: o.Fresh,
		OpenPool: func(c domain.Pool) (volume.Pool, error) { return fake.OpenPool(c.Name, p.Lib+"/pool-"+c.Name), nil },
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		Dom0:     func() (uint64, time.Duration) { return 4194304, 5 * time.Second },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &System{System: sys, Driver: o.Driver, Root: o.Root}
	t.Cleanup(s.Stop)
	return s
}

// Stop closes the system; its domains go on.
func (s *System) Stop() { s.close.Do(s.Close) }

func facts() domain.Host {
	n := 0
	return domain.Host{
		MemoryMiB: 16384, CPUs: 4, Dom0MaxMiB: 4096,
		HasKernel:  func(k string) bool { return k == Kernel || k == "6.6.99-1.fc41" },
		Kernels:    func() []string { return []string{Kernel, "6.6.99-1.fc41"} },
		KernelText: func(string, string) (string, bool) { return "", false },
		NewUUID:    func() string { n++; return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) },
		NewDispID:  func() int { n++; return n % 10000 },
	}
}

// Fresh makes the two pools and the default kernel of a usual system.
func Fresh(p paths.Paths) func(*domain.Model) {
	return func(m *domain.Model) {
		m.Pools = []domain.Pool{
			{Name: "varlibqubes", Driver: "file", Options: []domain.KV{{Key: "dir_path", Value: p.Lib}}},
			{Name: "linux-kernel", Driver: "linux-kernel", Options: []domain.KV{{Key: "dir_path", Value: p.Lib + "/vm-kernels"}}},
		}
		for name, v := range map[string]string{"default_pool_kernel": "linux-kernel", "default_kernel": Kernel} {
			d, err := m.Def(nil, name)
			if err == nil {
				err = m.SetValue(nil, d, domain.TextValue(v))
			}
			if err != nil {
				panic("lifetest: " + err.Error())
			}
		}
	}
}

// Add makes a qube the short way.
func (s *System) Add(t testing.TB, n domain.NewVM, template string) {
	t.Helper()
	n.Creator = "dom0"
	if n.Label == "" {
		n.Label = "red"
	}
	if _, err := s.Create(context.Background(), func(m *domain.Model) (domain.NewVM, error) {
		if template != "" {
			n.Template = m.VM(qube.Name(template))
		}
		return n, nil
	}); err != nil {
		t.Fatal(err)
	}
}
