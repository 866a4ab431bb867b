package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/gui/internal/agent/region"
	"qubist/gui/internal/xconn"

	"golang.org/x/sync/errgroup"
)

// FrameTime is the shortest time between two captures of a window.
const FrameTime = 12 * time.Millisecond

// settleTime is how long a capture waits after the first change, so that what a program
// draws at once is seen at once.
const settleTime = time.Millisecond

// States of the agent as told to Config.Status.
const (
	StateStarted   = "started"   // the X server is ours, no daemon yet
	StateConnected = "connected" // a daemon is linked
)

// ErrManaged: another window manager or compositor runs on the X server.
var ErrManaged = errors.New("another window manager runs on this display")

// Config is what Serve needs.
type Config struct {
	Display   string // ":N"
	Authority string // Xauthority file; empty for none
	Region    string // file of the window region; empty: windows have no images
	Vchan     vchan.Driver
	Daemon    qube.DomID // who may connect
	Log       *slog.Logger
	Status    func(state string) // told every change of state; may be nil
}

// Serve shows the display's windows to one daemon after another until ctx ends or the X
// server is lost (an error that wraps xconn.ErrLost). Applications do not notice its end.
func Serve(ctx context.Context, c Config) error {
	x, err := xconn.Dial(ctx, c.Display, c.Authority)
	if err != nil {
		return err
	}
	defer x.Close()
	s := newSession(x, c)
	if c.Region != "" {
		f, size, err := region.Open(c.Region)
		if err != nil {
			return err
		}
		err = s.attachRegion(f, size)
		f.Close() // the X server has its own descriptor
		if err != nil {
			return err
		}
	}
	if err := s.start(); err != nil {
		return errors.Join(err, x.Err())
	}
	s.status(StateStarted)
	group, ctx := errgroup.WithContext(ctx)
	links := make(chan *link)
	group.Go(func() error { return acceptLinks(ctx, c, links) })
	group.Go(func() error { return s.run(ctx, links) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *session) attachRegion(f *os.File, size int64) error {
	if err := initExtensions(s.x.X); err != nil {
		return err
	}
	seg, err := s.x.AttachFd(int(f.Fd()), false)
	if err != nil {
		return fmt.Errorf("giving the window region to the x server: %w", err)
	}
	s.seg, s.alloc = seg, region.NewAlloc(size)
	return nil
}

func (s *session) status(state string) {
	if s.cfg.Status != nil {
		s.cfg.Status(state)
	}
}
