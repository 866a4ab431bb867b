package daemon_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"qubist/core/vchan"
	"qubist/gui/internal/agenttest"
	serve "qubist/gui/internal/daemon"
	"qubist/gui/internal/display"
	"qubist/gui/internal/display/fake"
	"qubist/gui/internal/window"
	"qubist/gui/wire"
)

// bench is a daemon on a fake screen whose agent is the test.
type bench struct {
	t     *testing.T
	drv   *fake.Display
	dial  chan net.Conn // what the daemon dials next; closed: the domain is gone
	ready int
	done  chan error
}

func newBench(t *testing.T, ctx context.Context) *bench {
	b := &bench{t: t, drv: fake.New(1280, 800), dial: make(chan net.Conn), done: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg := serve.Config{
		Dial: func(ctx context.Context) (vchan.Conn, error) {
			select {
			case c, ok := <-b.dial:
				if !ok {
					return nil, vchan.ErrGone
				}
				return c, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		Display: b.drv, Ready: func() { b.ready++ }, Log: log,
		Window: window.Config{Name: "work", Region: 1 << 20, Now: time.Now, Log: log},
	}
	go func() { b.done <- serve.Run(ctx, cfg) }()
	return b
}

// connect lets the daemon dial through and shakes hands.
func (b *bench) connect() net.Conn {
	b.t.Helper()
	ours, theirs := net.Pipe()
	select {
	case b.dial <- theirs:
	case <-time.After(agenttest.Limit):
		b.t.Fatal("the daemon does not dial")
	}
	b.t.Cleanup(func() { ours.Close() })
	if _, err := ours.Write(wire.Current.Append(nil)); err != nil {
		b.t.Fatal(err)
	}
	var answer [20]byte
	if _, err := io.ReadFull(ours, answer[:]); err != nil {
		b.t.Fatal(err)
	}
	return ours
}

func (b *bench) end() error {
	b.t.Helper()
	select {
	case err := <-b.done:
		return err
	case <-time.After(agenttest.Limit):
		b.t.Fatal("the daemon does not end")
		return nil
	}
}

func TestRunEnds(t *testing.T) {
	t.Run("domain gone", func(t *testing.T) {
		b := newBench(t, t.Context())
		b.connect().Close()
		close(b.dial)
		if err := b.end(); err != nil || b.ready != 1 {
			t.Errorf("%v, ready %d times", err, b.ready)
		}
	})
	t.Run("cancelled while dialling", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, ctx)
		cancel()
		if err := b.end(); err != nil || b.ready != 0 {
			t.Errorf("%v, ready %d times", err, b.ready)
		}
	})
	t.Run("cancelled in the handshake", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, ctx)
		_, theirs := net.Pipe()
		b.dial <- theirs
		cancel()
		if err := b.end(); err != nil {
			t.Error(err)
		}
	})
	t.Run("cancelled in a session", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, ctx)
		b.connect()
		cancel()
		if err := b.end(); err != nil {
			t.Error(err)
		}
	})
	for _, connected := range []bool{false, true} {
		t.Run("display lost", func(t *testing.T) {
			b := newBench(t, t.Context())
			if connected {
				b.connect()
			}
			b.drv.Lose()
			if err := b.end(); !errors.Is(err, serve.ErrDisplay) {
				t.Error(err)
			}
		})
	}
	t.Run("protocol", func(t *testing.T) {
		b := newBench(t, t.Context())
		c := b.connect()
		go c.Write(wire.Append(nil, 1, wire.Unmap{}))
		if err := b.end(); !errors.Is(err, serve.ErrProtocol) {
			t.Error(err)
		}
	})
}

// Messages may arrive in any pieces.
func TestPieces(t *testing.T) {
	b := newBench(t, t.Context())
	c := b.connect()
	go io.Copy(io.Discard, c)
	var stream []byte
	for id := range uint32(40) {
		stream = wire.Append(stream, id, wire.Create{Width: 10, Height: 10})
		stream = wire.Append(stream, id, wire.ClipboardData(make([]byte, 3000*int(id))))
		stream = wire.Append(stream, id, wire.WMName("x"))
	}
	for n := 1; len(stream) > 0; n = n*3%70001 + 1 {
		n = min(n, len(stream))
		if _, err := c.Write(stream[:n]); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	// The answer to the last message shows that all before it were understood.
	for id := range uint32(40) {
		if _, err := c.Write(wire.Append(nil, id, wire.Destroy{})); err != nil {
			t.Fatal(err)
		}
	}
}

// An agent that reads nothing is dropped once its queue is full, and a new one is served.
func TestQueueIsBounded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := newBench(t, ctx)
	c := b.connect()
	if _, err := c.Write(wire.Append(nil, 1, wire.Create{Width: 10, Height: 10})); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan struct{})
	go func() {
		defer close(dropped)
		for {
			if _, err := c.Write(wire.Append(nil, 1, wire.WMName("x"))); err != nil {
				return
			}
		}
	}()
	deadline := time.After(agenttest.Limit)
	for full := false; !full; {
		for range 20000 {
			b.drv.Play(display.Event{Kind: display.Key, Window: 1, Code: wire.KeyPress, Detail: 38})
		}
		select {
		case <-dropped:
			full = true
		case <-deadline:
			t.Fatal("the queue has no end")
		case <-time.After(time.Millisecond):
		}
	}
	b.connect()
	if b.ready != 1 {
		t.Errorf("ready %d times", b.ready)
	}
	cancel()
	if err := b.end(); err != nil {
		t.Error(err)
	}
}
