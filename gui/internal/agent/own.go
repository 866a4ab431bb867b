package agent

import (
	"context"
	"errors"
	"time"

	"qubist/gui/internal/agent/xserver"
	"qubist/gui/internal/xconn"
)

// Pauses before an X server is started again.
const (
	firstPause = 500 * time.Millisecond
	longPause  = 10 * time.Second
	// steadyTime is how long one must have run for the pause to be short again.
	steadyTime = time.Minute
)

// ServeOwn is Serve with an X server of its own: it takes over the one that runs on
// server.Display or starts one, and starts another when it is lost. It ends with ctx and
// leaves the X server running.
func ServeOwn(ctx context.Context, c Config, server xserver.Config) error {
	c.Display, c.Authority = server.Display, server.Authority
	pause := firstPause
	for {
		began := time.Now()
		err := serveOnce(ctx, c, server)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > steadyTime {
			pause = firstPause
		}
		c.Log.Error("x server lost or unusable", "err", err, "again", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

func serveOnce(ctx context.Context, c Config, server xserver.Config) error {
	s, err := xserver.Ensure(ctx, server)
	if err != nil {
		return err
	}
	err = Serve(ctx, c)
	if errors.Is(err, xconn.ErrLost) {
		s.Reap()
	}
	return err
}
