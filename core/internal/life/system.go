// Package life runs the system that package domain describes: it serialises access to the
// model, keeps it durable, starts and stops qubes in the order of spec core.md §10, adopts
// what runs when it starts itself, and carries events to listeners. It decides nothing about
// who may do what (package admin) and speaks to the hypervisor, storage and daemons only
// through interfaces.
//
// Lock order: a qube's operation lock (op), then System.mu, then the bus. Nothing slow
// happens under System.mu.
package life

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/internal/launch"
	"qubist/core/internal/store"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/qubesdb"
	"qubist/storage/volume"
)

// Daemons starts and watches the programs that serve one running qube.
type Daemons interface {
	// Start runs the daemon unless it runs already, and returns when it says that it is
	// ready. From then on it is started again whenever it ends, until Stop.
	Start(ctx context.Context, d launch.Daemon) error
	// Stop ends all daemons of a domain and returns when they are gone.
	Stop(xid qube.DomID)
	// Keep ends the daemons of all domains but these: leftovers of an earlier process.
	Keep(xids []qube.DomID)
}

// Config is what a System works with. All fields but those that say so must be set.
type Config struct {
	Paths    paths.Paths
	Driver   hypervisor.Driver
	Daemons  Daemons
	OpenPool func(domain.Pool) (volume.Pool, error) // called once for each pool
	Host     domain.Host
	FS       store.FS
	Log      *slog.Logger
	Now      func() time.Time
	// Dom0 measures dom0 itself: memory in use and processor time.
	Dom0 func() (memKiB uint64, cpu time.Duration)
	// Database is a client of a running qube's QubesDB; nil when no daemons run.
	Database func(qube.Name) *qubesdb.Client
	// DeviceClasses are by name; a class that is missing has no devices.
	DeviceClasses map[string]DeviceClass
	// RunService runs a qrexec service of dom0 in a qube as a user and waits for its end; nil
	// runs none.
	RunService func(ctx context.Context, n qube.Name, user, service string) error
	// Fresh fills a system that has no description yet.
	Fresh func(*domain.Model)
}

// System is the running system.
type System struct {
	Config
	bus     *bus
	statBus bus

	mu     sync.RWMutex
	m      *domain.Model
	guests map[qube.Name]*guest
	gen    uint64 // grows with each durable change
	xid    qube.DomID

	save  saver
	pools struct {
		sync.Mutex
		open map[string]volume.Pool
	}
	imports imports
	preload preloads
	files   sync.Mutex // over changes of the files in qubes' directories; before mu

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   struct {
		sync.Mutex
		closing bool
		sync.WaitGroup
	}
}

// Open loads the system, or makes a fresh one, adopts what runs and starts watching. Close
// it; qubes go on running.
func Open(ctx context.Context, c Config) (*System, error) {
	s := &System{Config: c, bus: newBus(), statBus: bus{subs: map[*Subscription]struct{}{}}, guests: map[qube.Name]*guest{}}
	s.save.cond = sync.NewCond(&s.save.mu)
	s.pools.open = map[string]volume.Pool{}
	s.imports.open = map[importKey]string{}
	f, err := store.Load(c.FS, c.Paths.Store())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.m = domain.New(c.Host)
		c.Fresh(s.m)
	case err != nil:
		return nil, err
	default:
		if s.m, err = domain.Load(c.Host, f); err != nil {
			return nil, err
		}
	}
	if err := s.loadXID(); err != nil {
		return nil, err
	}
	s.loadFirewalls()
	s.m.Emit = func(e adminapi.Event) {
		s.emit(e)
		s.hint(e)
	}
	s.preload.wake = make(chan struct{}, 1)
	s.preload.busy, s.preload.ready = map[qube.Name]bool{}, map[qube.Name]chan struct{}{}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	events, err := c.Driver.Events(s.ctx)
	var plans []plan
	if err == nil {
		plans, err = s.adopt(ctx)
	}
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.goes(s.saveLoop)
	s.goes(func() { s.watch(events) })
	s.goes(s.statsLoop)
	s.preload.arm(time.Now(), preloadGap)
	s.goes(func() {
		s.dropInterrupted()
		s.preloadLoop()
	})
	for i := range plans {
		s.goes(func() { s.adoptDaemons(&plans[i]) })
	}
	return s, s.Write(func(*domain.Model) error { return nil })
}

// goes runs f until Close joins it; nothing is begun while closing.
func (s *System) goes(f func()) {
	s.work.Lock()
	defer s.work.Unlock()
	if !s.work.closing {
		s.work.Go(f)
	}
}

// Close stops watching and saving. Starts that are under way are undone first; what runs
// goes on.
func (s *System) Close() {
	s.work.Lock()
	s.work.closing = true
	s.work.Unlock()
	s.cancel()
	s.save.mu.Lock()
	s.save.cond.Broadcast()
	s.save.mu.Unlock()
	s.work.Wait()
}

// Read lets f look at the model. It must not change it, keep qubes beyond its return, or
// take long.
func (s *System) Read(f func(*domain.Model) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return f(s.m)
}

// Write lets f change the model and returns when the change is durable and its events were
// delivered. Changes made before f failed stay, as in the original.
func (s *System) Write(f func(*domain.Model) error) error {
	s.mu.Lock()
	err := f(s.m)
	if s.m.TakeDirty() {
		s.gen++
	}
	gen := s.gen
	s.mu.Unlock()
	if serr := s.save.wait(gen); err == nil {
		err = serr
	}
	s.bus.flush()
	return err
}

// saver writes the description; calls that arrive while it writes share the next write.
type saver struct {
	mu     sync.Mutex
	cond   *sync.Cond
	want   uint64
	done   uint64
	err    error // of the last attempt
	closed bool
}

func (v *saver) wait(gen uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if gen > v.want {
		v.want = gen
		v.cond.Broadcast()
	}
	for v.done < gen && !v.closed {
		v.cond.Wait()
	}
	switch {
	case v.done < gen:
		return adminapi.Errorf(adminapi.Exception, "qubesd is shutting down, the change was not saved")
	case v.err != nil:
		return adminapi.Errorf(adminapi.Exception, "Cannot save the system description: %v", v.err)
	}
	return nil
}

func (s *System) saveLoop() {
	v := &s.save
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		for v.want <= v.done && s.ctx.Err() == nil {
			v.cond.Wait()
		}
		if v.want <= v.done {
			v.closed = true
			v.cond.Broadcast()
			return
		}
		v.mu.Unlock()
		s.mu.RLock()
		f, gen := s.m.File(), s.gen
		s.mu.RUnlock()
		err := store.Save(s.FS, s.Paths.Store(), f)
		if err != nil {
			s.Log.Error("saving", "err", err)
		}
		v.mu.Lock()
		v.done, v.err = gen, err
		v.cond.Broadcast()
	}
}

func (s *System) xidFile() string { return filepath.Join(s.Paths.Lib, "last-xid") }

// loadXID reads the number given to the newest domain.
func (s *System) loadXID() error {
	b, err := s.FS.ReadFile(s.xidFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the domain counter: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || qube.DomID(n) > qube.MaxDomID {
		return fmt.Errorf("reading the domain counter: %.20q is not a domain number", b)
	}
	s.xid = qube.DomID(n)
	return nil
}

// nextXID reserves a number no running domain has. The counter is durable before the
// number is used, so that a number is not soon reused.
func (s *System) nextXID() (qube.DomID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range qube.MaxDomID {
		s.xid = s.xid%qube.MaxDomID + 1
		if s.m.ByXID(s.xid) == nil {
			if err := store.Replace(s.FS, s.xidFile(), fmt.Appendf(nil, "%d\n", s.xid), 0o600); err != nil {
				return 0, err
			}
			return s.xid, nil
		}
	}
	return 0, errors.New("no free domain number")
}

// pool opens a pool once. The caller does not hold System.mu.
func (s *System) pool(name string) (volume.Pool, error) {
	s.pools.Lock()
	p := s.pools.open[name]
	s.pools.Unlock()
	if p != nil {
		return p, nil
	}
	s.mu.RLock()
	c := s.m.Pool(name)
	var conf domain.Pool
	if c != nil {
		conf = *c
	}
	s.mu.RUnlock()
	if c == nil {
		return nil, fmt.Errorf("no pool %q", name)
	}
	p, err := s.OpenPool(conf)
	if err != nil {
		return nil, fmt.Errorf("opening pool %q: %w", name, err)
	}
	s.pools.Lock()
	defer s.pools.Unlock()
	if other := s.pools.open[name]; other != nil {
		return other, nil // opened meanwhile; its locks must be the only ones
	}
	s.pools.open[name] = p
	return p, nil
}

// mkdirs makes the directories the system writes to.
func mkdirs(dirs ...string) error {
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return err
		}
	}
	return nil
}
