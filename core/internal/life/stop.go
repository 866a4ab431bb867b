package life

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// Kill ends a qube now and returns when its end was dealt with.
func (s *System) Kill(ctx context.Context, n qube.Name) error {
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		switch {
		case vm == nil:
			return domain.NotFound(string(n))
		case vm.Class == qube.AdminVM:
			return adminapi.Errorf(adminapi.VMError, "Cannot kill dom0.")
		case vm.Class == qube.RemoteVM:
			return adminapi.Errorf(adminapi.VMError, "Cannot kill a RemoteVM.")
		case vm.Halted():
			return domain.NotStarted(vm)
		}
		return nil
	}); err != nil {
		return err
	}
	// No operation lock: a start that hangs must be killable. The hypervisor reports the end.
	s.mu.RLock()
	stopped := s.guests[n].stopped
	s.mu.RUnlock()
	err := s.Driver.Destroy(ctx, n)
	if errors.Is(err, hypervisor.ErrNotFound) {
		s.missed(n)
	} else if err != nil {
		return fmt.Errorf("killing %s: %w", n, err)
	} else {
		s.missed(n) // Destroy returned: it is gone, whatever event comes later
	}
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// missed takes note of a domain that is known to be gone.
func (s *System) missed(n qube.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if vm := s.m.VM(n); vm != nil && vm.Run.XID != 0 {
		s.ended(vm, s.guest(n))
	}
}

// Shutdown asks a qube to shut down. With wait it returns when the qube has stopped, or
// after its shutdown_timeout with adminapi.VMShutdownTimeout.
func (s *System) Shutdown(ctx context.Context, n qube.Name, force, wait bool) error {
	var (
		refusal error
		paused  bool
		limit   time.Duration
		stopped chan struct{}
	)
	err := s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		switch {
		case vm == nil:
			return domain.NotFound(string(n))
		case vm.Class == qube.AdminVM:
			return adminapi.Errorf(adminapi.VMError, "Cannot shut down dom0.")
		case vm.Class == qube.RemoteVM:
			return adminapi.Errorf(adminapi.VMError, "Cannot shut down a RemoteVM.")
		case vm.Halted():
			return domain.NotStarted(vm)
		}
		m.Fire(vm, "domain-pre-shutdown", "force", adminapi.PyBool(force))
		limit, stopped = seconds(m.Number(vm, "shutdown_timeout")), s.guest(n).stopped
		paused = vm.Run.State == qube.Paused
		refusal = s.mayStop(m, vm, force)
		if refusal != nil {
			m.Fire(vm, "domain-shutdown-failed", "reason", refusal.Error())
		}
		return refusal
	})
	switch {
	case err != nil:
		return err
	case paused:
		return s.Kill(ctx, n)
	}
	if err := s.Driver.Shutdown(ctx, n); errors.Is(err, hypervisor.ErrNotFound) {
		s.missed(n)
	} else if err != nil {
		s.fire(n, "domain-shutdown-failed", "reason", strings.ReplaceAll(err.Error(), "\x00", ""))
		return adminapi.Errorf(adminapi.VMShutdownTimeout, "Domain shutdown timed out: '%s'", n)
	}
	if !wait {
		return nil
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-stopped:
		return nil
	case <-t.C:
		return adminapi.Errorf(adminapi.VMShutdownTimeout, "Domain shutdown timed out: '%s'", n)
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// mayStop applies the rules of spec core.md §10. The caller holds the lock.
func (s *System) mayStop(m *domain.Model, vm *domain.VM, force bool) error {
	if force {
		return nil
	}
	running := func(prop string) (names []string) {
		for _, c := range m.VMs() {
			if c != vm && c.Local() && c.Class != qube.AdminVM && !c.Halted() && m.Ref(c, prop) == vm {
				names = append(names, string(c.Name))
			}
		}
		return names
	}
	if n := running("netvm"); len(n) > 0 {
		return adminapi.Errorf(adminapi.VMInUse, "There are other VMs connected to this VM: %s", strings.Join(n, ", "))
	}
	if n := running("guivm"); len(n) > 0 {
		return adminapi.Errorf(adminapi.VMError, "There are other VMs whose windows this VM shows: %s", strings.Join(n, ", "))
	}
	if n := running("audiovm"); len(n) > 0 {
		return adminapi.Errorf(adminapi.VMInUse, "There are other VMs whose sound this VM carries: %s", strings.Join(n, ", "))
	}
	if vm.Run.State == qube.Paused {
		return domain.NotRunning(vm)
	}
	return nil
}

// Pause stops the processors of a running qube.
func (s *System) Pause(ctx context.Context, n qube.Name) error {
	return s.toggle(ctx, n, "domain-pre-paused", s.Driver.Pause, qube.Paused, mayPause)
}

func mayPause(vm *domain.VM) error {
	if vm.Run.State != qube.Running && vm.Run.State != qube.Transient {
		return domain.NotRunning(vm)
	}
	return nil
}

// Unpause lets a paused qube run on.
func (s *System) Unpause(ctx context.Context, n qube.Name) error {
	err := s.toggle(ctx, n, "domain-pre-unpaused", s.Driver.Resume, qube.Running, func(vm *domain.VM) error {
		if vm.Run.State != qube.Paused {
			return domain.NotPaused(vm)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Write(func(*domain.Model) error { return nil }) // saves what going on has changed
}

func (s *System) toggle(ctx context.Context, n qube.Name, pre string, act func(context.Context, qube.Name) error, to qube.State, check func(*domain.VM) error) error {
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	var xid qube.DomID
	if err := s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		switch {
		case vm == nil:
			return domain.NotFound(string(n))
		case vm.Run.XID == 0:
			if vm.Local() && vm.Class != qube.AdminVM {
				return check(vm)
			}
			return adminapi.Errorf(adminapi.VMError, "Cannot pause or unpause %s", n)
		}
		if err := check(vm); err != nil {
			return err
		}
		xid = vm.Run.XID
		if pre != "" {
			m.Fire(vm, pre)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := act(ctx, n); err != nil {
		return fmt.Errorf("changing the state of %s: %w", n, err)
	}
	s.apply(hypervisor.Event{Name: n, XID: xid, State: to})
	s.bus.flush()
	return nil
}

// afterStop deals with the end of a domain: daemons, volumes, events, clean-up. The caller
// holds the operation lock; a second call for the same domain does nothing.
func (s *System) afterStop(n qube.Name, xid qube.DomID) {
	var vols []volume.Config
	s.mu.RLock()
	vm := s.m.VM(n)
	current := vm != nil && vm.Run.XID == xid
	if current {
		for _, v := range vm.Volumes {
			if v.Name != "kernel" {
				vols = append(vols, v.Config)
			}
		}
	}
	s.mu.RUnlock()
	if !current {
		return
	}
	s.Daemons.Stop(xid)
	s.stopVolumes(vols)
	s.mu.Lock()
	g := s.guest(n)
	vm.Run = domain.Run{State: qube.Halted}
	g.base, g.ready, g.starting = qube.Halted, false, false
	fireStopped(s.m, vm)
	s.m.NetvmApplied(vm)
	s.mu.Unlock()
	s.bus.flush()
	s.cleanup(n)
	close(g.stopped)
}

// fireStopped tells listeners that a domain is gone.
func fireStopped(m *domain.Model, vm *domain.VM) {
	m.Fire(vm, "domain-stopped")
	for _, p := range []string{"xid", "stubdom_xid", "start_time"} {
		m.Fire(vm, "property-reset:"+p, "name", p)
	}
	m.Fire(vm, "domain-shutdown")
}

// cleanup removes a halted disposable that asked for it. The caller holds the operation lock.
func (s *System) cleanup(n qube.Name) {
	var vols []volume.Config
	var dir string
	err := s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil || vm.Class != qube.DispVM || !vm.Halted() || !m.Truth(vm, "auto_cleanup") {
			return nil
		}
		if err := m.Remove(vm); err != nil {
			return err
		}
		vols, dir = configs(vm), s.dir(vm)
		return nil
	})
	if err != nil {
		s.Log.Error("removing a disposable", "qube", n, "err", err)
	}
	if dir != "" {
		s.removeVolumes(vols)
		s.removeFiles(n, dir)
	}
}
