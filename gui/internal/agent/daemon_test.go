package agent_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"qubist/core/vchan"
	"qubist/core/vchan/socket"
	"qubist/gui/internal/agent"
	"qubist/gui/internal/xconn"
	"qubist/gui/internal/xvfb"
	"qubist/gui/wire"
)

const (
	domain  = 7
	patient = 10 * time.Second
)

// message is one message of the agent, parsed as the daemon does.
type message struct {
	window uint32
	body   any
}

func (m message) String() string { return fmt.Sprintf("%#x %T%+v", m.window, m.body, m.body) }

// daemon is a scripted GUI daemon.
type daemon struct {
	t    *testing.T
	conn net.Conn
	ack  bool // answer dumps by itself

	mu   sync.Mutex
	cond sync.Cond
	got  []message
	err  error
	next int // first message not yet looked at by expect
}

// connect plays §1.1 and reads from then on.
func connect(t *testing.T, dir string, screen wire.XConf) *daemon {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	conn, err := socket.New(dir, 0).Dial(ctx, domain, vchan.PortGUI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b := make([]byte, wire.VersionSize)
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	v, err := wire.ParseVersion(b)
	if err != nil || v != wire.Current {
		t.Fatalf("agent says version %v, %v", v, err)
	}
	if _, err := conn.Write(screen.Append(v.Append(nil))); err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, conn: conn, ack: true}
	d.cond.L = &d.mu
	go d.read()
	return d
}

func (d *daemon) read() {
	for {
		m, err := d.readOne()
		d.mu.Lock()
		if err != nil {
			d.err = err
		} else {
			d.got = append(d.got, m)
		}
		d.cond.Broadcast()
		d.mu.Unlock()
		if err != nil {
			return
		}
		if _, isDump := m.body.(wire.WindowDump); isDump && d.ack {
			d.conn.Write(wire.Append(nil, m.window, wire.WindowDumpAck{}))
		}
	}
}

func (d *daemon) readOne() (message, error) {
	b := make([]byte, wire.HeaderSize)
	if _, err := io.ReadFull(d.conn, b); err != nil {
		return message{}, err
	}
	h, err := wire.ParseHeader(b)
	if err != nil {
		return message{}, err
	}
	n, err := h.BodyFromAgent(wire.Current)
	if err != nil {
		return message{}, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(d.conn, body); err != nil {
		return message{}, err
	}
	m, err := parseAgent(h.Type, body)
	return message{h.Window, m}, err
}

func parseAgent(t wire.Type, b []byte) (any, error) {
	switch t {
	case wire.TypeCreate:
		return wire.ParseCreate(b)
	case wire.TypeDestroy:
		return wire.Destroy{}, nil
	case wire.TypeUnmap:
		return wire.Unmap{}, nil
	case wire.TypeMap:
		return wire.ParseMap(b)
	case wire.TypeConfigure:
		return wire.ParseConfigure(b)
	case wire.TypeShmImage:
		return wire.ParseShmImage(b)
	case wire.TypeWMName:
		return wire.ParseWMName(b)
	case wire.TypeWMClass:
		return wire.ParseWMClass(b)
	case wire.TypeWindowHints:
		return wire.ParseWindowHints(b)
	case wire.TypeWindowFlags:
		return wire.ParseWindowFlags(b)
	case wire.TypeWindowDump:
		return wire.ParseWindowDump(b)
	case wire.TypeCursor:
		return wire.ParseCursor(b)
	}
	return nil, wire.ErrType
}

// expect waits for the first message after the last one found that fits. It returns it.
func (d *daemon) expect(what string, fits func(message) bool) message {
	d.t.Helper()
	deadline := time.Now().Add(patient)
	stop := time.AfterFunc(patient+time.Millisecond, d.cond.Broadcast)
	defer stop.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	from := d.next
	for i := from; ; i++ {
		for i >= len(d.got) {
			if d.err != nil || time.Now().After(deadline) {
				d.t.Fatalf("no %s (%v); got since: %v", what, d.err, d.got[from:])
			}
			d.cond.Wait()
		}
		if fits(d.got[i]) {
			d.next = i + 1
			return d.got[i]
		}
	}
}

// expectBody waits for a message of type T for window id, or for any if id is 0.
func expectBody[T any](d *daemon, id uint32, fits func(T) bool) (uint32, T) {
	d.t.Helper()
	var zero T
	m := d.expect(fmt.Sprintf("%T for %#x", zero, id), func(m message) bool {
		b, ok := m.body.(T)
		return ok && (id == 0 || id == m.window) && (fits == nil || fits(b))
	})
	return m.window, m.body.(T)
}

// all returns the messages so far.
func (d *daemon) all() []message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]message(nil), d.got...)
}

func tell[M wire.Message](d *daemon, id uint32, m M) {
	d.t.Helper()
	if _, err := d.conn.Write(wire.Append(nil, id, m)); err != nil {
		d.t.Fatal(err)
	}
}

// bench is an X server with an agent on it.
type bench struct {
	t         *testing.T
	server    *xvfb.Server
	vchan     string // directory
	region    string
	stopAgent func() error
	waitAgent func() error
}

var discard = slog.New(slog.DiscardHandler)

func newBench(t *testing.T, pages int) *bench {
	t.Helper()
	b := newServer(t, pages)
	b.startAgent()
	return b
}

// newServer is a bench whose agent is still to be started. xgb's tables of extensions are
// global: programs that need one are connected before the agent.
func newServer(t *testing.T, pages int) *bench {
	t.Helper()
	b := &bench{t: t, server: xvfb.Start(t, xvfb.Options{Cookie: true})}
	b.setUp(pages)
	return b
}

func (b *bench) setUp(pages int) {
	b.t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "q-guiagent-")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { os.RemoveAll(dir) })
	b.vchan, b.region = dir, filepath.Join(dir, "region")
	if err := os.WriteFile(b.region, nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Truncate(b.region, int64(pages)*wire.PageSize); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) startAgent() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	started := make(chan struct{}, 16)
	go func() {
		done <- agent.Serve(ctx, agent.Config{
			Display: b.server.Display, Authority: b.server.Authority, Region: b.region,
			Vchan: socket.New(b.vchan, domain), Log: slog.New(slog.NewTextHandler(testLog{b.t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Status: func(string) { started <- struct{}{} },
		})
	}()
	b.waitAgent = sync.OnceValue(func() error { return <-done })
	b.stopAgent = func() error { cancel(); return b.waitAgent() }
	b.t.Cleanup(func() { _ = b.stopAgent() })
	select {
	case <-started:
	case err := <-done:
		done <- err
		b.t.Fatalf("agent ended: %v", err)
	case <-time.After(patient):
		b.t.Fatal("agent does not start")
	}
}

// client connects a program of the qube.
func (b *bench) client() *xconn.Conn {
	b.t.Helper()
	c, err := xconn.Dial(b.t.Context(), b.server.Display, b.server.Authority)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	return c
}

// pixels reads what the region holds where a dump says.
func (b *bench) pixels(d wire.WindowDump) []byte {
	b.t.Helper()
	f, err := os.Open(b.region)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	px := make([]byte, d.Size())
	if _, err := f.ReadAt(px, d.Start()); err != nil {
		b.t.Fatal(err)
	}
	return px
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	defer func() { _ = recover() }() // a line after the test's end
	l.t.Logf("%s", b)
	return len(b), nil
}

// await polls until ok or fails the test.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
