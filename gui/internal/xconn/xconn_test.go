package xconn_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"qubist/gui/internal/xconn"
	"qubist/gui/internal/xvfb"

	"github.com/BurntSushi/xgb/shm"
	"github.com/BurntSushi/xgb/xproto"
	"golang.org/x/sys/unix"
)

func dial(t *testing.T, s *xvfb.Server) *xconn.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := xconn.Dial(ctx, s.Display, s.Authority)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCookie(t *testing.T) {
	s := xvfb.Start(t, xvfb.Options{Cookie: true})
	c := dial(t, s)
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	if c, err := xconn.Dial(t.Context(), s.Display, ""); err == nil {
		c.Close()
		t.Fatal("connected without the cookie")
	}
}

func TestNoServer(t *testing.T) {
	for _, d := range []string{":63999", "host:1", "", ":x", "/tmp/a:1"} {
		if c, err := xconn.Dial(t.Context(), d, ""); err == nil {
			c.Close()
			t.Errorf("connected to %q", d)
		}
	}
}

func window(t *testing.T, c *xconn.Conn) xproto.Window {
	t.Helper()
	id, err := c.NewID()
	if err != nil {
		t.Fatal(err)
	}
	err = xproto.CreateWindowChecked(c.X, c.Screen.RootDepth, xproto.Window(id), c.Screen.Root, 0, 0, 64, 64, 0,
		xproto.WindowClassInputOutput, c.Screen.RootVisual, xproto.CwOverrideRedirect|xproto.CwEventMask,
		[]uint32{1, xproto.EventMaskStructureNotify | xproto.EventMaskPropertyChange}).Check()
	if err != nil {
		t.Fatal(err)
	}
	return xproto.Window(id)
}

func TestAttachFd(t *testing.T) {
	c := dial(t, xvfb.Start(t, xvfb.Options{}))
	if _, err := c.AttachFd(0, true); err == nil {
		t.Fatal("attached without the extension")
	}
	if err := shm.Init(c.X); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("pixels", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "pixels")
	defer f.Close()
	pixels := make([]byte, 64*64*4)
	for i := range pixels {
		pixels[i] = byte(i*7) &^ 1
	}
	if _, err := f.Write(pixels); err != nil {
		t.Fatal(err)
	}
	seg, err := c.AttachFd(fd, true)
	if err != nil {
		t.Fatal(err)
	}
	w := window(t, c)
	xproto.MapWindow(c.X, w)
	gc, err := c.NewID()
	if err != nil {
		t.Fatal(err)
	}
	xproto.CreateGC(c.X, xproto.Gcontext(gc), xproto.Drawable(w), 0, nil)
	shm.PutImage(c.X, xproto.Drawable(w), xproto.Gcontext(gc), 64, 64, 0, 0, 64, 64, 0, 0, 24, xproto.ImageFormatZPixmap, 0, seg, 0)
	got, err := xproto.GetImage(c.X, xproto.ImageFormatZPixmap, xproto.Drawable(w), 0, 0, 64, 64, ^uint32(0)).Reply()
	if err != nil {
		t.Fatal(err)
	}
	for i := range pixels {
		if i%4 != 3 && got.Data[i] != pixels[i] {
			t.Fatalf("byte %d is %#x, want %#x", i, got.Data[i], pixels[i])
		}
	}
	if _, err := shm.GetImage(c.X, xproto.Drawable(w), 0, 0, 8, 8, ^uint32(0), xproto.ImageFormatZPixmap, seg, 0).Reply(); err == nil {
		t.Fatal("the server writes to a read-only segment")
	}
}

// Requests that wait while the server dies fail; later ones fail too; nothing hangs.
func TestServerDies(t *testing.T) {
	s := xvfb.Start(t, xvfb.Options{})
	c := dial(t, s)
	w := window(t, c)
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		for {
			if err := c.Sync(); err != nil {
				waiting <- err
				return
			}
		}
	}()
	s.Kill()
	select {
	case err := <-waiting:
		if err == nil {
			t.Fatal("a request on a dead connection succeeded")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a request hangs on a dead connection")
	}
	<-c.Lost()
	if err := c.Err(); !errors.Is(err, xconn.ErrLost) {
		t.Fatalf("got %v", err)
	}
	for range 3000 { // more than any queue of xgb holds
		xproto.MapWindow(c.X, w)
	}
	if err := xproto.MapWindowChecked(c.X, w).Check(); err == nil {
		t.Fatal("a checked request on a dead connection succeeded")
	}
	c.Close()
	c.Close()
}

// More events than xgb's queue holds do not dam up a reply.
func TestEventsWhileWaiting(t *testing.T) {
	c := dial(t, xvfb.Start(t, xvfb.Options{}))
	w := window(t, c)
	const count = 7000
	for range count {
		xproto.ChangeProperty(c.X, xproto.PropModeReplace, w, xproto.AtomWmName, xproto.AtomString, 8, 1, []byte{'x'})
	}
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	got := 0
	deadline := time.After(20 * time.Second)
	for got < count {
		select {
		case <-c.Wake():
			for _, ev := range c.Poll(nil) {
				if _, ok := ev.Event.(xproto.PropertyNotifyEvent); ok {
					got++
				}
			}
		case <-deadline:
			t.Fatalf("%d of %d events", got, count)
		}
	}
}

func TestIDsComeBack(t *testing.T) {
	c := dial(t, xvfb.Start(t, xvfb.Options{}))
	seen := map[uint32]bool{}
	for range 5000 {
		id, err := c.NewID()
		if err != nil {
			t.Fatal(err)
		}
		seen[id] = true
		c.FreeID(id)
	}
	if len(seen) > 1100 {
		t.Fatalf("%d ids for one resource at a time", len(seen))
	}
}

func TestDialCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := xvfb.Start(t, xvfb.Options{})
	if c, err := xconn.Dial(ctx, s.Display, ""); err == nil {
		c.Close()
		t.Fatal("connected under a cancelled context")
	}
}

// Close must not hang, whatever the server is sending at that moment.
func TestCloseWhileEventsArrive(t *testing.T) {
	s := xvfb.Start(t, xvfb.Options{})
	noisy := dial(t, s)
	w := window(t, noisy)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for x := uint32(0); ; x++ {
			select {
			case <-stop:
				return
			default:
				xproto.ConfigureWindow(noisy.X, w, xproto.ConfigWindowX, []uint32{x & 1023})
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		c, err := xconn.Dial(ctx, s.Display, "")
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		xproto.ChangeWindowAttributes(c.X, c.Screen.Root, xproto.CwEventMask, []uint32{xproto.EventMaskSubstructureNotify})
		closed := make(chan struct{})
		go func() { c.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Fatal("Close hangs")
		}
	}
}
