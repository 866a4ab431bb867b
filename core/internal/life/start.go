package life

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/internal/launch"
	"qubist/core/qube"
)

const (
	// windowRegion is the size of a qube's shared window memory, in bytes.
	windowRegion = 256 << 20
	// transportWait bounds how long the start waits for the multiplexer.
	transportWait = 20 * time.Second
)

// Start starts a qube, its network qubes first, and returns when its agent is there. A qube
// that is not halted is a success.
func (s *System) Start(ctx context.Context, n qube.Name) error { return s.startChain(ctx, n, nil) }

// startChain starts n on behalf of the qubes in users, which wait for it: one that waits for
// itself is a loop in the network.
func (s *System) startChain(ctx context.Context, n qube.Name, users []qube.Name) error {
	if slices.Contains(users, n) {
		return adminapi.Errorf(adminapi.VMError, "Network loop: %s needs itself to start", n)
	}
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	var p plan
	halted := false
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		switch {
		case vm == nil:
			return domain.NotFound(string(n))
		case vm.Class == qube.AdminVM:
			return adminapi.Errorf(adminapi.VMNotHalted, "Cannot start Dom0 fake domain!")
		case vm.Class == qube.RemoteVM:
			return adminapi.Errorf(adminapi.VMNotHalted, "Cannot start a RemoteVM.")
		}
		halted = vm.Halted() && !vm.Pending
		p = s.plan(m, vm)
		return nil
	}); err != nil || !halted {
		return err
	}
	// A start is not tied to the caller: it ends by itself or with the system.
	err = s.start(s.ctx, &p, append(users, n))
	if err == nil {
		return nil
	}
	err = startError(err)
	reason := err.Error()
	_ = s.Write(func(m *domain.Model) error {
		if vm := m.VM(n); vm != nil {
			m.Fire(vm, "domain-start-failed", "reason", strings.ReplaceAll(reason, "\x00", ""))
			if p.spawned {
				fireStopped(m, vm)
			}
		}
		return nil
	})
	s.Log.Warn("start failed", "qube", n, "err", err)
	s.cleanup(n)
	return err
}

// startError makes an exception of whatever went wrong.
func startError(err error) error {
	var e *adminapi.Error
	if errors.As(err, &e) {
		return e
	}
	return adminapi.Errorf(adminapi.Exception, "Start failed: %v", err)
}

// start goes through the steps in upstream's order; what was done is undone when one fails.
func (s *System) start(ctx context.Context, p *plan, chain []qube.Name) (err error) {
	if p.prohibit != "" {
		return adminapi.Errorf(adminapi.Exception, "Qube start is prohibited. Rationale: %s", p.prohibit)
	}
	s.fire(p.name, "domain-pre-start", "start_guid", "True", "mem_required", "None")
	if p.restore {
		return adminapi.Errorf(adminapi.VMError, "Restore of this domain in progress, cannot start")
	}
	if err := s.required(ctx, p); err != nil {
		return err
	}
	if p.encrypt != "" { // started in clear it would break a promise
		return adminapi.Errorf(adminapi.StoragePool, "Volume %s of %s is ephemeral, and encrypted volumes are not available", p.encrypt, p.name)
	}
	if err := s.verify(ctx, p); err != nil {
		return err
	}
	s.fire(p.name, "domain-verify-files")
	if p.netvm != "" {
		if err := s.startChain(ctx, p.netvm, chain); err != nil {
			return err
		}
	}
	var undo undo
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	undo.add(func() { s.stopVolumes(p.volumes) })
	if p.spec.Disks, err = s.startVolumes(ctx, p.volumes); err != nil {
		return err
	}
	s.fire(p.name, "domain-pre-spawn", "start_guid", "True")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := s.spawn(ctx, cancel, p, &undo); err != nil {
		return err
	}
	if err := s.boot(ctx, p); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errDied) {
			return cause
		}
		return err
	}
	return nil
}

var errDied = errors.New("the domain ended while it was starting")

// spawn builds the domain, paused.
func (s *System) spawn(ctx context.Context, cancel context.CancelCauseFunc, p *plan, undo *undo) error {
	if p.spec.Kernel == "" {
		return adminapi.Errorf(adminapi.VMError, "Qubes with a kernel of their own cannot be started, set property kernel")
	}
	xid, err := s.nextXID()
	if err != nil {
		return err
	}
	p.spec.XID = xid
	p.spec.PortSocket = s.Paths.PortSocket(uint32(xid))
	// no_timer_check: on a busy host an emulated timer looks broken, and the kernel would panic.
	p.spec.Cmdline = "root=/dev/vda rw console=ttyS0 quiet panic=-1 no_timer_check qubist.domid=" + strconv.Itoa(int(xid)) + " " + p.spec.Cmdline
	if err := mkdirs(s.Paths.VchanDir(), s.Paths.Log); err != nil {
		return err
	}
	gone := make(chan struct{})
	s.mu.Lock()
	vm, g := s.m.VM(p.name), s.guest(p.name)
	vm.Run = domain.Run{XID: xid, Since: s.Now()}
	g.base, g.ready, g.starting, g.gone, g.stopped = qube.Paused, false, true, gone, make(chan struct{})
	g.settle(vm)
	s.mu.Unlock()
	undo.add(func() { s.forget(p.name) })
	go func() { // ends with ctx, which start cancels
		select {
		case <-gone:
			cancel(errDied)
		case <-ctx.Done():
		}
	}()
	if err := s.Driver.Create(ctx, p.spec); err != nil {
		return err
	}
	undo.add(func() {
		if err := s.Driver.Destroy(context.WithoutCancel(ctx), p.name); err != nil && !errors.Is(err, hypervisor.ErrNotFound) {
			s.Log.Error("destroying a half-started domain", "qube", p.name, "err", err)
		}
	})
	undo.add(func() { s.Daemons.Stop(xid) })
	s.fireAll(p.name, "property-reset:xid", "property-reset:stubdom_xid", "property-reset:start_time")
	p.spawned = true
	s.fire(p.name, "domain-spawn", "start_guid", "True")
	return nil
}

// boot lets the domain run and waits for its agent.
func (s *System) boot(ctx context.Context, p *plan) error {
	for _, v := range p.persist { // stored unchecked, as in the original
		if err := domain.CheckPersist(v); err != nil {
			return err
		}
	}
	tctx, cancel := context.WithTimeout(ctx, transportWait)
	defer cancel()
	if err := s.Daemons.Start(tctx, s.vchand(p)); err != nil {
		return fmt.Errorf("starting the transport: %w", err)
	}
	if err := s.makeDatabase(ctx, p); err != nil {
		return err
	}
	s.fire(p.name, "domain-pre-unpaused")
	if err := s.Driver.Resume(ctx, p.name); err != nil {
		return err
	}
	s.note(p.name, func(g *guest) { g.base, g.starting, g.ready = qube.Running, false, !p.agent })
	s.fire(p.name, "domain-unpaused")
	if p.agent {
		qctx, cancel := context.WithTimeout(ctx, p.qrexec)
		defer cancel()
		if err := s.Daemons.Start(qctx, s.qrexecd(p)); err != nil {
			if context.Cause(ctx) == nil && qctx.Err() != nil {
				return adminapi.Errorf(adminapi.VMError, "Cannot connect to qrexec agent for %d seconds, see %s for details. %s", int(p.qrexec.Seconds()), p.spec.ConsoleLog, lastWords(p.spec.ConsoleLog))
			}
			return fmt.Errorf("starting qrexec-daemon: %w", err)
		}
		s.note(p.name, func(g *guest) { g.ready = true })
	} else {
		s.background(s.qrexecd(p))
	}
	if p.gui {
		s.background(s.guid(p))
	}
	s.fire(p.name, "domain-start", "start_guid", "True")
	return ctx.Err()
}

func (s *System) vchand(p *plan) launch.Daemon {
	return launch.Daemon{Program: "qubes-vchand", XID: p.spec.XID, Name: p.name, Args: []string{strconv.Itoa(int(p.spec.XID)), string(p.name)}}
}

func (s *System) qrexecd(p *plan) launch.Daemon {
	args := []string{"-q", "-u", p.spec.UUID, "--", strconv.Itoa(int(p.spec.XID)), string(p.name), p.user}
	return launch.Daemon{Program: "qrexec-daemon", XID: p.spec.XID, Name: p.name, Args: args}
}

func (s *System) guid(p *plan) launch.Daemon {
	args := []string{"-q", "-T", "-d", strconv.Itoa(int(p.spec.XID)), "-N", string(p.name), "-c", fmt.Sprintf("0x%06x", p.label.Color),
		"-l", strconv.Itoa(p.label.Index), "--region", s.Driver.WindowRegion(p.spec.XID)}
	return launch.Daemon{Program: "qubes-guid", XID: p.spec.XID, Name: p.name, Args: args, Display: true}
}

// background starts a daemon nobody waits for.
func (s *System) background(d launch.Daemon) {
	s.goes(func() {
		if err := s.Daemons.Start(s.ctx, d); err != nil && s.ctx.Err() == nil {
			s.Log.Warn("daemon not ready", "program", d.Program, "qube", d.Name, "err", err)
		}
	})
}

// note changes a guest's record and the state that follows from it.
func (s *System) note(n qube.Name, f func(*guest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vm, g := s.m.VM(n), s.guest(n)
	if g.base == qube.Dying {
		return
	}
	f(g)
	g.settle(vm)
}

// forget returns a qube that did not start to Halted.
func (s *System) forget(n qube.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vm, g := s.m.VM(n), s.guest(n)
	vm.Run = domain.Run{State: qube.Halted}
	g.base, g.starting, g.ready = qube.Halted, false, false
	select {
	case <-g.gone:
	default:
		close(g.gone)
	}
	close(g.stopped)
}

// fire emits one event about a qube and waits until listeners have it.
func (s *System) fire(n qube.Name, name string, args ...string) {
	_ = s.Write(func(m *domain.Model) error { // nothing durable changes
		if vm := m.VM(n); vm != nil {
			m.Fire(vm, name, args...)
		}
		return nil
	})
}

// fireAll emits property-reset announcements.
func (s *System) fireAll(n qube.Name, names ...string) {
	for _, e := range names {
		s.fire(n, e, "name", strings.TrimPrefix(e, "property-reset:"))
	}
}

// undo collects what must be taken back, newest first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

func (u *undo) run() {
	for i := len(*u) - 1; i >= 0; i-- {
		(*u)[i]()
	}
}
