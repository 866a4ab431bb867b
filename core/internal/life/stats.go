package life

import (
	"context"
	"strconv"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// CurrentState is what admin.vm.CurrentState answers. Memory is in KiB.
type CurrentState struct {
	Power             qube.State
	MemKiB, StaticKiB uint64
	CPU               time.Duration
}

// stateWait bounds a question to the hypervisor; after it the last known numbers are used.
const stateWait = time.Second

// CurrentState asks the hypervisor about a running qube.
func (s *System) CurrentState(ctx context.Context, n qube.Name) (CurrentState, error) {
	var (
		c       CurrentState
		running bool
	)
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		c = CurrentState{Power: vm.Run.State, MemKiB: vm.Run.MemKiB, CPU: vm.Run.CPU}
		if running = vm.Run.XID != 0; running {
			c.StaticKiB = 1024 * uint64(m.Number(vm, "maxmem"))
		}
		return nil
	}); err != nil {
		return c, err
	}
	switch {
	case n == qube.Dom0:
		c.MemKiB, c.CPU = s.Dom0()
		_ = s.Read(func(m *domain.Model) error {
			c.StaticKiB = 1024 * uint64(m.Host.Dom0MaxMiB)
			return nil
		})
	case running:
		ctx, cancel := context.WithTimeout(ctx, stateWait)
		defer cancel()
		if i, err := s.Driver.Get(ctx, n); err == nil {
			c.MemKiB, c.CPU = i.MemKiB, i.CPU
		}
	}
	return c, nil
}

// Stats opens a subscription to vm-stats events of dest (dom0: of all running qubes).
func (s *System) Stats(dest qube.Name) *Subscription {
	return s.stats().subscribe(func(e adminapi.Event) bool { return dest == qube.Dom0 || e.Subject == string(dest) }, nil)
}

// stats is the bus of measurements, apart from the one of events.
func (s *System) stats() *bus { return &s.statBus }

type sample struct {
	cpu time.Duration
	at  time.Time
}

// statsLoop measures every stats_interval while somebody listens.
func (s *System) statsLoop() {
	last := map[qube.Name]sample{}
	for {
		var every time.Duration
		_ = s.Read(func(m *domain.Model) error {
			every = seconds(m.Number(nil, "stats_interval"))
			return nil
		})
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(every):
		}
		b := s.stats()
		b.mu.Lock()
		listeners := len(b.subs)
		b.mu.Unlock()
		if listeners > 0 {
			s.measure(last)
		}
	}
}

func (s *System) measure(last map[qube.Name]sample) {
	ctx, cancel := context.WithTimeout(s.ctx, stateWait)
	defer cancel()
	infos, err := s.Driver.List(ctx)
	if err != nil {
		s.Log.Warn("measuring", "err", err)
		return
	}
	now := s.Now()
	var events []adminapi.Event
	s.mu.Lock()
	mem, cpu := s.Dom0()
	events = append(events, statEvent(qube.Dom0, mem, uint64(s.m.Host.Dom0MaxMiB)*1024, cpu, usage(last, qube.Dom0, cpu, now, s.m.Host.CPUs), s.m.Host.CPUs))
	for _, i := range infos {
		vm := s.m.VM(i.Name)
		if vm == nil || vm.Run.XID != i.XID {
			continue
		}
		vm.Run.MemKiB, vm.Run.CPU = i.MemKiB, i.CPU
		vcpus := max(s.m.Number(vm, "vcpus"), 1)
		events = append(events, statEvent(i.Name, i.MemKiB, i.MemKiB, i.CPU, usage(last, i.Name, i.CPU, now, vcpus), vcpus))
	}
	s.mu.Unlock()
	for _, e := range events {
		s.stats().emit(e)
	}
}

// usage is percent of all processors since the last sample.
func usage(last map[qube.Name]sample, n qube.Name, cpu time.Duration, now time.Time, vcpus int64) int64 {
	prev, ok := last[n]
	last[n] = sample{cpu, now}
	dt := now.Sub(prev.at)
	if !ok || dt <= 0 || cpu < prev.cpu {
		return 0
	}
	return int64(float64(cpu-prev.cpu)*100/float64(dt)+0.5) / vcpus
}

func statEvent(n qube.Name, mem, assigned uint64, cpu time.Duration, percent, vcpus int64) adminapi.Event {
	u := func(v uint64) string { return strconv.FormatUint(v, 10) }
	return adminapi.Event{Subject: string(n), Name: "vm-stats", Args: []adminapi.Arg{
		{Key: "memory_kb", Value: u(mem)}, {Key: "memory_assigned_total", Value: u(assigned)}, {Key: "memory_assigned_usable", Value: u(assigned)},
		{Key: "memory_with_swap_used", Value: u(assigned)}, {Key: "cpu_time", Value: strconv.FormatInt(cpu.Milliseconds(), 10)},
		{Key: "cpu_usage", Value: strconv.FormatInt(percent, 10)}, {Key: "online_vcpus", Value: strconv.FormatInt(vcpus, 10)},
	}}
}

// Console is the terminal of a running qube.
func (s *System) Console(ctx context.Context, n qube.Name) (string, error) {
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		if vm.Run.XID == 0 || vm.Run.State != qube.Running && vm.Run.State != qube.Transient {
			return domain.NotRunning(vm)
		}
		return nil
	}); err != nil {
		return "", err
	}
	c, ok := s.Driver.(hypervisor.Consoler)
	if !ok {
		return "", adminapi.Errorf(adminapi.NotImplemented, "This hypervisor's consoles are files, see %s", s.consoleLog(n))
	}
	path, err := c.Console(ctx, n)
	if err != nil {
		return "", adminapi.Errorf(adminapi.VMError, "No console of %s: %v", n, err)
	}
	return path, nil
}
