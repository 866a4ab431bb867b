// Package daemon is dom0's end of one VM's qrexec link: it keeps the control vchan to the
// agent, answers local programs, asks policy about the VM's calls and carries out what was
// allowed. It does not decide anything itself and it does not serve another VM.
//
// Words: a *session* is one connection of the agent; a *request* is a call the VM wants to
// make; a *client* is a program on the local socket. Spec: qrexec.md §4 to §11.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/qrexec/internal/local"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/wire"
)

// Admin is the part of the Admin API the daemon needs; *adminclient.Client has it.
type Admin interface {
	Call(ctx context.Context, method, dest, arg string, payload []byte) ([]byte, error)
}

// Config says which VM to serve and with what. All fields but PolicyProgram, Ready and
// StartupLimit are needed.
type Config struct {
	Driver        vchan.Driver
	DomID         qube.DomID
	Name          qube.Name
	UUID          string // without "uuid:"
	DefaultUser   string
	SocketDir     string
	PolicySocket  string
	PolicyProgram string // asked when the socket does not answer; "" means refuse
	Admin         Admin
	Services      proc.Dirs
	Log           *slog.Logger
	Ready         func()        // called once, when the first agent has said hello
	StartupLimit  time.Duration // for the first agent; 0 waits without end
}

// ErrStartup means that no agent came within StartupLimit.
var ErrStartup = errors.New("the agent did not connect in time")

const (
	// retryDelay is between attempts to reach an agent that went away in its hello.
	retryDelay = 200 * time.Millisecond
	// helloLimit bounds the agent's hello once it is connected.
	helloLimit = 30 * time.Second
)

// Daemon serves one VM.
type Daemon struct {
	cfg Config
	wg  sync.WaitGroup
	ctx context.Context // of Run; calls to dom0 live as long, whatever becomes of a session

	local local.Runner

	mu    sync.Mutex
	ports portTable
	epoch int

	slots chan struct{} // bounds the calls in progress
}

// New checks nothing and starts nothing.
func New(cfg Config) *Daemon {
	d := &Daemon{cfg: cfg, slots: make(chan struct{}, wire.NumPorts),
		local: local.Runner{Dirs: cfg.Services, Log: cfg.Log}}
	d.ports.own = uint32(cfg.DomID)
	return d
}

// Run serves until ctx ends (nil), the agent breaks the protocol, or it cannot be reached
// for good. It waits for everything it started.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer d.wg.Wait()
	defer cancel()
	d.ctx = ctx
	for first := true; ; first = false {
		conn, version, err := d.connect(ctx, first)
		if err == nil {
			err = d.session(ctx, conn, version, first)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		d.cfg.Log.Info("agent disconnected, waiting for it again")
	}
}

// connect reaches the agent and exchanges hellos. Its error is never io.EOF.
func (d *Daemon) connect(ctx context.Context, first bool) (vchan.Conn, uint32, error) {
	if first && d.cfg.StartupLimit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d.cfg.StartupLimit, ErrStartup)
		defer cancel()
	}
	for {
		conn, err := d.cfg.Driver.Dial(ctx, d.cfg.DomID, vchan.PortQrexec)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return nil, 0, fmt.Errorf("connecting to the agent: %w", err)
		}
		version, err := d.hello(ctx, conn)
		if err == nil {
			return conn, version, nil
		}
		conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			return nil, 0, cause
		}
		if first || errors.Is(err, wire.ErrFatal) {
			return nil, 0, fmt.Errorf("agent's hello: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryDelay):
		}
	}
}
