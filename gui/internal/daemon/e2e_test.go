package daemon_test

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/core/qube"
	"qubist/gui/internal/agenttest"
	"qubist/gui/internal/screenshot"
	"qubist/gui/internal/xconn"
	"qubist/gui/internal/xvfb"

	"github.com/BurntSushi/xgb/xproto"
	"github.com/BurntSushi/xgb/xtest"
)

var (
	binary     string
	buildOnce  sync.Once
	buildError error
)

// program builds the real binary, once.
func program(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "q-guid-bin-")
		if err != nil {
			buildError = err
			return
		}
		binary = filepath.Join(dir, "qubes-guid")
		cmd := exec.Command("go", "build", "-o", binary, "qubist/gui/cmd/qubes-guid")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			buildError = fmt.Errorf("%w: %s", err, out)
		}
	})
	if buildError != nil {
		t.Fatal(buildError)
	}
	return binary
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary != "" {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// desk is an X server with a second client that looks on and types.
type desk struct {
	t   *testing.T
	x   *xvfb.Server
	c   *xconn.Conn
	dir string
}

func newDesk(t *testing.T, o xvfb.Options) *desk {
	t.Helper()
	d := &desk{t: t, x: xvfb.Start(t, o), dir: agenttest.Dir(t)}
	c, err := xconn.Dial(t.Context(), d.x.Display, d.x.Authority)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := xtest.Init(c.X); err != nil {
		t.Fatal(err)
	}
	d.c = c
	return d
}

// daemon is a running qubes-guid.
type daemon struct {
	t     *testing.T
	cmd   *exec.Cmd
	ready chan string
	log   *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (d *desk) start(xid qube.DomID, name string, label qube.Label, region string, more ...string) *daemon {
	d.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	g := &daemon{t: d.t, ready: make(chan string, 1), log: &logBuffer{}}
	args := append([]string{"--root", d.dir, "--ready-fd", "3", "-T", "-d", fmt.Sprint(xid), "-N", name,
		"-c", fmt.Sprintf("0x%06x", label.Color), "-l", fmt.Sprint(label.Index), "--region", region}, more...)
	g.cmd = exec.Command(program(d.t), args...)
	g.cmd.Env = append(os.Environ(), "DISPLAY="+d.x.Display, "XAUTHORITY="+d.x.Authority, "QUBIST_VCHAN=socket", "VCHAN_SOCKET_DIR="+d.dir)
	g.cmd.ExtraFiles = []*os.File{w}
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	w.Close()
	go func() {
		defer r.Close()
		line, _ := bufio.NewReader(r).ReadString('\n')
		g.ready <- line
	}()
	d.t.Cleanup(func() {
		if g.cmd.ProcessState == nil {
			_ = g.cmd.Process.Kill()
			_ = g.cmd.Wait()
		}
		if d.t.Failed() {
			d.t.Logf("%s: %s", name, g.log)
		}
	})
	return g
}

// exit waits for the end and returns the status.
func (g *daemon) exit() int {
	g.t.Helper()
	done := make(chan struct{})
	go func() { _ = g.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(agenttest.Limit):
		_ = g.cmd.Process.Kill()
		<-done
		g.t.Fatalf("the daemon does not end: %s", g.log)
	}
	return g.cmd.ProcessState.ExitCode()
}

// shot is the screen now.
func (d *desk) shot() *image.RGBA {
	d.t.Helper()
	img, err := screenshot.Take(d.c)
	if err != nil {
		d.t.Fatal(err)
	}
	return img
}

// keep saves the screen for a look by eye when $QUBIST_SHOTS names a directory.
func (d *desk) keep(name string) {
	d.t.Helper()
	if dir := os.Getenv("QUBIST_SHOTS"); dir != "" {
		if err := screenshot.Write(filepath.Join(dir, name+".png"), d.shot()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// eventually polls until ok.
func (d *desk) eventually(what string, ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(agenttest.Limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	d.keep("failed")
	d.t.Fatalf("%s does not happen", what)
}

// top is a top-level window of a qube.
type top struct {
	id     xproto.Window
	rect   image.Rectangle
	remote uint32
	vm     string
	or     bool
}

// tops are the viewable windows that carry _QUBES_VMWINDOWID, at any depth.
func (d *desk) tops() map[string]top {
	d.t.Helper()
	prop, err := d.c.Atom("_QUBES_VMWINDOWID")
	if err != nil {
		d.t.Fatal(err)
	}
	vmname, err := d.c.Atom("_QUBES_VMNAME")
	if err != nil {
		d.t.Fatal(err)
	}
	found := map[string]top{}
	var walk func(w xproto.Window, depth int)
	walk = func(w xproto.Window, depth int) {
		tree, err := xproto.QueryTree(d.c.X, w).Reply()
		if err != nil {
			return
		}
		for _, c := range tree.Children {
			p, err := xproto.GetProperty(d.c.X, false, c, prop, xproto.AtomWindow, 0, 1).Reply()
			if err == nil && len(p.Value) == 4 {
				n, err1 := xproto.GetProperty(d.c.X, false, c, vmname, xproto.AtomString, 0, 8).Reply()
				at, err2 := xproto.GetWindowAttributes(d.c.X, c).Reply()
				g, err3 := xproto.GetGeometry(d.c.X, xproto.Drawable(c)).Reply()
				o, err4 := xproto.TranslateCoordinates(d.c.X, c, d.c.Screen.Root, 0, 0).Reply()
				if err1 != nil || err2 != nil || err3 != nil || err4 != nil || at.MapState != xproto.MapStateViewable {
					continue
				}
				r := image.Rect(int(o.DstX), int(o.DstY), int(o.DstX)+int(g.Width), int(o.DstY)+int(g.Height))
				tp := top{c, r, uint32(p.Value[0]) | uint32(p.Value[1])<<8, string(n.Value), at.OverrideRedirect}
				found[fmt.Sprintf("%s:%d", tp.vm, tp.remote)] = tp
			} else if depth < 2 {
				walk(c, depth+1)
			}
		}
	}
	walk(d.c.Screen.Root, 0)
	return found
}

// window waits for a qube's window to be on the screen.
func (d *desk) window(key string) top {
	d.t.Helper()
	var w top
	d.eventually("window "+key, func() bool {
		var ok bool
		w, ok = d.tops()[key]
		return ok
	})
	return w
}

// picture has a gradient and text-like noise, so that a shift by one pixel shows.
func picture(w, h int, seed uint8) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{uint8(x) ^ seed, uint8(y) + seed, uint8(x*3+y*5) | 1, 255})
		}
	}
	return img
}

// same reports whether the screen shows img at p.
func same(shot, img *image.RGBA, p image.Point) bool {
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			a, b := shot.RGBAAt(p.X+x, p.Y+y), img.RGBAAt(x, y)
			if a.R != b.R || a.G != b.G || a.B != b.B {
				return false
			}
		}
	}
	return true
}

func rgb(c uint32) color.RGBA { return color.RGBA{uint8(c >> 16), uint8(c >> 8), uint8(c), 255} }

// move moves the pointer; press and release press and release a button or a key.
func (d *desk) fake(kind, detail byte, x, y int) {
	d.t.Helper()
	if err := xtest.FakeInputChecked(d.c.X, kind, detail, 0, d.c.Screen.Root, int16(x), int16(y), 0).Check(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) move(p image.Point)  { d.fake(6, 0, p.X, p.Y) }
func (d *desk) press(button byte)   { d.fake(4, button, 0, 0) }
func (d *desk) release(button byte) { d.fake(5, button, 0, 0) }
func (d *desk) key(keycode byte)    { d.fake(2, keycode, 0, 0); d.fake(3, keycode, 0, 0) }
func (d *desk) click(p image.Point) { d.move(p); d.press(1); d.release(1) }

// drag pulls from p by delta with the first button until done.
func (d *desk) drag(p, delta image.Point, done func() bool) {
	d.t.Helper()
	d.move(p)
	d.press(1)
	d.eventually("what the drag is for", func() bool {
		d.move(p.Add(delta.Div(2)))
		d.move(p.Add(delta))
		return done()
	})
	d.release(1)
}

func (d *desk) hasProperty(atom xproto.Atom) bool {
	r, err := xproto.GetProperty(d.c.X, false, d.c.Screen.Root, atom, xproto.GetPropertyTypeAny, 0, 1).Reply()
	return err == nil && r.Format != 0
}

// framed counts the sides of r whose outermost pixels are all of the colour c.
func framed(shot *image.RGBA, r image.Rectangle, c uint32) int {
	want, sides := rgb(c), 0
	line := func(from image.Point, step image.Point, n int) {
		for i := range n {
			p := from.Add(step.Mul(i))
			if shot.RGBAAt(p.X, p.Y) != want {
				return
			}
		}
		sides++
	}
	line(r.Min, image.Pt(1, 0), r.Dx())
	line(image.Pt(r.Min.X, r.Max.Y-1), image.Pt(1, 0), r.Dx())
	line(r.Min, image.Pt(0, 1), r.Dy())
	line(image.Pt(r.Max.X-1, r.Min.Y), image.Pt(0, 1), r.Dy())
	return sides
}
