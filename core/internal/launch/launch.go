// Package launch starts the programs that serve one running qube, watches them, and starts
// them again when they end while the qube runs. They live in sessions of their own and
// outlast this process; pid files let the next one find them again. It knows no protocol of
// theirs beyond "READY" on a descriptor.
package launch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"qubist/core/qube"
)

// Daemon is one program for one running domain.
type Daemon struct {
	Program string // name of the binary
	XID     qube.DomID
	Name    qube.Name
	Args    []string // after --root and --ready-fd
	Display bool     // needs an X display; waits until there is one
}

func (d Daemon) key() string { return fmt.Sprintf("%d.%s", d.XID, d.Program) }

// Process is a running program.
type Process interface {
	// Ready is closed when the program said READY; for an adopted one at once.
	Ready() <-chan struct{}
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Exit describes how it ended, after Done.
	Exit() string
	Terminate()
	Kill()
}

// Starter starts and finds processes. The one of the machine is OS.
type Starter interface {
	Start(d Daemon) (Process, error)
	// Adopt finds the process an earlier run left, nil when there is none.
	Adopt(d Daemon) Process
	// Leftovers lists the daemons of earlier runs that still live.
	Leftovers() []Daemon
	// Forget drops what is recorded of a daemon.
	Forget(d Daemon)
}

// ErrNoDisplay: the daemon needs a display and there is none, not yet or no longer.
var ErrNoDisplay = errors.New("no display")

// Times between attempts and to end politely.
const (
	backoffMin  = 250 * time.Millisecond
	backoffMax  = 15 * time.Second
	healthyFor  = 30 * time.Second
	displayWait = time.Second
	termWait    = 3 * time.Second
)

// Group is all daemons of one system.
type Group struct {
	starter Starter
	log     *slog.Logger

	mu   sync.Mutex
	runs map[string]*run
}

// run keeps one daemon alive.
type run struct {
	d      Daemon
	cancel context.CancelFunc
	ready  chan struct{} // closed at the first READY
	done   chan struct{} // closed when nothing runs any more
	failed chan struct{} // closed when the first process ended before READY
	why    string        // why it failed; read after failed is closed
	leave  bool          // the process goes on without us
}

// New makes an empty group.
func New(s Starter, log *slog.Logger) *Group {
	return &Group{starter: s, log: log, runs: map[string]*run{}}
}

// Start runs d unless it runs already, and returns at its first READY. When the program ends
// before that, Start fails and the daemon is tried again all the same, until Stop; so it is
// when ctx ends first.
func (g *Group) Start(ctx context.Context, d Daemon) error {
	g.mu.Lock()
	r := g.runs[d.key()]
	if r == nil {
		rctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r = &run{d: d, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{}), failed: make(chan struct{})}
		g.runs[d.key()] = r
		go g.keep(rctx, r)
	}
	g.mu.Unlock()
	select {
	case <-r.ready:
		return nil
	case <-r.failed:
		return fmt.Errorf("%s: %s", d.Program, r.why)
	case <-r.done:
		return fmt.Errorf("%s: stopped", d.Program)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keep runs the daemon again and again until ctx ends.
func (g *Group) keep(ctx context.Context, r *run) {
	defer close(r.done)
	wait := backoffMin
	p := g.starter.Adopt(r.d)
	for {
		var err error
		if p == nil {
			p, err = g.starter.Start(r.d)
		}
		pause := wait
		if err == nil {
			began := time.Now()
			if g.follow(ctx, r, p) {
				return
			}
			if time.Since(began) > healthyFor {
				wait = backoffMin
			}
			pause = wait
			wait = min(2*wait, backoffMax)
			g.log.Warn("daemon ended, starting it again", "program", r.d.Program, "qube", r.d.Name, "exit", p.Exit(), "in", pause)
			r.fail(p.Exit())
		} else if errors.Is(err, ErrNoDisplay) {
			pause = displayWait
		} else {
			g.log.Error("starting a daemon", "program", r.d.Program, "qube", r.d.Name, "err", err)
			r.fail(err.Error())
			wait = min(2*wait, backoffMax)
		}
		p = nil
		select {
		case <-ctx.Done():
			g.starter.Forget(r.d)
			return
		case <-time.After(pause):
		}
	}
}

// follow watches one process; true means that nothing is to be started again.
func (g *Group) follow(ctx context.Context, r *run, p Process) bool {
	ready := p.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			r.readyOnce()
		case <-p.Done():
			return false
		case <-ctx.Done():
			g.mu.Lock()
			leave := r.leave
			g.mu.Unlock()
			if !leave {
				end(p)
				g.starter.Forget(r.d)
			}
			return true
		}
	}
}

// readyOnce and fail are called by the keeping goroutine only.
func (r *run) readyOnce() {
	select {
	case <-r.ready:
	default:
		close(r.ready)
	}
}

func (r *run) fail(why string) {
	select {
	case <-r.failed:
	default:
		r.why = why
		close(r.failed)
	}
}

// end asks a process to end, then makes it.
func end(p Process) {
	p.Terminate()
	t := time.NewTimer(termWait)
	defer t.Stop()
	select {
	case <-p.Done():
	case <-t.C:
		p.Kill()
		<-p.Done()
	}
}

// Stop ends all daemons of a domain and returns when they are gone. The newest started end
// first is not promised.
func (g *Group) Stop(xid qube.DomID) { g.finish(func(r *run) bool { return r.d.XID == xid }, false) }

// Close lets go of all daemons: they run on for the next process.
func (g *Group) Close() { g.finish(func(*run) bool { return true }, true) }

func (g *Group) finish(which func(*run) bool, leave bool) {
	g.mu.Lock()
	var rs []*run
	for k, r := range g.runs {
		if which(r) {
			r.leave = leave
			rs = append(rs, r)
			delete(g.runs, k)
		}
	}
	g.mu.Unlock()
	for _, r := range rs {
		r.cancel()
	}
	for _, r := range rs {
		<-r.done
	}
}

// Keep ends what earlier runs left for domains that are not among xids.
func (g *Group) Keep(xids []qube.DomID) {
	keep := make(map[qube.DomID]bool)
	for _, x := range xids {
		keep[x] = true
	}
	for _, d := range g.starter.Leftovers() {
		if keep[d.XID] {
			continue
		}
		if p := g.starter.Adopt(d); p != nil {
			end(p)
		}
		g.starter.Forget(d)
	}
}
