package policyd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"qubist/core/prompt"
	"qubist/core/safetext"
	"qubist/qrexec/internal/policywire"
)

const (
	maxConnections = 512              // at once, per socket; more are closed unanswered
	readTimeout    = 10 * time.Second // for a whole request
	writeTimeout   = 10 * time.Second
)

// Sockets are the listeners of a Daemon; nil ones are not served.
type Sockets struct {
	Policy     *net.UnixListener // policy.sock
	EvalSimple *net.UnixListener // service policy.EvalSimple
	EvalGUI    *net.UnixListener // service policy.EvalGUI
}

// Serve answers until ctx ends, then closes the listeners, cancels open requests and
// returns when all have ended.
func (d *Daemon) Serve(ctx context.Context, s Sockets) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for _, l := range []struct {
		listener *net.UnixListener
		handle   func(context.Context, *net.UnixConn) error
	}{{s.Policy, d.servePolicy}, {s.EvalSimple, d.evalService("policy.EvalSimple")}, {s.EvalGUI, d.evalService("policy.EvalGUI")}} {
		if l.listener == nil {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := d.accept(ctx, l.listener, l.handle); err != nil {
				mu.Lock()
				first = errors.Join(first, err)
				mu.Unlock()
				cancel()
			}
		}()
	}
	wg.Wait()
	return first
}

// accept serves one listener until ctx ends.
func (d *Daemon) accept(ctx context.Context, l *net.UnixListener, handle func(context.Context, *net.UnixConn) error) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		conn, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("accepting on %s: %w", l.Addr(), err)
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close()
			d.cfg.Log.Warn("connection refused", "why", "too many are open", "limit", maxConnections)
			continue
		}
		wg.Add(1)
		go func() {
			defer func() { conn.Close(); <-slots; wg.Done() }()
			if err := handle(ctx, conn); err != nil {
				d.cfg.Log.Warn("request refused", "socket", l.Addr().String(), "error", safetext.Line(err.Error(), 400))
			}
		}()
	}
}

// servePolicy serves one connection of policy.sock.
func (d *Daemon) servePolicy(ctx context.Context, conn *net.UnixConn) error {
	data, err := read(ctx, conn, policywire.MaxRequest, policywire.Complete)
	if err != nil || len(data) == 0 { // nothing at all: somebody looked whether we live
		return err
	}
	r, err := policywire.ParseRequest(data)
	if err != nil {
		return err
	}
	return d.respond(ctx, conn, func(ctx context.Context) string { return d.decide(ctx, r) })
}

// evalService serves connections of one evaluation service.
func (d *Daemon) evalService(service string) func(context.Context, *net.UnixConn) error {
	return func(ctx context.Context, conn *net.UnixConn) error {
		data, err := read(ctx, conn, policywire.MaxHeader+1+policywire.MaxEval, policywire.EvalComplete)
		if err != nil || len(data) == 0 {
			return err
		}
		e, err := policywire.ParseEval(data)
		if err != nil {
			return err
		}
		if e.Service != service {
			return fmt.Errorf("serving %s: called as another service", service)
		}
		if service == "policy.EvalGUI" {
			if err := d.mayEvaluate(ctx, e); err != nil {
				return err
			}
		}
		return d.respond(ctx, conn, func(ctx context.Context) string {
			return d.decide(ctx, policywire.Request{
				Source: e.Source, IntendedTarget: e.Target, ServiceAndArg: e.Query, JustEvaluate: true, AssumeYes: true,
			}) + "\n"
		})
	}
}

// mayEvaluate lets a GuiVM ask only about qubes it is the GuiVM of.
func (d *Daemon) mayEvaluate(ctx context.Context, e policywire.Eval) error {
	sys, err := d.system.get(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{e.Source, e.Target} {
		if vm := sys.Named(name); vm == nil || !slices.Contains(vm.Tags, "guivm-"+e.Caller) {
			return fmt.Errorf("evaluating for a GuiVM: %s is not one of its qubes", show(name))
		}
	}
	return nil
}

// read collects a request until it is complete or the peer has sent everything.
func read(ctx context.Context, conn *net.UnixConn, limit int, complete func([]byte) bool) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return nil, fmt.Errorf("reading a request: %w", err)
	}
	var data []byte
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		data = append(data, buf[:n]...)
		if errors.Is(err, io.EOF) || complete(data) || len(data) > limit {
			return data, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a request: %w", err)
		}
	}
}

// respond computes the answer, gives up when the caller goes away, and sends it.
func (d *Daemon) respond(ctx context.Context, conn *net.UnixConn, answer func(context.Context) string) error {
	waiting, stop := prompt.UntilHangup(ctx, conn)
	text := answer(waiting)
	gone := waiting.Err() != nil
	stop()
	if gone {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}
