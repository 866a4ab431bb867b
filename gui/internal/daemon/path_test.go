package daemon_test

import (
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/qube"
	"qubist/gui/internal/agenttest"
	"qubist/gui/internal/xvfb"
	"qubist/gui/wire"
)

var (
	red, blue = qube.BuiltinLabels[0], qube.BuiltinLabels[5]
	// content is where a frame's content begins, at 96 dpi.
	content = image.Pt(3, 25)
)

const regionSize = 16 << 20

// one starts a daemon with a connected agent.
func (d *desk) one(more ...string) (*agenttest.Agent, *daemon) {
	d.t.Helper()
	a := agenttest.New(d.t, d.dir, 5, regionSize)
	g := d.start(5, "work", blue, a.Region, more...)
	a.Accept()
	return a, g
}

func TestPixelsAndFrame(t *testing.T) {
	d := newDesk(t, xvfb.Options{Cookie: true})
	a, g := d.one()
	if line := <-g.ready; line != "READY\n" {
		t.Errorf("ready said %q", line)
	}
	if want := wire.NewXConf(1280, 800, 24); a.XConf != want {
		t.Errorf("xconf %+v, want %+v", a.XConf, want)
	}
	img := picture(300, 200, 1)
	a.Show(7, image.Pt(50, 60), "report", img)
	a.Await(wire.TypeWindowDumpAck, 7)
	w := d.window("work:7")
	if w.rect.Size() != image.Pt(306, 228) {
		t.Fatalf("frame of %v", w.rect.Size())
	}
	d.eventually("the picture", func() bool { return same(d.shot(), img, w.rect.Min.Add(content)) })
	shot := d.shot()
	if n := framed(shot, w.rect, blue.Color); n != 4 {
		t.Errorf("%d of 4 sides in the label's colour", n)
	}
	if n := inked(shot, w.rect); n < 100 {
		t.Errorf("a title of %d pixels", n)
	}
	before := inked(shot, w.rect)
	a.Send(7, wire.WMName("a much longer title than before"))
	d.eventually("the longer title", func() bool { return inked(d.shot(), w.rect) > before+50 })

	second := picture(300, 200, 99)
	page := a.Put(second)
	a.Send(7, wire.WindowDump{Kind: wire.DumpRegion, Width: 300, Height: 200, BPP: 32, Offset: page})
	a.Send(7, wire.ShmImage{X: 10, Y: 20, Width: 30, Height: 40})
	part := second.SubImage(image.Rect(10, 20, 40, 60)).(*image.RGBA)
	d.eventually("the damaged part", func() bool { return sameAt(d.shot(), part, w.rect.Min.Add(content)) })
	if !sameAt(d.shot(), img.SubImage(image.Rect(100, 100, 300, 200)).(*image.RGBA), w.rect.Min.Add(content)) {
		t.Error("the rest was repainted without damage")
	}
	// Something in front goes away again: the daemon repaints from the region.
	a.Menu(8, w.rect.Min.Add(image.Pt(50, 50)), menu("a", "b"))
	d.window("work:8")
	a.Send(8, wire.Unmap{})
	d.eventually("what was under the menu", func() bool {
		return sameAt(d.shot(), second.SubImage(image.Rect(60, 30, 100, 70)).(*image.RGBA), w.rect.Min.Add(content))
	})
}

// sameAt reports whether the screen shows a part of a picture whose origin is at p.
func sameAt(shot, part *image.RGBA, p image.Point) bool {
	r := part.Rect
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			a, b := shot.RGBAAt(p.X+x, p.Y+y), part.RGBAAt(x, y)
			if a.R != b.R || a.G != b.G || a.B != b.B {
				return false
			}
		}
	}
	return true
}

// The screenshot program shows what is on the screen, in a file for the owner alone.
func TestScreenshotProgram(t *testing.T) {
	d := newDesk(t, xvfb.Options{Cookie: true})
	a, _ := d.one()
	a.Show(7, image.Pt(50, 60), "report", picture(300, 200, 1))
	a.Await(wire.TypeWindowDumpAck, 7)
	bin := filepath.Join(filepath.Dir(program(t)), "qubist-screenshot")
	if out, err := exec.Command("go", "build", "-o", bin, "qubist/gui/cmd/qubist-screenshot").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "run", "display"), []byte(d.x.Display+"\n"+d.x.Authority+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "screen.png")
	cmd := exec.Command(bin, "--root", d.dir, file)
	cmd.Env = append(os.Environ(), "DISPLAY=:1", "XAUTHORITY=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	shot := d.shot()
	for y := range 800 {
		for x := range 1280 {
			if color.RGBAModel.Convert(img.At(x, y)) != shot.RGBAAt(x, y) {
				t.Fatalf("pixel %d,%d is %v", x, y, img.At(x, y))
			}
		}
	}
}

// inked counts the pixels of the title text.
func inked(shot *image.RGBA, frame image.Rectangle) (n int) {
	for y := frame.Min.Y + 3; y < frame.Min.Y+22; y++ {
		for x := frame.Min.X + 3; x < frame.Max.X-26; x++ {
			if c := shot.RGBAAt(x, y); c.R > 150 {
				n++
			}
		}
	}
	return n
}

func TestMenu(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, _ := d.one()
	img := picture(120, 90, 3)
	a.Menu(8, image.Pt(1270, 790), img) // would stick out
	w := d.window("work:8")
	if !w.or || w.rect != image.Rect(1160, 710, 1280, 800) {
		t.Fatalf("menu %+v", w)
	}
	d.eventually("its frame and picture", func() bool {
		shot := d.shot()
		for i := range 2 {
			if framed(shot, w.rect.Inset(i), blue.Color) != 4 {
				return false
			}
		}
		return sameAt(shot, img.SubImage(image.Rect(2, 2, 118, 88)).(*image.RGBA), w.rect.Min)
	})
	// A window without decoration that covers the screen gets an ordinary frame.
	a.Send(9, wire.Create{Width: 1280, Height: 800, OverrideRedirect: true})
	a.Send(9, wire.Map{OverrideRedirect: true})
	if w := d.window("work:9"); w.or {
		t.Error("a screen-filling window keeps its privilege")
	}
}

func TestInputReachesTheQube(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, _ := d.one()
	a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
	w := d.window("work:7")
	a.AwaitThat(wire.TypeFocus, 7, func(m agenttest.Message) bool { return m.Body[0] == wire.FocusIn }) // nobody else had it
	p := w.rect.Min.Add(content)
	d.move(p.Add(image.Pt(30, 40)))
	a.Await(wire.TypeKeymapNotify, 0)
	a.Await(wire.TypeCrossing, 7)
	d.key(38) // a
	for _, event := range []uint32{wire.KeyPress, wire.KeyRelease} {
		m, err := wire.ParseKeypress(a.Await(wire.TypeKeypress, 7).Body)
		if err != nil || m.Event != event || m.Keycode != 38 || m.X != 30 || m.Y != 40 {
			t.Errorf("key %+v, %v", m, err)
		}
	}
	d.click(p.Add(image.Pt(50, 60)))
	m, err := wire.ParseMotion(a.AwaitThat(wire.TypeMotion, 7, func(m agenttest.Message) bool { return m.Body[0] == 50 }).Body)
	if err != nil || m.Y != 60 {
		t.Errorf("motion %+v, %v", m, err)
	}
	b, err := wire.ParseButton(a.Await(wire.TypeButton, 7).Body)
	if err != nil || b.Event != wire.ButtonPress || b.Button != 1 || b.X != 50 || b.Y != 60 {
		t.Errorf("button %+v, %v", b, err)
	}
	a.Await(wire.TypeButton, 7)
	// The keyboard goes on reaching the window when the pointer leaves it.
	d.move(image.Pt(1200, 700))
	a.AwaitThat(wire.TypeCrossing, 7, func(m agenttest.Message) bool { return m.Body[0] == wire.LeaveNotify })
	d.key(39)
	if m, _ := wire.ParseKeypress(a.Await(wire.TypeKeypress, 7).Body); m.Keycode != 39 {
		t.Errorf("key %+v", m)
	}
}

// A second qube's new window does not take the keyboard; a click gives it.
func TestFocusIsNotStolen(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, _ := d.one()
	b := agenttest.New(t, d.dir, 6, regionSize)
	d.start(6, "untrusted", red, b.Region)
	b.Accept()
	in := func(m agenttest.Message) bool { return m.Body[0] == wire.FocusIn }
	a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
	a.AwaitThat(wire.TypeFocus, 7, in)
	b.Show(7, image.Pt(0, 0), "y", picture(200, 150, 1))
	w := d.window("untrusted:7")
	d.key(38)
	a.Await(wire.TypeKeypress, 7)
	d.click(w.rect.Min.Add(image.Pt(60, 60)))
	b.AwaitThat(wire.TypeFocus, 7, in)
	a.AwaitThat(wire.TypeFocus, 7, func(m agenttest.Message) bool { return m.Body[0] == wire.FocusOut })
	d.key(39)
	b.Await(wire.TypeKeypress, 7)
}

// When a dialog closes, the keyboard returns to its owner; when a qube's last window closes,
// what is typed reaches nobody, wherever the pointer is.
func TestFocusReturns(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, _ := d.one()
	in := func(m agenttest.Message) bool { return m.Body[0] == wire.FocusIn }
	a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
	a.AwaitThat(wire.TypeFocus, 7, in)
	a.Send(8, wire.Create{Width: 100, Height: 50})
	a.Send(8, wire.Map{TransientFor: 7})
	a.AwaitThat(wire.TypeFocus, 8, in)
	owner, dialog := d.window("work:7"), d.window("work:8")
	if !dialog.rect.In(owner.rect) {
		t.Errorf("dialog at %v, owner at %v", dialog.rect, owner.rect)
	}
	a.Send(8, wire.Destroy{})
	a.AwaitThat(wire.TypeFocus, 7, in)

	b := agenttest.New(t, d.dir, 6, regionSize)
	d.start(6, "untrusted", red, b.Region)
	b.Accept()
	img := picture(200, 150, 1)
	b.Show(9, image.Pt(0, 0), "y", img)
	w := d.window("untrusted:9")
	d.eventually("its picture, which comes after the look for the keyboard", func() bool {
		return same(d.shot(), img, w.rect.Min.Add(content))
	})
	d.move(w.rect.Min.Add(image.Pt(60, 60)))
	a.Send(7, wire.Unmap{})
	d.eventually("the window vanishes", func() bool { return len(d.tops()) == 1 })
	d.key(38)
	d.press(1)
	if m := b.AwaitThat(0, 0, func(m agenttest.Message) bool {
		return m.Type == wire.TypeKeypress || m.Type == wire.TypeButton
	}); m.Type != wire.TypeButton {
		t.Error("a key typed at no window reached another qube")
	}
}

func TestMoveResizeClose(t *testing.T) {
	for _, wm := range []string{"", "openbox"} {
		t.Run("manager="+wm, func(t *testing.T) {
			d := newDesk(t, xvfb.Options{})
			if wm != "" {
				d.startManager(wm)
			}
			a, _ := d.one()
			a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
			w := d.window("work:7")
			d.answerConfigures(a, 7, w.rect)
			w = d.window("work:7")

			d.drag(w.rect.Min.Add(image.Pt(60, 12)), image.Pt(100, 80), func() bool {
				return d.tops()["work:7"].rect == w.rect.Add(image.Pt(100, 80))
			})
			moved := d.window("work:7")
			d.answerConfigures(a, 7, moved.rect)

			corner := moved.rect.Max.Sub(image.Pt(1, 1))
			d.drag(corner, image.Pt(40, 30), func() bool {
				return d.tops()["work:7"].rect.Size() == moved.rect.Size().Add(image.Pt(40, 30))
			})
			w = d.window("work:7")
			d.answerConfigures(a, 7, w.rect)
			d.eventually("four sides", func() bool { return framed(d.shot(), w.rect, blue.Color) == 4 })

			d.click(image.Pt(w.rect.Max.X-14, w.rect.Min.Y+13))
			a.Await(wire.TypeClose, 7)
		})
	}
}

// answerConfigures acknowledges MSG_CONFIGURE as an agent does until the frame has the
// rectangle want.
func (d *desk) answerConfigures(a *agenttest.Agent, window uint32, frame image.Rectangle) {
	d.t.Helper()
	a.AwaitThat(wire.TypeConfigure, window, func(m agenttest.Message) bool {
		c, err := wire.ParseConfigure(m.Body)
		if err != nil {
			d.t.Fatal(err)
		}
		a.Send(window, c)
		at := frame.Min.Add(content)
		return image.Pt(int(c.X), int(c.Y)) == at && int(c.Width) == frame.Dx()-6 && int(c.Height) == frame.Dy()-28
	})
}

func TestAgentReconnects(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, g := d.one()
	img := picture(200, 150, 1)
	a.Show(7, image.Pt(0, 0), "x", img)
	d.window("work:7")
	a.Close()
	d.eventually("the windows vanish", func() bool { return len(d.tops()) == 0 })
	a.Accept()
	a.Show(7, image.Pt(0, 0), "x", img)
	w := d.window("work:7")
	d.eventually("the picture", func() bool { return same(d.shot(), img, w.rect.Min.Add(content)) })
	if g.cmd.Process.Signal(syscall.SIGTERM) != nil || g.exit() != 0 {
		t.Errorf("after SIGTERM: %v", g.cmd.ProcessState)
	}
	d.eventually("the windows vanish", func() bool { return len(d.tops()) == 0 })
	// A new daemon is told everything again by the agent.
	a.Gone()
	d.start(5, "work", blue, a.Region)
	a.Accept()
	a.Show(7, image.Pt(0, 0), "x", img)
	d.window("work:7")
}

func TestEndings(t *testing.T) {
	t.Run("protocol", func(t *testing.T) {
		d := newDesk(t, xvfb.Options{})
		a, g := d.one("-q")
		a.Send(7, unknown(150))
		if code := g.exit(); code != 1 {
			t.Errorf("status %d", code)
		}
		if log := g.log.String(); strings.Count(log, "\n") != 1 || len(log) > 400 || !strings.Contains(log, "unknown type") {
			t.Errorf("log %q", log)
		}
	})
	t.Run("version", func(t *testing.T) {
		d := newDesk(t, xvfb.Options{})
		a := agenttest.New(t, d.dir, 5, regionSize)
		g := d.start(5, "work", blue, a.Region)
		a.Offer(2 << 16)
		if code := g.exit(); code != 1 {
			t.Errorf("status %d", code)
		}
	})
	t.Run("display", func(t *testing.T) {
		d := newDesk(t, xvfb.Options{})
		a, g := d.one("-q")
		a.Show(7, image.Pt(0, 0), "x", picture(20, 20, 1))
		d.window("work:7")
		d.x.Kill()
		if code := g.exit(); code != 2 {
			t.Errorf("status %d", code)
		}
		if log := g.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "display is gone") {
			t.Errorf("log %q", log)
		}
	})
	t.Run("waiting", func(t *testing.T) { // for an agent that never comes
		d := newDesk(t, xvfb.Options{})
		a := agenttest.New(t, d.dir, 5, regionSize)
		g := d.start(5, "work", blue, a.Region)
		select {
		case line := <-g.ready:
			t.Errorf("ready said %q", line)
		case <-time.After(300 * time.Millisecond):
		}
		if g.cmd.Process.Signal(syscall.SIGTERM) != nil || g.exit() != 0 {
			t.Errorf("after SIGTERM: %v", g.cmd.ProcessState)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		d := newDesk(t, xvfb.Options{})
		for _, args := range [][]string{{"-d", "0"}, {"-N", "bad name"}, {"-c", "no colour"}, {"--frame", "none"}, {"--region", "/nonexistent"}, {"--region", "/dev/zero"}, {"extra"}} {
			g := d.start(5, "work", blue, "", args...)
			if code := g.exit(); code != 1 {
				t.Errorf("%v: status %d", args, code)
			}
		}
	})
}

type unknown wire.Type

func (u unknown) Type() wire.Type          { return wire.Type(u) }
func (unknown) AppendBody(b []byte) []byte { return b }

// A qube that stops reading, or stops in the middle of a message, delays nothing: the
// daemon still paints, and ends at once when told to.
func TestStalledAgent(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a := agenttest.New(t, d.dir, 5, regionSize)
	a.Deaf()
	g := d.start(5, "work", blue, a.Region)
	a.Accept()
	a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
	w := d.window("work:7")
	p := w.rect.Min.Add(content)
	for i := range 3000 {
		d.move(p.Add(image.Pt(i%100, 50+i%2)))
	}
	img := picture(200, 150, 77)
	a.Draw(7, img)
	d.eventually("the picture", func() bool { return same(d.shot(), img, p) })
	if err := a.Raw(wire.Append(nil, 7, wire.WMName("x"))[:50]); err != nil {
		t.Fatal(err)
	}
	d.click(image.Pt(w.rect.Max.X-14, w.rect.Min.Y+13))
	if g.cmd.Process.Signal(syscall.SIGTERM) != nil || g.exit() != 0 {
		t.Errorf("after SIGTERM: %v", g.cmd.ProcessState)
	}
}

// A hundred thousand mutated messages end sessions but never the process by anything but
// its protocol error, and leave no window behind.
func TestMutatedMessages(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	total := 100_000
	opening, pieces := script()
	if testing.Short() {
		total = 5_000
	}
	rng := rand.New(rand.NewPCG(7, 7))
	a := agenttest.New(t, d.dir, 5, regionSize)
	sent, sessions := 0, 0
	for sent < total {
		g := d.start(5, "work", blue, a.Region, "-q")
		a.Accept()
		sessions++
		b := append([]byte(nil), opening...)
		for range 500 {
			m := append([]byte(nil), pieces[rng.IntN(len(pieces))]...)
			if rng.IntN(3) == 0 {
				i := rng.IntN(len(m))
				if len(m) > wire.HeaderSize && rng.IntN(300) != 0 { // a mutated header ends the session
					i = wire.HeaderSize + rng.IntN(len(m)-wire.HeaderSize)
				}
				m[i] ^= byte(1 << rng.IntN(8))
			}
			b = append(b, m...)
			sent++
		}
		if err := a.Raw(b); err == nil {
			a.Close()
		}
		a.Gone()
		_ = g.cmd.Process.Signal(syscall.SIGTERM)
		if code := g.exit(); code != 0 && code != 1 || strings.Contains(g.log.String(), "panic") {
			t.Fatalf("status %d: %s", code, g.log)
		}
		d.eventually("no window is left", func() bool { return len(d.tops()) == 0 })
	}
	t.Logf("%d messages in %d sessions", sent, sessions)
}

// script is a set of valid pieces over six windows, which opening creates.
func script() (opening []byte, pieces [][]byte) {
	for id := range uint32(6) {
		create := wire.Create{X: 10, Y: 20, Width: 200, Height: 100, OverrideRedirect: id%2 == 1}
		opening = wire.Append(opening, id, create)
		pieces = append(pieces,
			wire.Append(wire.Append(nil, id, wire.Destroy{}), id, create),
			wire.Append(nil, id, wire.Map{TransientFor: (id + 1) % 6, OverrideRedirect: id%2 == 1}),
			wire.Append(nil, id, wire.Unmap{}),
			wire.Append(nil, id, wire.Configure{X: 5, Y: 6, Width: 300, Height: 200}),
			wire.Append(nil, id, wire.ShmImage{X: 1, Y: 2, Width: 100, Height: 50}),
			wire.Append(nil, id, wire.WMName("a title \u2026")),
			wire.Append(nil, id, wire.WMClass{Class: "XTerm", Name: "xterm"}),
			wire.Append(nil, id, wire.WindowHints{Flags: 0x174, MinWidth: 10, MinHeight: 11, MaxWidth: 1000, MaxHeight: 900, WidthInc: 6, HeightInc: 13, BaseWidth: 4, BaseHeight: 5}),
			wire.Append(nil, id, wire.WindowFlags{Set: wire.FlagFullscreen, Unset: wire.FlagDemandsAttention}),
			wire.Append(nil, id, wire.WindowDump{Kind: wire.DumpRegion, Width: 200, Height: 100, BPP: 32, Offset: 3}),
			wire.Append(nil, id, wire.WindowDump{Width: 20, Height: 10, BPP: 32, Refs: []uint32{4}}),
			wire.Append(nil, id, wire.ClipboardData("unasked")))
	}
	return opening, pieces
}
