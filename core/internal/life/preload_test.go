package life_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/internal/hypervisor/fake"
	"qubist/core/internal/lifetest"
	"qubist/core/qube"
)

// preloading is a system with a disposable template "dvm" that wants n disposables ready.
func preloading(t *testing.T, o lifetest.Options, n string) *lifetest.System {
	t.Helper()
	o.Daemons = &daemons{}
	s := lifetest.New(t, o)
	pair(t, s)
	s.Add(t, domain.NewVM{Class: qube.AppVM, Name: "dvm"}, "deb")
	set(t, s, "dvm", "template_for_dispvms", domain.BoolValue(true))
	if err := s.Write(func(m *domain.Model) error {
		return errors.Join(
			m.SetFeature(m.VM("deb"), "supported-rpc.qubes.WaitForRunningSystem", "1"),
			m.SetFeature(m.VM("deb"), "supported-rpc.qubes.WaitForSession", "1"),
			m.SetFeature(m.VM("dvm"), "preload-dispvm-delay", "0"),
			m.SetFeature(m.VM("dvm"), "preload-dispvm-max", n))
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func set(t *testing.T, s *lifetest.System, n qube.Name, prop string, v domain.Value) {
	t.Helper()
	if err := s.Write(func(m *domain.Model) error {
		d, err := m.Def(m.VM(n), prop)
		if err != nil {
			return err
		}
		return m.SetValue(m.VM(n), d, v)
	}); err != nil {
		t.Fatal(err)
	}
}

// readyOnes lists the disposables that are ready.
func readyOnes(s *lifetest.System) []qube.Name {
	var out []qube.Name
	_ = s.Read(func(m *domain.Model) error {
		for _, n := range domain.Preloaded(m.VM("dvm")) {
			if vm := m.VM(n); vm != nil && domain.PreloadReady(vm) && vm.Run.State == qube.Paused && m.Truth(vm, "is_preload") {
				out = append(out, n)
			}
		}
		return nil
	})
	return out
}

func disposables(s *lifetest.System) (n int) {
	_ = s.Read(func(m *domain.Model) error {
		for _, vm := range m.VMs() {
			if vm.Class == qube.DispVM {
				n++
			}
		}
		return nil
	})
	return n
}

func TestPreloadedAreUsedAndRefilled(t *testing.T) {
	s := preloading(t, lifetest.Options{}, "2")
	until(t, "two disposables", func() bool { return len(readyOnes(s)) == 2 })
	first := readyOnes(s)[0]
	n, err := s.TakePreload(context.Background(), "dvm")
	if err != nil || n != first {
		t.Fatalf("took %q (%v), want %q", n, err, first)
	}
	if st := state(t, s, n); st != qube.Running {
		t.Errorf("the one in use is %s", st)
	}
	_ = s.Read(func(m *domain.Model) error {
		for _, f := range m.VM(n).Features() {
			if f.Key == "internal" || f.Key == "preload-dispvm-completed" || f.Key == "preload-dispvm-in-progress" {
				t.Errorf("it still has feature %s", f.Key)
			}
		}
		return nil
	})
	until(t, "a replacement", func() bool { l := readyOnes(s); return len(l) == 2 && !slices.Contains(l, n) })

	// Whoever unpauses one by hand has it.
	by := readyOnes(s)[0]
	if err := s.Unpause(context.Background(), by); err != nil {
		t.Fatal(err)
	}
	until(t, "another replacement", func() bool { l := readyOnes(s); return len(l) == 2 && !slices.Contains(l, by) })

	// Paused ones may be shut down; those in use stay.
	if err := s.Write(func(m *domain.Model) error { return m.SetFeature(m.VM("dvm"), "preload-dispvm-max", "0") }); err != nil {
		t.Fatal(err)
	}
	until(t, "none waiting", func() bool { return len(readyOnes(s)) == 0 && disposables(s) == 2 })
}

func TestPreloadedFollowTheirTemplate(t *testing.T) {
	s := preloading(t, lifetest.Options{}, "1")
	until(t, "a disposable", func() bool { return len(readyOnes(s)) == 1 })
	old := readyOnes(s)[0]
	set(t, s, "dvm", "vcpus", domain.IntValue(3))
	n, err := s.TakePreload(context.Background(), "dvm")
	if err != nil || n != "" {
		t.Fatalf("took %q (%v), which is outdated", n, err)
	}
	if st := state(t, s, old); st != "" {
		t.Errorf("the outdated one is still there, %s", st)
	}
	set(t, s, "dvm", "template_for_dispvms", domain.BoolValue(false)) // also looks again
	until(t, "none", func() bool { return disposables(s) == 0 })
}

func TestSuspendDropsPreloaded(t *testing.T) {
	s := preloading(t, lifetest.Options{}, "1")
	until(t, "a disposable", func() bool { return len(readyOnes(s)) == 1 })
	start(t, s, "work")
	start(t, s, "deb")
	if err := s.Pause(context.Background(), "deb"); err != nil {
		t.Fatal(err)
	}
	if err := s.SuspendPre(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := disposables(s); n != 0 || state(t, s, "work") != qube.Paused {
		t.Errorf("%d disposables, work is %s", n, state(t, s, "work"))
	}
	if err := s.SuspendPost(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w, d := state(t, s, "work"), state(t, s, "deb"); w != qube.Running || d != qube.Paused {
		t.Errorf("work is %s, deb, which was paused before, %s", w, d)
	}
}

func start(t *testing.T, s *lifetest.System, n qube.Name) {
	t.Helper()
	if err := s.Start(context.Background(), n); err != nil {
		t.Fatal(err)
	}
}

func TestPreloadFailureLeavesNothing(t *testing.T) {
	d, err := fake.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	tried := make(chan struct{}, 10)
	d.BeforeCreate = func(context.Context, hypervisor.Spec) error { tried <- struct{}{}; return errors.New("no memory") }
	s := preloading(t, lifetest.Options{Driver: d}, "1")
	<-tried
	until(t, "nothing", func() bool { return disposables(s) == 0 })
}

func TestInterruptedPreloadsAreEnded(t *testing.T) {
	s := preloading(t, lifetest.Options{}, "1")
	until(t, "a disposable", func() bool { return len(readyOnes(s)) == 1 })
	ready := readyOnes(s)[0]
	if err := s.Write(func(m *domain.Model) error { return m.RemoveFeature(m.VM(ready), "preload-dispvm-completed") }); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	again := lifetest.New(t, lifetest.Options{Root: s.Root, Driver: s.Driver, Daemons: &daemons{}})
	until(t, "the interrupted one to go", func() bool { return state(t, again, ready) == "" })
}
