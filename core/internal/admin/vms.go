package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/life"
	"qubist/core/qube"
)

// lifeMethods start, stop and watch qubes.
func lifeMethods() []Method {
	act := func(verb, flags, scope string, f func(context.Context, *Call) error) Method {
		return Method{Name: "admin.vm." + verb, Dest: anywhere, Arg: no, Payload: no, Scope: scope, Flags: flags,
			Do: func(ctx context.Context, c *Call) ([]byte, error) { return nil, f(ctx, c) }}
	}
	shutdown := act("Shutdown", "RX", "local", shutdown)
	shutdown.Arg = maybe
	return []Method{
		{Name: "admin.vm.List", Dest: anywhere, Arg: no, Payload: no, Scope: "global", Flags: "R", Do: vmList},
		{Name: "admin.vm.CurrentState", Dest: anywhere, Arg: no, Payload: no, Scope: "local", Flags: "R", Do: currentState},
		act("Start", "RX", "local", func(ctx context.Context, c *Call) error { return c.api.Sys.Start(ctx, c.Dest) }),
		shutdown,
		act("Kill", "RX", "local", func(ctx context.Context, c *Call) error { return c.api.Sys.Kill(ctx, c.Dest) }),
		act("Pause", "RX", "local", func(ctx context.Context, c *Call) error { return c.api.Sys.Pause(ctx, c.Dest) }),
		act("Unpause", "RX", "local", func(ctx context.Context, c *Call) error { return c.api.Sys.Unpause(ctx, c.Dest) }),
		// Without power management in the guest a suspend is a pause, as in the original.
		act("Suspend", "RX", "local", func(ctx context.Context, c *Call) error { return c.api.Sys.Pause(ctx, c.Dest) }),
		act("Resume", "RX", "local", func(ctx context.Context, c *Call) error { return c.api.Sys.Unpause(ctx, c.Dest) }),
		act("Remove", "RW", "global", func(ctx context.Context, c *Call) error { return c.api.Sys.Remove(ctx, c.Dest) }),
		{Name: "admin.Events", Dest: anywhere, Arg: no, Payload: no, Scope: "global", Flags: "R", Stream: events},
		{Name: "admin.vm.Stats", Dest: anywhere, Arg: no, Payload: no, Scope: "global", Flags: "R", Stream: stats},
		{Name: "admin.vm.Console", Dest: anywhere, Arg: no, Payload: no, Scope: "local", Flags: "RW", Do: func(ctx context.Context, c *Call) ([]byte, error) {
			path, err := c.api.Sys.Console(ctx, c.Dest)
			return []byte(path), err
		}},
		{Name: "admin.vmclass.List", Dest: onDom0, Arg: no, Payload: no, Scope: "global", Flags: "R", Read: func(*domain.Model, *Call) ([]byte, error) {
			var names []string
			for c := range classes {
				names = append(names, string(c))
			}
			slices.Sort(names)
			return []byte(strings.Join(names, "\n") + "\n"), nil
		}},
		{Name: "admin.qubist.Status", Dest: onDom0, Arg: no, Payload: no, Scope: "global", Flags: "R", Do: func(_ context.Context, c *Call) ([]byte, error) {
			var out []byte
			for _, kv := range c.api.Status {
				out = fmt.Appendf(out, "%s=%s\n", kv.Key, kv.Value)
			}
			return out, nil
		}},
	}
}

func vmList(ctx context.Context, c *Call) ([]byte, error) {
	var lines []adminapi.VMLine
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		list := []*domain.VM{c.dest(m)}
		if c.Dest == qube.Dom0 {
			list = m.VMs()
		}
		for _, vm := range list {
			lines = append(lines, adminapi.VMLine{Name: string(vm.Name), Class: string(vm.Class), State: string(vm.Run.State), UUID: vm.UUID})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var out []byte
	for _, l := range lines {
		if c.Src == qube.Dom0 || c.api.Allowed(ctx, c.Src, "admin.vm.List", "", qube.Name(l.Name)) {
			out = l.Append(out)
		}
	}
	return out, nil
}

func currentState(ctx context.Context, c *Call) ([]byte, error) {
	s, err := c.api.Sys.CurrentState(ctx, c.Dest)
	return fmt.Appendf(nil, "mem=%d mem_static_max=%d cputime=%d power_state=%s", s.MemKiB, s.StaticKiB, s.CPU.Nanoseconds(), s.Power), err
}

func shutdown(ctx context.Context, c *Call) error {
	var force, wait bool
	if c.Arg != "" {
		for w := range strings.SplitSeq(c.Arg, "+") {
			switch w {
			case "force":
				force = true
			case "wait":
				wait = true
			default:
				return adminapi.Errorf(adminapi.ProtocolError, "Argument must match: force, wait")
			}
		}
	}
	return c.api.Sys.Shutdown(ctx, c.Dest, force, wait)
}

// events filters for sources other than dom0: an event passes when policy allows
// admin.Events with the event's name to its subject.
func events(c *Call) (*life.Subscription, error) {
	if c.Src == qube.Dom0 {
		return c.api.Sys.Subscribe(c.Dest, nil), nil
	}
	return c.api.Sys.Subscribe(c.Dest, func(ctx context.Context, e adminapi.Event) bool {
		target := qube.Dom0
		if e.Subject != "" {
			target = qube.Name(e.Subject)
		} else if vm := e.Get("vm"); vm != "" {
			target = qube.Name(vm)
		}
		return e.Name == adminapi.Connected || c.api.Allowed(ctx, c.Src, "admin.Events", strings.ReplaceAll(e.Name, ":", "_"), target)
	}), nil
}

func stats(c *Call) (*life.Subscription, error) {
	s := c.api.Sys.Stats(c.Dest)
	var halted error
	_ = c.api.Sys.Read(func(m *domain.Model) error {
		if vm := c.dest(m); vm != nil && vm.Halted() {
			halted = domain.NotRunning(vm)
		}
		return nil
	})
	if e, ok := halted.(*adminapi.Error); ok {
		s.Fail(e)
	}
	return s, nil
}
