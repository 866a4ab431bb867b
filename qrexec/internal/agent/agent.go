// Package agent is a VM's end of its qrexec link: it runs what dom0 asks for and passes on
// the calls of the VM's own programs. It trusts dom0 and the local users' credentials as the
// kernel reports them, and nothing that other VMs send. There is no fork server and no PAM:
// the program is static. Spec: qrexec.md §4, §6, §8 and §12.
//
// Words: a *session* is one connection of dom0's daemon; a *caller* is a local program that
// wants a call; a *service* is what runs here for somebody else.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/wire"
)

const dom0 qube.DomID = 0

// retryDelay is between attempts to offer the control port.
const retryDelay = 200 * time.Millisecond

// awayLimit is how long a local program's request waits for dom0 to be there.
const awayLimit = 10 * time.Second

// maxCallers bounds the local programs served at once.
const maxCallers = 512

// Config says where the agent finds its surroundings. All fields are needed.
type Config struct {
	Driver   vchan.Driver
	Socket   string // for local programs
	Dirs     proc.Dirs
	Accounts proc.Accounts
	Log      *slog.Logger
	// StdioSocket delivers SIGUSR1: a running service wants its input's socket used for
	// output, too (spec qrexec.md §7).
	StdioSocket <-chan os.Signal
}

// Agent serves one VM.
type Agent struct {
	cfg Config
	wg  sync.WaitGroup
	ctx context.Context // of Run; services live as long, whatever becomes of a session

	// startMu is held while a service is started, so that a signal it sends at once finds
	// it in the table.
	startMu  sync.Mutex
	services map[*proc.Stdio]struct{}

	mu      sync.Mutex
	current *session      // nil while dom0 is away
	back    chan struct{} // closed when dom0 comes; nil unless somebody waits
	nextID  uint64
	callers map[wire.Ident]*caller
	waiting map[string]*sessionWait
}

// New starts nothing.
func New(cfg Config) *Agent {
	return &Agent{cfg: cfg, callers: map[wire.Ident]*caller{}, services: map[*proc.Stdio]struct{}{}, waiting: map[string]*sessionWait{}}
}

// Run serves until ctx ends (nil) or dom0 breaks the protocol. It waits for everything it
// started but the services' processes.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer a.wg.Wait()
	defer cancel()
	a.ctx = ctx
	l, err := a.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	a.wg.Go(func() { a.serveCallers(l) })
	a.wg.Go(a.watchSignals)
	for {
		err := a.connect(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, wire.ErrFatal):
			return err
		case err != nil:
			a.cfg.Log.Warn("control vchan", "reason", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryDelay):
			}
		}
	}
}

// connect offers the control port and serves one session.
func (a *Agent) connect(ctx context.Context) error {
	l, err := a.cfg.Driver.Listen(ctx, dom0, vchan.PortQrexec)
	if err != nil {
		return fmt.Errorf("offering the control port: %w", err)
	}
	defer l.Close()
	conn, err := l.Accept(ctx)
	if err != nil {
		return fmt.Errorf("waiting for dom0: %w", err)
	}
	return a.serve(ctx, conn)
}

// listen makes the local socket, which every user of the VM may use.
func (a *Agent) listen() (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(a.cfg.Socket), 0o755); err != nil {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	if err := os.Remove(a.cfg.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.cfg.Socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	if err := os.Chmod(a.cfg.Socket, 0o777); err != nil {
		l.Close()
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	return l, nil
}

// watchSignals tells all running services of SIGUSR1: the signal does not say whose it is.
func (a *Agent) watchSignals() {
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.cfg.StdioSocket:
			a.startMu.Lock()
			for s := range a.services {
				s.Both()
			}
			a.startMu.Unlock()
		}
	}
}
