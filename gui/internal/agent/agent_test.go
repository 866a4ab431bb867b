package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"qubist/gui/internal/agent"
	"qubist/gui/internal/xconn"
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xfixes"
	"github.com/BurntSushi/xgb/xproto"
)

var screen = wire.NewXConf(1280, 800, 24)

// app is a window of a program in the qube.
type app struct {
	t  *testing.T
	c  *xconn.Conn
	id xproto.Window
	gc xproto.Gcontext
	w  uint16
	h  uint16
}

type appOptions struct {
	depth    byte
	override bool
	border   uint16
	unmapped bool
}

func newApp(t *testing.T, c *xconn.Conn, x, y int16, w, h uint16, o appOptions) *app {
	t.Helper()
	a := &app{t: t, c: c, w: w, h: h}
	a.id, a.gc = xproto.Window(newID(t, c)), xproto.Gcontext(newID(t, c))
	visual := c.Screen.RootVisual
	mask := uint32(xproto.CwBackPixel | xproto.CwBorderPixel | xproto.CwOverrideRedirect | xproto.CwEventMask)
	override := uint32(0)
	if o.override {
		override = 1
	}
	values := []uint32{0x102030, 0, override, xproto.EventMaskKeyPress | xproto.EventMaskKeyRelease |
		xproto.EventMaskButtonPress | xproto.EventMaskButtonRelease | xproto.EventMaskPointerMotion |
		xproto.EventMaskEnterWindow | xproto.EventMaskLeaveWindow | xproto.EventMaskFocusChange | xproto.EventMaskStructureNotify}
	if o.depth == 0 {
		o.depth = c.Screen.RootDepth
	} else {
		for _, d := range c.Screen.AllowedDepths {
			if d.Depth == o.depth {
				visual = d.Visuals[0].VisualId
			}
		}
		colours := xproto.Colormap(newID(t, c))
		xproto.CreateColormap(c.X, xproto.ColormapAllocNone, colours, c.Screen.Root, visual)
		mask |= xproto.CwColormap
		values = append(values, uint32(colours))
	}
	err := xproto.CreateWindowChecked(c.X, o.depth, a.id, c.Screen.Root, x, y, w, h, o.border,
		xproto.WindowClassInputOutput, visual, mask, values).Check()
	if err != nil {
		t.Fatal(err)
	}
	xproto.CreateGC(c.X, a.gc, xproto.Drawable(a.id), 0, nil)
	if !o.unmapped {
		xproto.MapWindow(c.X, a.id)
	}
	return a
}

func newID(t *testing.T, c *xconn.Conn) uint32 {
	t.Helper()
	id, err := c.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (a *app) remote() uint32 { return uint32(a.id) }

// draw paints a picture in which every pixel differs from its neighbours.
func (a *app) draw(seed byte) {
	a.t.Helper()
	g, err := xproto.GetGeometry(a.c.X, xproto.Drawable(a.id)).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	const rows = 16
	for y := 0; y < int(a.h); y += rows {
		h := min(rows, int(a.h)-y)
		px := make([]byte, int(a.w)*h*4)
		for i := range px {
			px[i] = byte(i*7) + byte(y) + seed
		}
		xproto.PutImage(a.c.X, xproto.ImageFormatZPixmap, xproto.Drawable(a.id), a.gc, a.w, uint16(h), 0, int16(y), 0, g.Depth, px)
	}
}

// content reads the window back from the X server.
func (a *app) content() []byte {
	a.t.Helper()
	r, err := xproto.GetImage(a.c.X, xproto.ImageFormatZPixmap, xproto.Drawable(a.id), 0, 0, a.w, a.h, ^uint32(0)).Reply()
	if err != nil {
		a.t.Fatal(err)
	}
	return r.Data
}

func sameColours(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i += 4 {
		if !bytes.Equal(a[i:i+3], b[i:i+3]) {
			return false
		}
	}
	return true
}

// awaitPixels waits until the region shows the window as the X server has it.
func (a *app) awaitPixels(b *bench, d wire.WindowDump) {
	a.t.Helper()
	want := a.content()
	await(a.t, "the window's pixels in the region", func() bool { return sameColours(want, b.pixels(d)) })
}

func (a *app) setText(prop xproto.Atom, kind xproto.Atom, text string) {
	xproto.ChangeProperty(a.c.X, xproto.PropModeReplace, a.id, prop, kind, 8, uint32(len(text)), []byte(text))
}

// event waits for an event of type T that fits.
func event[T any](t *testing.T, c *xconn.Conn, fits func(T) bool) T {
	t.Helper()
	var found T
	await(t, "an x event", func() bool {
		for _, e := range c.Poll(nil) {
			if ev, ok := e.Event.(T); ok && (fits == nil || fits(ev)) {
				found = ev
				return true
			}
		}
		return false
	})
	return found
}

func TestWindowIsAnnouncedAndShown(t *testing.T) {
	for _, depth := range []byte{24, 32} {
		t.Run(fmt.Sprint("depth ", depth), func(t *testing.T) { announcedAndShown(t, depth) })
	}
}

func announcedAndShown(t *testing.T, depth byte) {
	b := newBench(t, 4096)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 30, 40, 301, 203, appOptions{depth: depth, unmapped: true, border: 3})
	a.setText(xproto.AtomWmName, xproto.AtomString, "Gr\xfc\xdfe")
	a.setText(xproto.AtomWmClass, xproto.AtomString, "name\x00Class\x00")
	xproto.MapWindow(c.X, a.id)

	id, create := expectBody[wire.Create](d, 0, nil)
	if id != a.remote() || create.Width != 301 || create.Height != 203 || create.OverrideRedirect {
		t.Fatalf("CREATE %#x %+v", id, create)
	}
	if _, m := expectBody[wire.WMClass](d, id, nil); m.Name != "name" || m.Class != "Class" {
		t.Errorf("WMCLASS %+v", m)
	}
	if _, m := expectBody[wire.WMName](d, id, nil); m != "Grüße" {
		t.Errorf("WMNAME %q", m)
	}
	expectBody[wire.Map](d, id, nil)
	_, dump := expectBody[wire.WindowDump](d, id, nil)
	if dump.Kind != wire.DumpRegion || dump.Width != 301 || dump.Height != 203 || !dump.FitsRegion(4096*wire.PageSize) {
		t.Fatalf("WINDOW_DUMP %+v", dump)
	}
	expectBody[wire.ShmImage](d, id, func(m wire.ShmImage) bool { return m == wire.ShmImage{Width: 301, Height: 203} })

	a.draw(3)
	a.awaitPixels(b, dump)
	d.next = len(d.all())
	xproto.ChangeGC(c.X, a.gc, xproto.GcForeground, []uint32{0x123456})
	xproto.PolyFillRectangle(c.X, xproto.Drawable(a.id), a.gc, []xproto.Rectangle{{X: 20, Y: 10, Width: 5, Height: 4}})
	expectBody[wire.ShmImage](d, id, func(m wire.ShmImage) bool {
		return m == wire.ShmImage{X: 20, Y: 10, Width: 5, Height: 4}
	})
	if !sameColours(a.content(), b.pixels(dump)) {
		t.Error("SHMIMAGE came before the pixels")
	}

	a.setText(xproto.AtomWmName, xproto.AtomString, strings.Repeat("ä", 100))
	if _, m := expectBody[wire.WMName](d, id, nil); string(m) != strings.Repeat("ä", 62)+"…" {
		t.Errorf("long title became %q", m)
	}
	xproto.UnmapWindow(c.X, a.id)
	expectBody[wire.Unmap](d, id, nil)
	xproto.MapWindow(c.X, a.id)
	expectBody[wire.Map](d, id, nil)
	_, dump = expectBody[wire.WindowDump](d, id, nil)
	a.draw(9)
	a.awaitPixels(b, dump)
	xproto.DestroyWindow(c.X, a.id)
	expectBody[wire.Destroy](d, id, nil)
}

func TestOverrideRedirectAndTransient(t *testing.T) {
	b := newBench(t, 4096)
	d := connect(t, b.vchan, screen)
	c := b.client()
	parent := newApp(t, c, 0, 0, 100, 100, appOptions{})
	expectBody[wire.Map](d, parent.remote(), nil)
	menu := newApp(t, c, 50, 60, 40, 30, appOptions{override: true, unmapped: true})
	xproto.ChangeProperty(c.X, xproto.PropModeReplace, menu.id, xproto.AtomWmTransientFor, xproto.AtomWindow, 32, 1,
		[]byte{byte(parent.id), byte(parent.id >> 8), byte(parent.id >> 16), byte(parent.id >> 24)})
	xproto.MapWindow(c.X, menu.id)
	_, create := expectBody[wire.Create](d, menu.remote(), nil)
	if want := (wire.Create{X: 50, Y: 60, Width: 40, Height: 30, OverrideRedirect: true}); create != want {
		t.Errorf("CREATE %+v, want %+v", create, want)
	}
	_, m := expectBody[wire.Map](d, menu.remote(), nil)
	if !m.OverrideRedirect || m.TransientFor != parent.remote() {
		t.Errorf("MAP %+v", m)
	}
	_, dump := expectBody[wire.WindowDump](d, menu.remote(), nil)
	menu.draw(1)
	menu.awaitPixels(b, dump)
}

func TestDaemonMovesAndResizes(t *testing.T) {
	b := newBench(t, 4096)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 0, 0, 100, 100, appOptions{})
	_, first := expectBody[wire.WindowDump](d, a.remote(), nil)
	want := wire.Configure{X: 200, Y: 150, Width: 320, Height: 240}
	tell(d, a.remote(), want)
	if _, m := expectBody[wire.Configure](d, a.remote(), nil); m != want {
		t.Errorf("answered %+v, want %+v", m, want)
	}
	_, dump := expectBody[wire.WindowDump](d, a.remote(), nil)
	if dump.Width != 320 || dump.Height != 240 || dump.Offset == first.Offset {
		t.Errorf("WINDOW_DUMP %+v after %+v", dump, first)
	}
	event(t, c, func(e xproto.ConfigureNotifyEvent) bool {
		return e.X == 200 && e.Y == 150 && e.Width == 320 && e.Height == 240
	})
	a.w, a.h = 320, 240
	a.draw(5)
	a.awaitPixels(b, dump)
	tell(d, a.remote(), want) // no change is answered too
	if _, m := expectBody[wire.Configure](d, a.remote(), nil); m != want {
		t.Errorf("answered %+v, want %+v", m, want)
	}
	// The program's own wish reaches the daemon; a pure move needs no new image.
	d.next = len(d.all())
	xproto.ConfigureWindow(c.X, a.id, xproto.ConfigWindowX, []uint32{10})
	expectBody[wire.Configure](d, a.remote(), func(m wire.Configure) bool { return m.X == 10 && m.Width == 320 })
	a.draw(6)
	expectBody[wire.ShmImage](d, a.remote(), nil)
	for _, m := range d.all()[d.next-1:] {
		if _, bad := m.body.(wire.WindowDump); bad {
			t.Error("a move caused a new WINDOW_DUMP")
		}
	}
}

func TestReconnectAnnouncesInOrder(t *testing.T) {
	b := newBench(t, 4096)
	d := connect(t, b.vchan, screen)
	c := b.client()
	a := newApp(t, c, 5, 6, 120, 90, appOptions{})
	expectBody[wire.ShmImage](d, a.remote(), nil)
	gone := newApp(t, c, 0, 0, 10, 10, appOptions{})
	expectBody[wire.ShmImage](d, gone.remote(), nil)
	a.setText(xproto.AtomWmClass, xproto.AtomString, "n\x00C\x00")
	expectBody[wire.WMClass](d, a.remote(), nil)
	hints := make([]byte, 72)
	hints[0], hints[20] = byte(wire.HintMinSize), 30
	xproto.ChangeProperty(c.X, xproto.PropModeReplace, a.id, xproto.AtomWmNormalHints, xproto.AtomWmSizeHints, 32, 18, hints)
	if _, m := expectBody[wire.WindowHints](d, a.remote(), nil); m.Flags != wire.HintMinSize || m.MinWidth != 30 {
		t.Errorf("HINTS %+v", m)
	}
	xproto.DestroyWindow(c.X, gone.id)
	expectBody[wire.Destroy](d, gone.remote(), nil)
	d.conn.Close()
	a.draw(11)
	d = connect(t, b.vchan, screen)
	expectBody[wire.ShmImage](d, a.remote(), nil)
	var kinds []string
	var dump wire.WindowDump
	for _, m := range d.all() {
		if m.window != a.remote() {
			t.Errorf("unexpected %v", m)
			continue
		}
		if v, ok := m.body.(wire.WindowDump); ok {
			dump = v
		}
		kinds = append(kinds, strings.TrimPrefix(strings.Fields(m.String())[1], "wire."))
	}
	for i, want := range []string{"Create", "Configure", "WindowDump", "WMClass", "WindowHints", "WMName", "Map", "WMName", "ShmImage"} {
		if i >= len(kinds) || !strings.HasPrefix(kinds[i], want) {
			t.Fatalf("order %v, place %d wants %s", kinds, i, want)
		}
	}
	a.awaitPixels(b, dump)
}

func TestCloseAndKill(t *testing.T) {
	b := newBench(t, 4096)
	d := connect(t, b.vchan, screen)
	c := b.client()
	polite := newApp(t, c, 0, 0, 50, 50, appOptions{unmapped: true})
	protocols, err1 := c.Atom("WM_PROTOCOLS")
	del, err2 := c.Atom("WM_DELETE_WINDOW")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	xproto.ChangeProperty(c.X, xproto.PropModeReplace, polite.id, protocols, xproto.AtomAtom, 32, 1,
		[]byte{byte(del), byte(del >> 8), byte(del >> 16), byte(del >> 24)})
	xproto.MapWindow(c.X, polite.id)
	expectBody[wire.Map](d, polite.remote(), nil)
	tell(d, polite.remote(), wire.Close{})
	e := event(t, c, func(e xproto.ClientMessageEvent) bool { return e.Type == protocols })
	if xproto.Atom(e.Data.Data32[0]) != del {
		t.Errorf("asked for %d, want WM_DELETE_WINDOW", e.Data.Data32[0])
	}
	other := b.client()
	rude := newApp(t, other, 0, 0, 50, 50, appOptions{})
	expectBody[wire.Map](d, rude.remote(), nil)
	tell(d, rude.remote(), wire.Close{})
	expectBody[wire.Destroy](d, rude.remote(), nil)
	<-other.Lost()
}

func TestFullRegionIsRefusedAndRecovers(t *testing.T) {
	b := newBench(t, 20) // 81920 bytes: one window of 140×140, not two
	d := connect(t, b.vchan, screen)
	c := b.client()
	first := newApp(t, c, 0, 0, 140, 140, appOptions{})
	expectBody[wire.WindowDump](d, first.remote(), nil)
	second := newApp(t, c, 0, 0, 140, 140, appOptions{})
	expectBody[wire.Map](d, second.remote(), nil)
	second.draw(1)
	first.draw(1)
	expectBody[wire.ShmImage](d, first.remote(), nil)
	for _, m := range d.all() {
		if _, is := m.body.(wire.WindowDump); is && m.window == second.remote() {
			t.Fatalf("dump without room: %v", m)
		}
	}
	xproto.DestroyWindow(c.X, first.id)
	_, dump := expectBody[wire.WindowDump](d, second.remote(), nil)
	second.draw(2)
	second.awaitPixels(b, dump)
}

func TestManyWindowsLeakNothing(t *testing.T) {
	b := newBench(t, 64)
	d := connect(t, b.vchan, screen)
	c := b.client()
	const rounds = 1500
	for i := range rounds {
		a := newApp(t, c, 0, 0, uint16(20+i%60), uint16(20+i%50), appOptions{override: i%2 == 0})
		if i%3 == 0 { // let it get an image, resize it, then destroy it
			expectBody[wire.WindowDump](d, a.remote(), nil)
			xproto.ConfigureWindow(c.X, a.id, xproto.ConfigWindowWidth, []uint32{uint32(90 + i%30)})
		}
		xproto.FreeGC(c.X, a.gc)
		xproto.DestroyWindow(c.X, a.id)
	}
	// All 64 pages must be free again: a window that needs every one gets its image.
	big := newApp(t, c, 0, 0, 1024, 64, appOptions{})
	_, dump := expectBody[wire.WindowDump](d, big.remote(), nil)
	if dump.Offset != 0 || dump.Size() != 64*wire.PageSize {
		t.Errorf("dump %+v", dump)
	}
	created, destroyed := 0, 0
	for _, m := range d.all() {
		switch m.body.(type) {
		case wire.Create:
			created++
		case wire.Destroy:
			destroyed++
		}
	}
	if created != destroyed+1 {
		t.Errorf("%d CREATE, %d DESTROY", created, destroyed)
	}
}

func TestServerLossAndRivals(t *testing.T) {
	b := newBench(t, 64)
	err := agent.Serve(t.Context(), agent.Config{Display: b.server.Display, Authority: b.server.Authority, Log: discard})
	if !errors.Is(err, agent.ErrManaged) {
		t.Errorf("a second agent: %v", err)
	}
	d := connect(t, b.vchan, screen)
	b.server.Kill()
	if err := b.waitAgent(); !errors.Is(err, xconn.ErrLost) {
		t.Errorf("after the X server's end: %v", err)
	}
	await(t, "the end of the link", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.err != nil })
}

func TestBadDaemonsAreDropped(t *testing.T) {
	b := newBench(t, 64)
	for name, bytes := range map[string][]byte{
		"long body":     {124, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0},
		"huge unknown":  {77, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255},
		"zero size":     wire.Append(nil, 1, wire.Configure{}),
		"flags overlap": wire.Append(nil, 1, wire.WindowFlags{Set: 1, Unset: 1}),
	} {
		d := connect(t, b.vchan, screen)
		if _, err := d.conn.Write(bytes); err != nil {
			t.Fatal(err)
		}
		await(t, name+" to end the link", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.err != nil })
	}
	d := connect(t, b.vchan, screen)
	d.conn.Write([]byte{77, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3}) // unknown and short: skipped
	a := newApp(t, b.client(), 0, 0, 20, 20, appOptions{})
	expectBody[wire.Map](d, a.remote(), nil)
}

// setCursor gives the window a blank cursor of that name, as toolkits do.
func setCursor(t *testing.T, a *app, name string) {
	t.Helper()
	pixmap, cursor := xproto.Pixmap(newID(t, a.c)), xproto.Cursor(newID(t, a.c))
	xproto.CreatePixmap(a.c.X, 1, pixmap, xproto.Drawable(a.id), 8, 8)
	xproto.CreateCursor(a.c.X, cursor, pixmap, pixmap, 0, 0, 0, 0, 0, 0, 0, 0)
	xfixes.SetCursorName(a.c.X, cursor, uint16(len(name)), name)
	xproto.ChangeWindowAttributes(a.c.X, a.id, xproto.CwCursor, []uint32{uint32(cursor)})
	if err := a.c.Sync(); err != nil {
		t.Fatal(err)
	}
}
