package life

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
)

// TakePreload hands out a disposable of t that is ready or nearly so; "" when there is none.
func (s *System) TakePreload(ctx context.Context, t qube.Name) (qube.Name, error) {
	for {
		var n qube.Name
		var limit time.Duration
		if err := s.Write(func(m *domain.Model) error {
			tvm := m.VM(t)
			if tvm == nil {
				return domain.NotFound(string(t))
			}
			limit = seconds(m.Number(tvm, "qrexec_timeout")) * 12 / 10
			if list := domain.Preloaded(tvm); len(list) > 0 {
				n = list[0]
			}
			return nil
		}); err != nil || n == "" {
			return "", err
		}
		if !s.fresh(t, n) {
			s.dropPreload(t, n)
			continue
		}
		mine := false
		_ = s.Write(func(m *domain.Model) error {
			if tvm := m.VM(t); tvm != nil && slices.Contains(domain.Preloaded(tvm), n) {
				mine = true
				m.DropPreload(tvm, n)
			}
			return nil
		})
		if !mine {
			continue // somebody was faster
		}
		if err := s.awaken(ctx, t, n, limit); err != nil {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			s.Log.Warn("using a preloaded disposable", "qube", n, "err", err)
			s.discard(n)
			continue
		}
		return n, nil
	}
}

// awaken waits until a disposable is prepared, lets it go on and hands it over.
func (s *System) awaken(ctx context.Context, t, n qube.Name, limit time.Duration) error {
	s.preload.mu.Lock()
	done := s.preload.ready[n]
	s.preload.mu.Unlock()
	if done != nil {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			return errors.New("it was not prepared in time")
		case <-ctx.Done():
			s.goes(func() { s.discard(n) })
			return ctx.Err()
		}
	}
	err := s.unpause(ctx, n)
	if e := new(adminapi.Error); errors.As(err, &e) && e.Kind == adminapi.VMNotPaused {
		err = nil
	}
	if err != nil {
		return err
	}
	return s.used(t, n)
}

// used notes that a disposable has an owner now, and has the next one made in time.
func (s *System) used(t, n qube.Name) error {
	delay, empty := preloadDelay, false
	err := s.Write(func(m *domain.Model) error {
		vm, tvm := m.VM(n), m.VM(t)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		m.UsePreload(vm)
		if tvm != nil {
			m.DropPreload(tvm, n)
			delay = m.PreloadNumber(tvm, "preload-dispvm-delay", preloadDelay)
			empty = len(domain.Preloaded(tvm)) == 0
			m.Fire(tvm, "domain-preload-dispvm-used", "dispvm", string(n), "delay", strconv.Itoa(delay))
		}
		return nil
	})
	if delay >= 0 || empty {
		s.preload.arm(time.Now(), time.Duration(max(delay, 0))*time.Second)
	}
	return err
}

// StartPreload begins to fill a template's queue.
func (s *System) StartPreload(t qube.Name, reason string) {
	s.fire(t, "domain-preload-dispvm-start", "reason", reason, "delay", "0")
	s.preload.arm(time.Now(), 0)
}

// pausePreloads drops all preloaded disposables and makes none until resumePreloads.
func (s *System) pausePreloads() {
	s.preload.mu.Lock()
	s.preload.suspend = true
	s.preload.mu.Unlock()
	lists := map[qube.Name][]qube.Name{}
	_ = s.Read(func(m *domain.Model) error {
		for _, t := range m.VMs() {
			lists[t.Name] = domain.Preloaded(t)
		}
		return nil
	})
	for t, list := range lists {
		for _, n := range list {
			s.dropPreload(t, n)
		}
	}
}

func (s *System) resumePreloads() {
	s.preload.mu.Lock()
	s.preload.suspend = false
	s.preload.mu.Unlock()
	s.preload.arm(time.Now(), preloadGap)
}

// dropInterrupted ends disposables that an earlier process was preparing.
func (s *System) dropInterrupted() {
	type one struct{ template, name qube.Name }
	var all []one
	_ = s.Read(func(m *domain.Model) error {
		for _, vm := range m.VMs() {
			if vm.Class == qube.DispVM && domain.PreloadStarted(vm) && !(domain.PreloadReady(vm) && m.IsPreload(vm)) {
				all = append(all, one{m.Ref(vm, "template").Name, vm.Name})
			}
		}
		return nil
	})
	for _, o := range all {
		s.dropPreload(o.template, o.name)
	}
}
