package daemon_test

import (
	"fmt"
	"image"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/xgb/xproto"

	"qubist/gui/internal/agenttest"
	"qubist/gui/internal/xvfb"
	"qubist/gui/wire"
)

// A qube that opens windows under the pointer does not learn which keys are held down for
// another one: what it is told of the keyboard is what it would be sent anyway.
func TestKeysForOthersStayUnseen(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, _ := d.one()
	b := agenttest.New(t, d.dir, 6, regionSize)
	d.start(6, "untrusted", red, b.Region)
	b.Accept()
	a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
	a.AwaitThat(wire.TypeFocus, 7, func(m agenttest.Message) bool { return m.Body[0] == wire.FocusIn })
	d.move(image.Pt(900, 500))
	d.fake(2, 38, 0, 0) // held down in a
	defer d.fake(3, 38, 0, 0)
	a.Await(wire.TypeKeypress, 7)
	spy := func(who *agenttest.Agent) {
		t.Helper()
		for id := uint32(20); id < 25; id++ {
			who.Menu(id, image.Pt(890, 490), picture(40, 40, 2))
			for entered := false; !entered; {
				m := who.AwaitThat(0, 0, func(m agenttest.Message) bool {
					return m.Type == wire.TypeKeymapNotify || m.Type == wire.TypeCrossing && m.Window == id
				})
				if entered = m.Type == wire.TypeCrossing; !entered && strings.Trim(string(m.Body), "\x00") != "" {
					t.Fatalf("a qube without the keyboard was sent keys that are down: %x", m.Body)
				}
			}
			who.Send(id, wire.Destroy{})
		}
	}
	spy(b)
	// The same holds for the qube whose window has the focus while a screen locker has the
	// keyboard.
	d.fake(3, 38, 0, 0)
	a.AwaitThat(wire.TypeKeypress, 7, func(m agenttest.Message) bool { return m.Body[0] == wire.KeyRelease })
	if r, err := xproto.GrabKeyboard(d.c.X, false, d.c.Screen.Root, 0, xproto.GrabModeAsync, xproto.GrabModeAsync).Reply(); err != nil || r.Status != 0 {
		t.Fatalf("grabbing: %v, %v", r, err)
	}
	d.fake(2, 38, 0, 0)
	at := d.window("work:7").rect.Min.Add(image.Pt(60, 60))
	d.move(at)
	for id := uint32(30); id < 35; id++ { // each time one goes the pointer is in the window again
		a.Menu(id, at.Sub(image.Pt(10, 10)), picture(40, 40, 2))
		a.Await(wire.TypeCrossing, id)
		a.Send(id, wire.Destroy{})
		for back := false; !back; {
			m := a.AwaitThat(0, 0, func(m agenttest.Message) bool {
				return m.Type == wire.TypeKeymapNotify || m.Type == wire.TypeCrossing && m.Window == 7 && m.Body[0] == wire.EnterNotify
			})
			if back = m.Type == wire.TypeCrossing; !back && strings.Trim(string(m.Body), "\x00") != "" {
				t.Fatalf("keys of a grabbed keyboard were sent: %x", m.Body)
			}
		}
	}
}

// However a qube asks for its windows to lie, all of a frame that is ours stays in sight.
func TestT072FramesStayInSight(t *testing.T) {
	for _, wm := range []string{"", "openbox"} {
		t.Run("wm="+wm, func(t *testing.T) {
			d := newDesk(t, xvfb.Options{})
			if wm != "" {
				d.startManager(wm)
			}
			a, _ := d.one()
			screen := image.Rect(0, 0, 1280, 800)
			inSight := func(what, key string) {
				t.Helper()
				d.eventually(what, func() bool {
					w, ok := d.tops()[key]
					return ok && w.rect.In(screen) && framed(d.shot(), w.rect, blue.Color) == 4
				})
			}
			hidden := wire.Configure{X: -10, Y: -40, Width: 1300, Height: 860}
			a.Send(7, wire.Create{X: hidden.X, Y: hidden.Y, Width: hidden.Width, Height: hidden.Height})
			a.Send(7, wire.WindowHints{Flags: wire.HintUSPosition | wire.HintMinSize, MinWidth: 1300, MinHeight: 860})
			a.Send(7, wire.Map{})
			inSight("created too large", "work:7")
			// It answers whatever it is told, then asks for what it wants once more.
			for range 3 {
				m, err := wire.ParseConfigure(a.Await(wire.TypeConfigure, 7).Body)
				if err != nil || m.Width > 1280 {
					t.Fatalf("the agent was told %+v, %v", m, err)
				}
				a.Send(7, m)
				a.Send(7, hidden)
				inSight("configured over the whole screen", "work:7")
			}
			a.Send(8, wire.Create{X: 100, Y: 100, Width: 300, Height: 200, OverrideRedirect: true})
			a.Send(8, wire.Map{OverrideRedirect: true})
			d.window("work:8")
			a.Send(8, hidden) // too large for its privilege: it gets an ordinary frame
			inSight("grown out of its privilege", "work:8")
			a.Show(9, image.Pt(200, 200), "x", picture(200, 150, 1))
			inSight("an ordinary one", "work:9")
			a.Send(9, wire.Configure{X: 100, Y: -24, Width: 200, Height: 150})
			inSight("title above the screen", "work:9")
			a.Send(9, wire.Configure{X: 1279, Y: 300, Width: 200, Height: 150})
			inSight("right of the screen", "work:9")
		})
	}
}

// A qube that keeps closing the window that has the keyboard does not get it back once the
// user has clicked elsewhere.
func TestFocusIsNotTakenBack(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a, _ := d.one()
	b := agenttest.New(t, d.dir, 6, regionSize)
	d.start(6, "untrusted", red, b.Region)
	b.Accept()
	a.Show(7, image.Pt(0, 0), "x", picture(200, 150, 1))
	target := d.window("work:7")
	b.Show(7, image.Pt(0, 0), "y", picture(200, 150, 1))
	other := d.window("untrusted:7")
	focused := func(w top) {
		t.Helper()
		d.eventually("the keyboard's way to "+w.vm, func() bool {
			r, err := xproto.GetInputFocus(d.c.X).Reply()
			return err == nil && r.Focus == w.id
		})
	}
	for round := range uint32(20) {
		d.click(other.rect.Min.Add(image.Pt(60, 60)))
		focused(other)
		b.Send(100+round, wire.Create{Width: 50, Height: 50})
		b.Send(100+round, wire.Map{TransientFor: 7})
		focused(d.window(fmt.Sprintf("untrusted:%d", 100+round)))
		d.click(target.rect.Min.Add(image.Pt(60, 60)))
		time.Sleep(time.Duration(round%5) * 300 * time.Microsecond) // another moment each time
		b.Send(100+round, wire.Destroy{})
		b.Await(wire.TypeDestroy, 100+round)
		focused(target)
		time.Sleep(5 * time.Millisecond) // for a theft that comes late
		focused(target)
	}
}

// A region that is a link or a pipe is refused at once.
func TestRegionIsAFile(t *testing.T) {
	d := newDesk(t, xvfb.Options{})
	a := agenttest.New(t, d.dir, 5, regionSize)
	link := d.dir + "/link"
	if err := os.Symlink(a.Region, link); err != nil {
		t.Fatal(err)
	}
	if g := d.start(5, "work", blue, link); g.exit() != 1 {
		t.Error("a link was followed")
	}
}

// The real program, confined as it always is, cannot do what it has no need for.
func TestConfined(t *testing.T) {
	d := newDesk(t, xvfb.Options{Cookie: true})
	a := agenttest.New(t, d.dir, 5, regionSize)
	g := d.start(5, "work", blue, a.Region, "--check-confinement")
	if status := g.exit(); status != 0 && !strings.Contains(g.log.String(), "NOT CONFINED TO ITS FILES") { // such a kernel has no Landlock
		t.Errorf("status %d: %s", status, g.log)
	}
	// And confined it serves.
	b := agenttest.New(t, d.dir, 6, regionSize)
	g = d.start(6, "untrusted", red, b.Region)
	b.Accept()
	b.Show(7, image.Pt(0, 0), "y", picture(200, 150, 1))
	d.window("untrusted:7")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in its status:\n%s", want, status)
		}
	}
}
