// Package promptd is the policy agent: it receives policy.Ask and policy.Notify, queues
// the questions and serves them to front ends at the prompt socket. It opens a terminal
// window for a question that no front end would show.
//
// It draws nothing itself; a front end is another process, whose death denies.
package promptd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"qubist/core/prompt"
	"qubist/core/prompt/wire"
	"qubist/core/safetext"
)

const (
	readTimeout    = 10 * time.Second // for a whole request, for a front end's first line
	writeTimeout   = 10 * time.Second
	maxConnections = prompt.MaxWaiting + 64
)

// Config is what an Agent works with.
type Config struct {
	Timeout time.Duration // for one question
	// Open shows questions somewhere until none is open, and returns when it ended; nil
	// when there is nowhere.
	Open func(ctx context.Context) error
	// Grace is how long a watching front end may take to attach before Open is called.
	Grace time.Duration
	Log   *slog.Logger
}

// Agent is a policy agent. Make one with New.
type Agent struct {
	cfg   Config
	queue *prompt.Queue

	mu       sync.Mutex
	watchers int
}

// New makes an agent without questions.
func New(cfg Config) *Agent {
	return &Agent{cfg: cfg, queue: prompt.NewQueue(cfg.Timeout)}
}

// Listen makes a socket only this user can reach, with its directory. A socket that a dead
// agent left behind is replaced, one that somebody serves is an error.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the directory of %s: %w", path, err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("listening on %s: another agent serves it", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old socket: %w", err)
	}
	old := syscall.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return l, nil
}

// Serve answers requests at agent and front ends at screens until ctx ends. Open questions
// are denied then.
func (a *Agent) Serve(ctx context.Context, agent, screens *net.UnixListener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, 3)
	go func() { errs <- a.accept(ctx, agent, a.serveRequest) }()
	go func() { errs <- a.accept(ctx, screens, a.serveFrontEnd) }()
	go func() { a.open(ctx); errs <- nil }()
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
		cancel()
	}
	return first
}

// accept serves one listener until ctx ends.
func (a *Agent) accept(ctx context.Context, l *net.UnixListener, handle func(context.Context, *net.UnixConn) error) error {
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
			a.cfg.Log.Warn("connection refused", "why", "too many are open", "limit", maxConnections)
			continue
		}
		wg.Add(1)
		go func() {
			defer func() { conn.Close(); <-slots; wg.Done() }()
			if err := handle(ctx, conn); err != nil && ctx.Err() == nil {
				a.cfg.Log.Warn("connection ended", "socket", filepath.Base(l.Addr().String()), "error", safetext.Line(err.Error(), 400))
			}
		}()
	}
}

// serveRequest serves one call of policy.Ask or policy.Notify.
func (a *Agent) serveRequest(ctx context.Context, conn *net.UnixConn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(readTimeout))
	data, err := io.ReadAll(io.LimitReader(conn, wire.MaxRequest+1))
	stop()
	if err != nil {
		return fmt.Errorf("reading a request: %w", err)
	}
	if len(data) == 0 { // somebody looked whether we live
		return nil
	}
	r, err := wire.ParseRequest(data)
	if err != nil {
		return err
	}
	if r.Notice != nil {
		a.notice(r.Notice)
		return nil
	}
	waiting, done := prompt.UntilHangup(ctx, conn)
	answer, err := a.ask(waiting, r.Ask)
	done()
	if err != nil {
		answer = prompt.Answer{}
	}
	if errors.Is(err, prompt.ErrLost) {
		return nil // no answer: the policy daemon denies and says so
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := conn.Write(answer.Bytes()); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

func show(s string) string { return safetext.Name(s, 128) }

// ask puts the question and logs how it ended.
func (a *Agent) ask(ctx context.Context, r *wire.Ask) (prompt.Answer, error) {
	answer, err := a.queue.Ask(ctx, prompt.FromAsk(*r))
	args := []any{"source", show(r.Source), "service", show(r.Service + r.Argument)}
	switch {
	case err != nil:
		a.cfg.Log.Warn("denied", append(args, "error", err)...)
	case answer.Allow:
		a.cfg.Log.Info("allowed by the user", append(args, "target", show(answer.Target))...)
	default:
		a.cfg.Log.Info("denied by the user", args...)
	}
	return answer, err
}

// notice logs how a call ended that the user was not asked about.
func (a *Agent) notice(n *wire.Notice) {
	a.cfg.Log.Info("call "+string(n.Resolution), "source", show(n.Source), "service", show(n.Service+n.Argument), "target", show(n.Target))
}
