package life

import (
	"context"

	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// guest is what a System keeps of a qube besides the model. All fields but op are guarded
// by System.mu.
type guest struct {
	op       chan struct{} // holds one token: the right to change what the qube runs
	base     qube.State    // what the hypervisor says
	ready    bool          // the agent was heard, or is not awaited
	starting bool
	gone     chan struct{} // closed when the domain ended; one for each domain
	stopped  chan struct{} // closed when the end was dealt with
	database chan struct{} // wakes the keeper of its QubesDB; nil when there was none yet
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// guest finds or makes the record of a qube. The caller holds s.mu for writing.
func (s *System) guest(n qube.Name) *guest {
	g := s.guests[n]
	if g == nil {
		g = &guest{op: make(chan struct{}, 1), base: qube.Halted, gone: closed(), stopped: closed()}
		g.op <- struct{}{}
		s.guests[n] = g
	}
	return g
}

// lock takes a qube's operation lock; call the returned function to give it back.
func (s *System) lock(ctx context.Context, n qube.Name) (func(), error) {
	s.mu.Lock()
	if s.m.VM(n) == nil {
		s.mu.Unlock()
		return nil, domain.NotFound(string(n))
	}
	op := s.guest(n).op
	s.mu.Unlock()
	select {
	case <-op:
		return func() { op <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// settle computes the power state others see. The caller holds s.mu for writing.
func (g *guest) settle(vm *domain.VM) {
	switch {
	case g.starting, g.base == qube.Running && !g.ready:
		vm.Run.State = qube.Transient
	default:
		vm.Run.State = g.base
	}
}

// watch follows the hypervisor until the system closes.
func (s *System) watch(events <-chan hypervisor.Event) {
	for e := range events {
		s.apply(e)
	}
}

// apply takes one change into the model.
func (s *System) apply(e hypervisor.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vm := s.m.VM(e.Name)
	if vm == nil || vm.Run.XID == 0 || vm.Run.XID != e.XID {
		return // an older domain, or not ours
	}
	g := s.guest(e.Name)
	switch e.State {
	case qube.Halted, qube.Crashed:
		s.ended(vm, g)
		return
	}
	if e.Rebooted {
		s.Log.Info("the guest rebooted", "qube", e.Name)
	}
	before := g.base
	if before == qube.Dying {
		return
	}
	g.base = e.State
	g.settle(vm)
	if g.starting || before == g.base {
		return
	}
	switch {
	case g.base == qube.Paused:
		s.m.Fire(vm, "domain-paused")
	case before == qube.Paused && g.base == qube.Running:
		s.m.Fire(vm, "domain-unpaused")
		s.m.NetvmApplied(vm)
	}
}

// ended notes the end of a domain and sees to it that it is dealt with. The caller holds
// s.mu for writing.
func (s *System) ended(vm *domain.VM, g *guest) {
	if g.base == qube.Dying {
		return
	}
	g.base = qube.Dying
	g.settle(vm)
	close(g.gone)
	if s.ctx.Err() != nil {
		return // the next process makes up for it
	}
	name, xid := vm.Name, vm.Run.XID
	s.goes(func() {
		unlock, err := s.lock(s.ctx, name)
		if err != nil {
			return
		}
		defer unlock()
		s.afterStop(name, xid)
	})
}
