// Package linktest sets up links between domains inside one process, for tests: a cable
// behaves as QEMU's virtio-serial port does when either end goes away and comes back.
package linktest

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/link"
	"qubist/core/vchan/virtio"
)

// Cable is a virtio-serial port. The host notices nothing of a guest that goes away; the
// guest's end is closed when the host's is.
type Cable struct {
	mu      sync.Mutex
	host    *net.UnixConn // our ends of the two
	guest   *net.UnixConn
	changed chan struct{}
	gone    bool
	relays  sync.WaitGroup
	toHost  atomic.Int64
}

// ToHost is how many bytes have reached the host's end.
func (c *Cable) ToHost() int64 { return c.toHost.Load() }

// NewCable returns a cable with nothing attached. It is cut when the test ends.
func NewCable(t testing.TB) *Cable {
	c := &Cable{changed: make(chan struct{})}
	t.Cleanup(func() {
		c.Cut()
		c.relays.Wait()
	})
	return c
}

// Cut ends the VM: OpenHost returns vchan.ErrGone from now on.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.swap(&c.host, nil)
	c.swap(&c.guest, nil)
}

// swap replaces an end. The caller holds mu.
func (c *Cable) swap(end **net.UnixConn, with *net.UnixConn) {
	if *end != nil {
		(*end).Close()
	}
	*end = with
	close(c.changed)
	c.changed = make(chan struct{})
}

// OpenHost is the Open of a link in dom0.
func (c *Cable) OpenHost(ctx context.Context) (link.Port, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		ours.Close()
		theirs.Close()
		return nil, vchan.ErrGone
	}
	c.swap(&c.host, ours)
	c.relays.Go(func() { c.relay(ours, &c.host, &c.guest, true) })
	return theirs, nil
}

// OpenGuest is the Open of a link in the VM.
func (c *Cable) OpenGuest(ctx context.Context) (link.Port, error) {
	if _, err := c.end(ctx, &c.host); err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.swap(&c.guest, ours)
	c.relays.Go(func() { c.relay(ours, &c.guest, &c.host, false) })
	return theirs, nil
}

// end waits for an end to be attached.
func (c *Cable) end(ctx context.Context, end **net.UnixConn) (*net.UnixConn, error) {
	for {
		c.mu.Lock()
		conn, gone, changed := *end, c.gone, c.changed
		c.mu.Unlock()
		if gone {
			return nil, vchan.ErrGone
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// relay copies from one end to whatever is the other one, until from ends.
func (c *Cable) relay(from *net.UnixConn, self, other **net.UnixConn, hangUp bool) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if to, err := c.end(context.Background(), other); err == nil {
				to.Write(buf[:n]) // lost if it goes away now, as with QEMU
				if !hangUp {
					c.toHost.Add(int64(n))
				}
			}
		}
		if err != nil {
			c.mu.Lock()
			if *self == from {
				c.swap(self, nil)
				if hangUp {
					c.swap(other, nil)
				}
			}
			c.mu.Unlock()
			return
		}
	}
}

func socketPair() (a, b *net.UnixConn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "cable")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return nil, nil, err
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1], nil
}

// World is dom0 and any number of VMs on one machine, each with a directory of its own.
type World struct {
	t   testing.TB
	dir string
	// Now is the clock of the links in dom0; set it before AddVM.
	Now func() time.Time
}

// NewWorld returns a world without VMs.
func NewWorld(t testing.TB) *World {
	dir, err := os.MkdirTemp("", "link")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &World{t: t, dir: dir}
}

func (w *World) dom0() string            { return filepath.Join(w.dir, "0") }
func (w *World) vm(id qube.DomID) string { return filepath.Join(w.dir, itoa(id)) }

// HostMux is the mux socket of a VM in dom0.
func (w *World) HostMux(id qube.DomID) string {
	return filepath.Join(w.dom0(), "mux."+itoa(id)+".sock")
}

// GuestMux is the mux socket inside a VM.
func (w *World) GuestMux(id qube.DomID) string { return filepath.Join(w.vm(id), "mux.sock") }

// Dom0 returns dom0's driver.
func (w *World) Dom0() *virtio.Driver {
	if err := os.MkdirAll(w.dom0(), 0o700); err != nil {
		w.t.Fatal(err)
	}
	return virtio.New(w.dom0(), 0, w.HostMux)
}

// VM returns the driver of a VM.
func (w *World) VM(id qube.DomID) *virtio.Driver {
	if err := os.MkdirAll(w.vm(id), 0o700); err != nil {
		w.t.Fatal(err)
	}
	return virtio.New(w.vm(id), id, func(qube.DomID) string { return w.GuestMux(id) })
}

// AddVM starts both links of a VM. They end with the test.
func (w *World) AddVM(id qube.DomID) *Cable {
	c := NewCable(w.t)
	w.StartHost(id, c.OpenHost)
	w.StartGuest(id, c.OpenGuest)
	return c
}

// StartHost starts the link of a VM in dom0 and returns what ends it.
func (w *World) StartHost(id qube.DomID, open func(context.Context) (link.Port, error)) (stop func()) {
	return w.start(link.Config{VM: id, Dom0: true, Dir: w.dom0(), Socket: w.HostMux(id), OtherMux: w.HostMux, Open: open, Now: w.Now})
}

// StartGuest starts the link inside a VM and returns what ends it.
func (w *World) StartGuest(id qube.DomID, open func(context.Context) (link.Port, error)) (stop func()) {
	return w.start(link.Config{VM: id, Dir: w.vm(id), Socket: w.GuestMux(id), Open: open})
}

func (w *World) start(cfg link.Config) (stop func()) {
	cfg.Log = slog.New(slog.NewTextHandler(logTo(w.t), nil)).With("vm", cfg.VM, "dom0", cfg.Dom0)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := link.New(cfg).Run(ctx, func() { close(ready) }); err != nil && ctx.Err() == nil {
			w.t.Errorf("link of %d: %v", cfg.VM, err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		w.t.Fatalf("link of %d does not get ready", cfg.VM)
	}
	return stop
}

// logTo shows the links' log when LINKTEST_LOG is set.
func logTo(testing.TB) io.Writer {
	if os.Getenv("LINKTEST_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

func itoa(id qube.DomID) string { return strconv.FormatUint(uint64(id), 10) }
