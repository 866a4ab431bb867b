package daemon_test

import (
	"image"
	"image/color"
	"image/draw"
	"os/exec"
	"testing"

	"qubist/core/qube"
	"qubist/gui/internal/agenttest"
	"qubist/gui/internal/xvfb"
	"qubist/gui/wire"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// terminal looks like an application, for pictures to be judged by eye.
func terminal(w, h int, lines ...string) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{0x1d, 0x1f, 0x21, 255}), image.Point{}, draw.Src)
	for i, l := range lines {
		d := font.Drawer{Dst: img, Src: image.NewUniform(color.RGBA{0xc5, 0xc8, 0xc6, 255}), Face: basicfont.Face7x13, Dot: fixed.P(8, 18+16*i)}
		d.DrawString(l)
	}
	return img
}

func menu(lines ...string) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 170, 10+20*len(lines)))
	draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{0xf6, 0xf6, 0xf4, 255}), image.Point{}, draw.Src)
	for i, l := range lines {
		d := font.Drawer{Dst: img, Src: image.NewUniform(color.RGBA{0x22, 0x22, 0x22, 255}), Face: basicfont.Face7x13, Dot: fixed.P(12, 20+20*i)}
		d.DrawString(l)
	}
	return img
}

// startManager runs a window manager until the test ends.
func (d *desk) startManager(name string) {
	d.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		d.t.Skip(name + " is not installed")
	}
	cmd := exec.Command(name)
	cmd.Env = append(cmd.Environ(), "DISPLAY="+d.x.Display, "XAUTHORITY="+d.x.Authority)
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	check, err := d.c.Atom("_NET_CLIENT_LIST") // written at the end of its start
	if err != nil {
		d.t.Fatal(err)
	}
	d.eventually(name, func() bool { return d.hasProperty(check) })
}

// Every label side by side, with and without a window manager: mostly for the eye, but
// each frame must have its colour on all four sides.
func TestLook(t *testing.T) {
	for _, wm := range []string{"", "openbox"} {
		t.Run("manager="+wm, func(t *testing.T) {
			d := newDesk(t, xvfb.Options{Width: 1280, Height: 800})
			if wm != "" {
				d.startManager(wm)
			}
			colours := map[string]uint32{}
			for i, l := range qube.BuiltinLabels {
				name := []string{"untrusted", "shop", "mail", "banking", "dev", "work", "vault", "sys-net"}[i]
				colours[name] = l.Color
				a := agenttest.New(t, d.dir, qube.DomID(i+1), 16<<20)
				d.start(qube.DomID(i+1), name, l, a.Region)
				a.Accept()
				a.Show(7, image.Pt(20+30*i, 40+20*i), []string{"news — Firefox", "user@shop: ~", "Inbox (3)", "Überweisung", "main.go", "report.odt (a rather long title that has to be cut somewhere)", "keys", "Προς"}[i],
					terminal(360, 180, "user@"+name+":~$ uname -a", "Linux "+name+" 6.12.0 x86_64 GNU/Linux", "user@"+name+":~$ _"))
				w := d.window(name + ":7")
				if i == 0 {
					p := w.rect.Min.Add(image.Pt(60, 80))
					a.Menu(8, p, menu("Open", "Save as...", "Print", "Quit"))
					d.window(name + ":8")
				}
				a.Await(wire.TypeWindowDumpAck, 7)
			}
			shot := d.shot()
			for key, w := range d.tops() {
				if sides := framed(shot, w.rect, colours[w.vm]); sides != 4 {
					t.Errorf("%s: %d of 4 sides in the label's colour", key, sides)
				}
			}
			d.keep("look-" + wm)
		})
	}
}

// Two qubes as a user meets them: the picture for the eye, the order for the test.
func TestTwoQubes(t *testing.T) {
	for _, wm := range []string{"", "openbox"} {
		t.Run("manager="+wm, func(t *testing.T) {
			d := newDesk(t, xvfb.Options{Width: 1024, Height: 640})
			if wm != "" {
				d.startManager(wm)
			}
			work := agenttest.New(t, d.dir, 3, regionSize)
			d.start(3, "work", blue, work.Region)
			work.Accept()
			untrusted := agenttest.New(t, d.dir, 4, regionSize)
			d.start(4, "untrusted", red, untrusted.Region)
			untrusted.Accept()
			work.Show(7, image.Pt(0, 0), "user@work: ~/reports", terminal(560, 330, "user@work:~/reports$ ls", "2026-q3.odt  2026-q4.odt  notes.txt", "user@work:~/reports$ _"))
			d.window("work:7")
			untrusted.Show(7, image.Pt(0, 0), "Kleinanzeigen — Firefox", terminal(560, 330, "GET https://example.org/", "200 OK"))
			w := d.window("untrusted:7")
			d.click(w.rect.Min.Add(image.Pt(200, 12)))
			untrusted.AwaitThat(wire.TypeFocus, 7, func(m agenttest.Message) bool { return m.Body[0] == wire.FocusIn })
			untrusted.Menu(8, w.rect.Min.Add(image.Pt(150, 120)), menu("Open link in new tab", "Save link as...", "Copy link"))
			m := d.window("untrusted:8")
			d.move(image.Pt(w.rect.Max.X-14, w.rect.Min.Y+13))
			d.eventually("frames in both colours", func() bool {
				shot := d.shot()
				return framed(shot, w.rect, red.Color) == 4 && framed(shot, m.rect, red.Color) == 4 && framed(shot, m.rect.Inset(1), red.Color) == 4
			})
			d.keep("two-" + wm)
		})
	}
}
