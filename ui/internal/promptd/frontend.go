package promptd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"qubist/core/prompt"
	"qubist/core/prompt/wire"
)

// serveFrontEnd serves one front end from its first line to its end.
func (a *Agent) serveFrontEnd(ctx context.Context, conn *net.UnixConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_ = conn.SetReadDeadline(time.Now().Add(readTimeout))
	lines := prompt.NewLines(conn)
	line, err := lines.Next()
	if errors.Is(err, net.ErrClosed) {
		return nil // somebody looked whether we live
	}
	if err != nil {
		return fmt.Errorf("waiting for a front end's first line: %w", err)
	}
	hello, err := wire.ParseHello(line)
	if err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Time{})
	if hello.Role == wire.Watch {
		return a.watch(ctx, cancel, conn, lines)
	}
	return a.attach(ctx, cancel, conn, lines)
}

func send(conn net.Conn, u wire.Update) error {
	line, err := wire.Encode(u)
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := conn.Write(line); err != nil {
		return fmt.Errorf("writing to a front end: %w", err)
	}
	return nil
}

// read calls handle for every line until the front end closes or misbehaves, then cancel.
// It returns a function that waits for the end and gives the error.
func read(cancel func(), lines *prompt.Lines, handle func([]byte) error) (wait func() error) {
	result := make(chan error, 1)
	go func() {
		defer cancel()
		for {
			line, err := lines.Next()
			if err == nil {
				err = handle(line)
			}
			if err != nil {
				if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
					err = nil
				}
				result <- err
				return
			}
		}
	}()
	return func() error { return <-result }
}

// watch tells the number of open questions at every change.
func (a *Agent) watch(ctx context.Context, cancel func(), conn net.Conn, lines *prompt.Lines) error {
	wait := read(cancel, lines, func([]byte) error { return fmt.Errorf("%w: a watcher has nothing to say", wire.ErrMalformed) })
	a.addWatcher(1)
	defer a.addWatcher(-1)
	last := -1
	for ctx.Err() == nil {
		s := a.queue.State()
		if s.Waiting != last {
			last = s.Waiting
			if err := send(conn, wire.Update{Waiting: last}); err != nil {
				cancel()
				_ = wait()
				return err
			}
		}
		select {
		case <-s.Changed:
		case <-ctx.Done():
		}
	}
	return wait()
}

func (a *Agent) addWatcher(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchers += n
}

func (a *Agent) watched() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watchers > 0
}

// attach shows questions at one front end.
func (a *Agent) attach(ctx context.Context, cancel func(), conn net.Conn, lines *prompt.Lines) error {
	screen := a.queue.Attach()
	if screen == nil {
		return send(conn, wire.Update{Busy: true})
	}
	defer screen.Detach()
	wait := read(cancel, lines, func(line []byte) error {
		r, err := wire.ParseReply(line)
		if err != nil {
			return err
		}
		screen.Answer(r.ID, prompt.Answer{Allow: r.Allow, Target: r.Target})
		return nil
	})
	err := a.show(ctx, conn, screen)
	cancel()
	if readErr := wait(); err == nil {
		err = readErr
	}
	return err
}

// show sends the question to show, its end, and the numbers around it.
func (a *Agent) show(ctx context.Context, conn net.Conn, screen *prompt.Screen) error {
	var shown uint64
	lastWaiting, lastSame := -1, 0
	for ctx.Err() == nil {
		question, waiting, changed := screen.Current()
		u := wire.Update{Waiting: waiting}
		id, same := uint64(0), 0
		if question != nil {
			id, same = question.ID, question.Same
		}
		if id != shown {
			u.Closed = shown
		}
		if id != 0 && (id != shown || same != lastSame) {
			u.Question = question
		}
		if id != shown || waiting != lastWaiting || same != lastSame {
			shown, lastWaiting, lastSame = id, waiting, same
			if err := send(conn, u); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}
