package life

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// Times of spec core.md §9.
const (
	preloadGap      = 5 * time.Second  // after a failure or a change of the number
	preloadOutdated = 4 * time.Second  // after a template stopped
	preloadChanged  = 30 * time.Second // after a property changed
	preloadDelay    = 3                // seconds after one was used
)

// preloads keeps disposables ready. One loop looks at all templates when it is due; each
// template is filled by a goroutine of its own.
type preloads struct {
	mu      sync.Mutex
	due     time.Time // zero: nothing to look at
	wake    chan struct{}
	busy    map[qube.Name]bool          // templates being filled
	ready   map[qube.Name]chan struct{} // disposables being prepared; closed at the end
	suspend bool
}

// arm makes the loop look in d at the latest. It may be called with the model locked.
func (p *preloads) arm(now time.Time, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := now.Add(d); p.due.IsZero() || at.Before(p.due) {
		p.due = at
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// hint notices changes that may concern preloaded disposables. The model is locked.
func (s *System) hint(e adminapi.Event) {
	d := time.Duration(-1)
	switch name := e.Name; {
	case name == "domain-feature-set:preload-dispvm-max", name == "domain-feature-delete:preload-dispvm-max":
		d = 0
	case strings.HasPrefix(name, "property-set:"), strings.HasPrefix(name, "property-del:"):
		d = preloadChanged
		if strings.HasSuffix(name, ":default_dispvm") || strings.HasSuffix(name, ":template_for_dispvms") {
			d = 0
		}
	case name == "domain-shutdown", name == "domain-delete":
		d = preloadOutdated
	}
	if d >= 0 {
		s.preload.arm(time.Now(), d)
	}
}

func (s *System) preloadLoop() {
	p := &s.preload
	for {
		p.mu.Lock()
		due := p.due
		p.mu.Unlock()
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(time.Until(due))
		}
		select {
		case <-s.ctx.Done():
			return
		case <-p.wake:
			continue
		case <-timer:
		}
		p.mu.Lock()
		p.due = time.Time{}
		p.mu.Unlock()
		s.reconcile()
	}
}

// preloadTemplate is what reconcile finds of one disposable template.
type preloadTemplate struct {
	name qube.Name
	most int
	list []qube.Name
}

// reconcile drops what must not wait any longer and starts to fill what is missing.
func (s *System) reconcile() {
	var ts []preloadTemplate
	_ = s.Read(func(m *domain.Model) error {
		for _, t := range m.VMs() {
			if p := (preloadTemplate{t.Name, m.PreloadMax(t), domain.Preloaded(t)}); p.most > 0 || len(p.list) > 0 {
				ts = append(ts, p)
			}
		}
		return nil
	})
	for _, t := range ts {
		kept := 0
		for _, n := range t.list {
			if kept < t.most && s.fresh(t.name, n) {
				kept++
				continue
			}
			s.dropPreload(t.name, n)
		}
		if kept < t.most {
			s.fill(t.name)
		}
	}
}

// fresh reports whether a preloaded disposable exists and is what its template is now.
func (s *System) fresh(t, n qube.Name) bool {
	ok := false
	var vols []volume.Config
	_ = s.Read(func(m *domain.Model) error {
		vm, tvm := m.VM(n), m.VM(t)
		if vm == nil || tvm == nil {
			return nil
		}
		preparing := vm.Pending || s.preparing(n)
		ok = preparing || domain.PreloadReady(vm) && vm.Run.State == qube.Paused
		ok = ok && !m.PreloadStale(tvm, vm)
		vols = configs(vm)
		return nil
	})
	for _, c := range vols {
		ok = ok && !s.Outdated(s.ctx, c)
	}
	return ok
}

func (s *System) preparing(n qube.Name) bool {
	s.preload.mu.Lock()
	defer s.preload.mu.Unlock()
	return s.preload.ready[n] != nil
}

// dropPreload takes a disposable off the list and ends it.
func (s *System) dropPreload(t, n qube.Name) {
	there := false
	_ = s.Write(func(m *domain.Model) error {
		if tvm := m.VM(t); tvm != nil {
			m.DropPreload(tvm, n)
		}
		there = m.VM(n) != nil
		return nil
	})
	if there {
		s.discard(n)
	}
}

// discard kills and removes a disposable nobody has used.
func (s *System) discard(n qube.Name) {
	err := s.Kill(s.ctx, n)
	if e := new(adminapi.Error); errors.As(err, &e) && e.Kind == adminapi.VMNotStarted {
		err = s.Remove(s.ctx, n)
	}
	if e := new(adminapi.Error); errors.As(err, &e) && e.Kind == adminapi.VMNotFound {
		err = nil
	}
	if err != nil && s.ctx.Err() == nil {
		s.Log.Warn("ending a preloaded disposable", "qube", n, "err", err)
	}
}

// fill makes what is missing of a template's disposables, one after another.
func (s *System) fill(t qube.Name) {
	p := &s.preload
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[t] || p.suspend {
		return
	}
	p.busy[t] = true
	s.goes(func() {
		for s.ctx.Err() == nil && s.missing(t) {
			if err := s.preloadOne(t); err != nil {
				if s.ctx.Err() == nil {
					s.Log.Warn("preloading a disposable", "template", t, "err", err)
					p.arm(time.Now(), preloadGap)
				}
				break
			}
		}
		p.mu.Lock()
		delete(p.busy, t)
		p.mu.Unlock()
	})
}

// missing reports whether one more disposable is wanted and there is memory for it.
func (s *System) missing(t qube.Name) bool {
	s.preload.mu.Lock()
	suspend := s.preload.suspend
	s.preload.mu.Unlock()
	var most, have, threshold, memory int
	_ = s.Read(func(m *domain.Model) error {
		if tvm := m.VM(t); tvm != nil {
			most, have = m.PreloadMax(tvm), len(domain.Preloaded(tvm))
			memory = int(m.Number(tvm, "memory"))
			threshold = m.PreloadNumber(m.Dom0(), "preload-dispvm-threshold", 0)
		}
		return nil
	})
	if suspend || have >= most {
		return false
	}
	b, err := s.FS.ReadFile(filepath.Join(s.Paths.Run, "qmemman-avail-mem"))
	if err != nil {
		return true // nobody balances memory
	}
	avail, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return err == nil && avail/(1<<20)-int64(threshold) >= int64(memory)
}

// preloadOne makes one disposable, starts it, waits for it and pauses it.
func (s *System) preloadOne(t qube.Name) error {
	var user string
	var limit time.Duration
	var late bool
	n, err := s.Create(s.ctx, func(m *domain.Model) (domain.NewVM, error) {
		tvm := m.VM(t)
		if tvm == nil {
			return domain.NewVM{}, domain.NotFound(string(t))
		}
		limit = seconds(m.Number(tvm, "qrexec_timeout"))
		late = m.FeatureWithTemplate(tvm, "gui") && m.FeatureWithTemplate(tvm, "supported-feature.late-gui-daemon")
		user = m.Text(tvm, "default_user")
		return domain.NewVM{Class: qube.DispVM, Label: m.Label(tvm).Name, Template: tvm, Creator: qube.Dom0}, nil
	})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	s.preload.mu.Lock()
	s.preload.ready[n] = done
	s.preload.mu.Unlock()
	defer func() {
		s.preload.mu.Lock()
		delete(s.preload.ready, n)
		s.preload.mu.Unlock()
		close(done)
	}()
	err = s.Write(func(m *domain.Model) error {
		tvm, vm := m.VM(t), m.VM(n)
		if tvm == nil || vm == nil {
			return domain.NotFound(string(n))
		}
		m.AddPreload(tvm, vm)
		return nil
	})
	if err == nil {
		err = s.prepare(n, user, limit, late)
	}
	if err != nil {
		s.dropPreload(t, n)
	}
	return err
}

func (s *System) prepare(n qube.Name, user string, limit time.Duration, late bool) error {
	if err := s.Start(s.ctx, n); err != nil {
		return err
	}
	services := []string{"qubes.WaitForRunningSystem"}
	if late {
		services = append(services, "qubes.WaitForSession")
	}
	for _, service := range services {
		if s.RunService == nil {
			break
		}
		ctx, cancel := context.WithTimeout(s.ctx, limit)
		err := s.RunService(ctx, n, user, service)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
	}
	requested := false
	if err := s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		requested = !m.IsPreload(vm)
		return nil
	}); err != nil {
		return err
	}
	if !requested {
		if err := s.Pause(s.ctx, n); err != nil {
			return err
		}
	}
	return s.Write(func(m *domain.Model) error {
		if vm := m.VM(n); vm != nil && m.IsPreload(vm) {
			m.CompletePreload(vm)
		}
		return nil
	})
}
