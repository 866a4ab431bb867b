package x11

import (
	"image"
	"io"
	"log/slog"
	"testing"

	"qubist/gui/internal/display"
	"qubist/gui/internal/display/displaytest"
	"qubist/gui/internal/xconn"
	"qubist/gui/internal/xvfb"

	"github.com/BurntSushi/xgb/xproto"
)

func dial(t *testing.T, s *xvfb.Server) *xconn.Conn {
	t.Helper()
	c, err := xconn.Dial(t.Context(), s.Display, s.Authority)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, s *xvfb.Server, own bool) *Display {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	d, err := Open(dial(t, s), Options{Own: own, Name: "work", Label: 6, Colour: 0x3465a4, Ground: 0xffffff, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSuite(t *testing.T) {
	s := xvfb.Start(t, xvfb.Options{})
	for _, own := range []bool{true, false} {
		t.Run(map[bool]string{true: "own", false: "wm"}[own], func(t *testing.T) {
			displaytest.Run(t, func(t *testing.T) displaytest.Harness {
				d := open(t, s, own)
				return displaytest.Harness{Driver: d, Ask: func(w display.Window) { ask(t, d, w) }}
			})
		})
	}
}

// ask sends WM_DELETE_WINDOW as a window manager would.
func ask(t *testing.T, d *Display, w display.Window) {
	t.Helper()
	top := d.wins[xproto.Window(w)].top()
	ev := xproto.ClientMessageEvent{Format: 32, Window: top, Type: d.atoms["WM_PROTOCOLS"],
		Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(d.atoms["WM_DELETE_WINDOW"]), 0, 0, 0, 0})}
	if err := xproto.SendEventChecked(d.c.X, false, top, 0, string(ev.Bytes())).Check(); err != nil {
		t.Fatal(err)
	}
}

// No request of the driver may provoke an X error, whatever the order.
func TestNoErrors(t *testing.T) {
	s := xvfb.Start(t, xvfb.Options{})
	for _, own := range []bool{true, false} {
		d := open(t, s, own)
		for _, or := range []bool{true, false} {
			w, err := d.Create(display.Spec{Remote: 1, Rect: image.Rect(10, 10, 11, 11), OverrideRedirect: or})
			if err != nil {
				t.Fatal(err)
			}
			d.SetTitle(w, "t")
			d.Map(w)
			d.Configure(w, image.Rect(-16384, -6144, 0, 0))
			d.Configure(w, image.Rect(16384, 6144, 16384+16384, 6144+6144))
			d.SetCursor(w, 0x199)
			d.Unmap(w)
			d.SetOverrideRedirect(w, !or)
			d.Map(w)
			d.RaiseOverride(w)
			d.Fill(w, display.LabelColour, image.Rect(0, 0, 16384, 6144))
			if err := d.c.Sync(); err != nil {
				t.Fatal(err)
			}
			for _, e := range d.c.Poll(nil) {
				if e.Error != nil {
					t.Errorf("own=%v or=%v: %v", own, or, e.Error)
				}
			}
			d.Destroy(w)
		}
	}
}

func TestLeastCovered(t *testing.T) {
	work := image.Rect(0, 0, 1000, 700)
	var placed []image.Rectangle
	for i := range 4 { // four windows of nearly a quarter find places without overlap
		size := image.Pt(440, 300)
		at := leastCovered(size, work, placed)
		r := image.Rectangle{at, at.Add(size)}
		if !r.In(work) {
			t.Fatalf("window %d at %v", i, r)
		}
		for _, o := range placed {
			if r.Overlaps(o) {
				t.Errorf("window %d at %v covers %v", i, r, o)
			}
		}
		placed = append(placed, r)
	}
	at := leastCovered(image.Pt(990, 690), work, placed)
	if !(image.Rectangle{at, at.Add(image.Pt(990, 690))}).In(work) {
		t.Errorf("a large window at %v", at)
	}
	placed = nil
	for range 5 { // too large to sit side by side: title bars must stay visible
		at := leastCovered(image.Pt(700, 500), work, placed)
		for _, o := range placed {
			if o.Min == at {
				t.Errorf("two windows at %v", at)
			}
		}
		placed = append(placed, image.Rectangle{at, at.Add(image.Pt(700, 500))})
	}
}
