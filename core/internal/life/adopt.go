package life

import (
	"context"
	"fmt"

	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/internal/launch"
	"qubist/core/qube"
)

// adopt finds what an earlier process left running, and tidies up after what stopped while
// nobody watched. It runs before anything else; the plans it returns are of the qubes whose
// daemons are to be adopted next.
func (s *System) adopt(ctx context.Context) ([]plan, error) {
	infos, err := s.Driver.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing running domains: %w", err)
	}
	var plans []plan
	var xids []qube.DomID
	for _, i := range infos {
		vm := s.m.VM(i.Name)
		if vm == nil || vm.UUID != i.UUID || i.XID == 0 {
			s.Log.Warn("a running domain is not in the system description, leaving it alone", "domain", i.Name, "uuid", i.UUID)
			continue
		}
		plans = append(plans, s.adoptVM(vm, i))
		xids = append(xids, i.XID)
		s.xid = max(s.xid, i.XID)
	}
	s.Daemons.Keep(xids)
	for _, vm := range s.m.VMs() {
		if vm.Class == qube.AdminVM || !vm.Halted() {
			continue
		}
		s.stopVolumes(configs(vm))
		if vm.Class == qube.DispVM && s.m.Truth(vm, "auto_cleanup") {
			if err := s.m.Remove(vm); err != nil {
				s.Log.Error("removing a disposable", "qube", vm.Name, "err", err)
				continue
			}
			s.removeVolumes(configs(vm))
		}
	}
	return plans, nil
}

// adoptVM takes over the record of one running domain.
func (s *System) adoptVM(vm *domain.VM, i hypervisor.Info) plan {
	g := s.guest(vm.Name)
	vm.Run = domain.Run{XID: i.XID, Since: s.Now().Add(-i.CPU), MemKiB: i.MemKiB, CPU: i.CPU}
	p := s.plan(s.m, vm)
	p.spec.XID = i.XID
	g.base, g.ready = i.State, !p.agent
	g.gone, g.stopped = make(chan struct{}), make(chan struct{})
	g.settle(vm)
	s.Log.Info("adopted", "qube", vm.Name, "xid", i.XID, "state", i.State)
	return p
}

// adoptDaemons starts what is missing; daemons that are still there are only watched.
func (s *System) adoptDaemons(p *plan) {
	start := func(d launch.Daemon) bool {
		err := s.Daemons.Start(s.ctx, d)
		if err != nil && s.ctx.Err() == nil {
			s.Log.Warn("daemon not ready", "program", d.Program, "qube", d.Name, "err", err)
		}
		return err == nil
	}
	if !start(s.vchand(p)) {
		return
	}
	if err := s.adoptDatabase(p); err != nil && s.ctx.Err() == nil {
		s.Log.Warn("daemon not ready", "program", "qubesdb-daemon", "qube", p.name, "err", err)
	}
	if p.gui {
		s.background(s.guid(p))
	}
	if start(s.qrexecd(p)) {
		s.note(p.name, func(g *guest) { g.ready = true })
		s.fireAll(p.name, "property-reset:start_time") // those who listen look at it again
	}
}
