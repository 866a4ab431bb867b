package life

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"qubist/core/internal/domain"
	"qubist/core/internal/store"
	"qubist/core/qube"
)

// serviceWait bounds one service that is run in a qube around a suspend.
const serviceWait = 60 * time.Second

// pausedFile names the qubes that were paused before the machine was suspended.
func (s *System) pausedFile() string { return filepath.Join(s.Paths.Run, "previously-paused.list") }

// active lists the qubes that run (or are about to) and those that are paused.
func (s *System) active() (running, agents, paused []qube.Name) {
	_ = s.Read(func(m *domain.Model) error {
		for _, vm := range m.VMs() {
			if vm.Run.XID == 0 {
				continue
			}
			switch vm.Run.State {
			case qube.Running:
				running = append(running, vm.Name)
				if m.FeatureWithTemplate(vm, "qrexec") {
					agents = append(agents, vm.Name)
				}
			case qube.Transient:
				running = append(running, vm.Name)
			case qube.Paused, qube.Suspended:
				paused = append(paused, vm.Name)
			}
		}
		return nil
	})
	return running, agents, paused
}

// services runs a service as root in all qubes at once and waits. Failures are logged.
func (s *System) services(ctx context.Context, ns []qube.Name, service string) {
	for _, n := range ns {
		s.fire(n, "domain-cmd-pre-run", "start_guid", "False")
	}
	if s.RunService == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, serviceWait)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range ns {
		wg.Go(func() {
			if err := s.RunService(ctx, n, "root", service); err != nil {
				s.Log.Warn("running a service", "qube", n, "service", service, "err", err)
			}
		})
	}
	wg.Wait()
}

// SuspendPre prepares the suspend of the machine: qubes are told, then paused. Those that
// were paused before are remembered.
func (s *System) SuspendPre(ctx context.Context) error {
	running, agents, paused := s.active()
	b, err := json.Marshal(paused)
	if err == nil {
		err = store.Replace(s.FS, s.pausedFile(), b, 0o600)
	}
	if err != nil {
		return err
	}
	s.services(ctx, agents, "qubes.SuspendPreAll")
	for _, n := range running {
		s.fire(n, "domain-pre-paused")
	}
	for _, n := range running {
		err := s.toggle(ctx, n, "", s.Driver.Pause, qube.Paused, mayPause)
		if err != nil { // it may have ended
			s.Log.Warn("pausing for the suspend", "qube", n, "err", err)
		}
	}
	return nil
}

// SuspendPost lets the qubes go on after the machine was suspended.
func (s *System) SuspendPost(ctx context.Context) error {
	var before []qube.Name
	b, err := s.FS.ReadFile(s.pausedFile())
	if err == nil {
		err = json.Unmarshal(b, &before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, _, paused := s.active()
	paused = slices.DeleteFunc(paused, func(n qube.Name) bool { return slices.Contains(before, n) })
	for _, n := range paused {
		if err := s.Unpause(ctx, n); err != nil {
			s.Log.Warn("going on after the suspend", "qube", n, "err", err)
		}
	}
	_, agents, _ := s.active()
	agents = slices.DeleteFunc(agents, func(n qube.Name) bool { return !slices.Contains(paused, n) })
	s.services(ctx, agents, "qubes.SuspendPostAll")
	if err := s.FS.Remove(s.pausedFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Log.Warn("forgetting who was paused", "err", err)
	}
	return nil
}
