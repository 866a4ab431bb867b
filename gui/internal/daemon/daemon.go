// Package daemon runs one qube's windows: it connects to the qube's window agent, shakes
// hands, feeds messages and screen events to package window, and starts anew when the agent
// goes away. It has no opinion on windows; it owns buffers, queues and waiting.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"qubist/core/vchan"
	"qubist/gui/internal/display"
	"qubist/gui/internal/window"
	"qubist/gui/wire"
)

var (
	// ErrProtocol: the agent broke the protocol; its session is over.
	ErrProtocol = errors.New("the qube's window agent broke the protocol")
	// ErrDisplay: the display is gone.
	ErrDisplay = errors.New("the display is gone")
)

const (
	// retryMin and retryMax bound the pause between two sessions.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
	// steady is how long a session must last to count as a good one.
	steady = 5 * time.Second
)

// Config is one qube's daemon.
type Config struct {
	// Dial connects to the agent and waits for it; vchan.ErrGone ends the daemon.
	Dial    func(context.Context) (vchan.Conn, error)
	Display display.Driver
	Window  window.Config
	Ready   func() // called once, after the first handshake
	Log     *slog.Logger

	// Connected is called when an agent was reached, before the handshake, Disconnected
	// when its session has ended; either may be nil.
	Connected    func() error
	Disconnected func()
	// Outdated tells the user that agent and daemon do not fit together; may be nil.
	Outdated func(error)
}

// Run serves the qube until ctx ends (nil), its domain is gone (nil), the agent breaks the
// protocol (ErrProtocol) or the display is lost (ErrDisplay).
func Run(ctx context.Context, cfg Config) error {
	pause := retryMin
	for {
		start := time.Now()
		err := serve(ctx, &cfg)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, vchan.ErrGone):
			cfg.Log.Info("the domain is gone")
			return nil
		case errors.Is(err, ErrProtocol), errors.Is(err, ErrDisplay):
			return err
		}
		cfg.Log.Info("waiting for the window agent", "reason", err)
		if time.Since(start) > steady {
			pause = retryMin
		}
		if err := wait(ctx, cfg.Display, pause); err != nil {
			return err
		}
		pause = min(2*pause, retryMax)
	}
}

// wait pauses between two sessions.
func wait(ctx context.Context, drv display.Driver, pause time.Duration) error {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-drv.Lost():
		return fmt.Errorf("%w: %w", ErrDisplay, drv.Err())
	}
	return nil
}

// serve runs one session from dialling to the channel's end.
func serve(ctx context.Context, cfg *Config) error {
	if cfg.Disconnected != nil {
		defer cfg.Disconnected()
	}
	conn, version, err := connect(ctx, cfg)
	if (errors.Is(err, wire.ErrAgentOld) || errors.Is(err, wire.ErrAgentNew)) && cfg.Outdated != nil {
		cfg.Outdated(err)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if cfg.Ready != nil {
		cfg.Ready()
		cfg.Ready = nil
	}
	cfg.Log.Info("the window agent is connected", "version", version.String())
	s := newSession(cfg, conn, version)
	defer s.state.Reset()
	return s.run(ctx)
}

// connect dials and shakes hands, while it keeps the display's events from piling up.
func connect(ctx context.Context, cfg *Config) (vchan.Conn, wire.Version, error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		conn    vchan.Conn
		version wire.Version
		err     error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if r.conn, r.err = cfg.Dial(ctx); r.err == nil && cfg.Connected != nil {
			r.err = cfg.Connected()
		}
		if r.err == nil {
			r.version, r.err = handshake(ctx, r.conn, cfg.Display.Screen())
		}
		done <- r
	}()
	var events []display.Event
	for {
		select {
		case r := <-done:
			cancel()
			if r.err != nil && r.conn != nil {
				r.conn.Close()
			}
			return r.conn, r.version, r.err
		case <-cfg.Display.Wake():
			events = cfg.Display.Poll(events[:0])
		case <-cfg.Display.Lost():
			cancel()
			if r := <-done; r.conn != nil {
				r.conn.Close()
			}
			return nil, 0, fmt.Errorf("%w: %w", ErrDisplay, cfg.Display.Err())
		}
	}
}
