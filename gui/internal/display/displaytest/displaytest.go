// Package displaytest is the suite every display.Driver must pass.
package displaytest

import (
	"image"
	"testing"
	"time"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

// limit bounds every wait for an event.
const limit = 10 * time.Second

// Harness is a fresh driver and what a test can do to it as the user.
type Harness struct {
	Driver display.Driver
	// Ask plays the window manager's or the user's request to close a window.
	Ask func(display.Window)
}

// Run runs the suite; open makes a driver that ends with the test.
func Run(t *testing.T, open func(*testing.T) Harness) {
	for _, tt := range []struct {
		name string
		f    func(*testing.T, Harness)
	}{
		{"Screen", screen}, {"ConfigureIsReported", configureIsReported}, {"GoneWindows", goneWindows},
		{"Closing", closing}, {"OverrideToAndFro", overrideToAndFro}, {"ManyWindows", manyWindows}, {"EveryRequest", everyRequest},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.f(t, open(t)) })
	}
}

// await polls until ok is satisfied by an event.
func await(t *testing.T, d display.Driver, what string, ok func(display.Event) bool) {
	t.Helper()
	d.Flush()
	deadline := time.After(limit)
	for {
		for _, e := range d.Poll(nil) {
			if ok(e) {
				return
			}
		}
		select {
		case <-d.Wake():
		case <-d.Lost():
			t.Fatalf("waiting for %s: %v", what, d.Err())
		case <-deadline:
			t.Fatalf("no %s", what)
		}
	}
}

func create(t *testing.T, d display.Driver, r image.Rectangle, or bool) display.Window {
	t.Helper()
	w, err := d.Create(display.Spec{Remote: 7, Rect: r, OverrideRedirect: or})
	if err != nil || w == 0 {
		t.Fatalf("creating a window: %v, %v", w, err)
	}
	return w
}

// working fails unless the driver still answers.
func working(t *testing.T, d display.Driver) {
	t.Helper()
	w := create(t, d, image.Rect(5, 5, 50, 50), true)
	d.Map(w)
	r := image.Rect(9, 9, 77, 66)
	d.Configure(w, r)
	await(t, d, "sign of life", func(e display.Event) bool { return e.Kind == display.Configured && e.Window == w && e.Rect == r })
}

func screen(t *testing.T, h Harness) {
	s := h.Driver.Screen()
	whole := image.Rect(0, 0, int(s.Width), int(s.Height))
	if s.Width == 0 || s.Height == 0 || s.Depth != 24 || s.WorkArea.Empty() || !s.WorkArea.In(whole) {
		t.Errorf("screen %+v", s)
	}
	if err := h.Driver.Err(); err != nil {
		t.Error(err)
	}
}

func configureIsReported(t *testing.T, h Harness) {
	for _, or := range []bool{false, true} {
		w := create(t, h.Driver, image.Rect(100, 100, 300, 200), or)
		h.Driver.Map(w)
		for _, r := range []image.Rectangle{image.Rect(40, 60, 240, 160), image.Rect(40, 60, 340, 360), image.Rect(200, 90, 201, 91)} {
			h.Driver.Configure(w, r)
			await(t, h.Driver, "report of "+r.String(), func(e display.Event) bool {
				return e.Kind == display.Configured && e.Window == w && e.Rect == r
			})
		}
		h.Driver.Destroy(w)
	}
}

// request makes every request for w.
func request(d display.Driver, w display.Window) {
	d.Map(w)
	d.Configure(w, image.Rect(1, 2, 30, 40))
	d.RaiseOverride(w)
	d.SetTitle(w, "title")
	d.SetClass(w, "work:a", "work:A")
	d.SetHints(w, wire.WindowHints{Flags: wire.HintMinSize | wire.HintResizeInc, MinWidth: 3, MinHeight: 4, WidthInc: 2, HeightInc: 2})
	d.SetTransient(w, w)
	d.SetTransient(w, 0)
	d.SetCursor(w, wire.CursorGlyph(60))
	d.SetCursor(w, wire.CursorGlyph(61))
	d.SetCursor(w, 0)
	d.RequestState(w, display.Maximized|display.Attention, true)
	d.RequestState(w, display.Maximized, false)
	d.Iconify(w)
	d.Fill(w, display.Ground, image.Rect(0, 0, 9, 9), image.Rectangle{})
	d.Put(w, display.Image{Width: 8, Height: 8}, image.Rect(0, 0, 8, 8), image.Pt(1, 1))
	d.PutThrough(w, display.Image{Width: 8, Height: 8}, image.Rect(0, 0, 8, 8), image.Pt(1, 1), func([]byte) {})
	d.Unmap(w)
	d.WriteState(w, display.Fullscreen)
	d.WriteState(w, 0)
	d.SetOverrideRedirect(w, true)
	d.SetOverrideRedirect(w, false)
	d.Flush()
}

func goneWindows(t *testing.T, h Harness) {
	w := create(t, h.Driver, image.Rect(0, 0, 9, 9), false)
	h.Driver.Destroy(w)
	for _, gone := range []display.Window{0, w, 1 << 28} {
		request(h.Driver, gone)
		h.Driver.Destroy(gone)
	}
	working(t, h.Driver)
}

func everyRequest(t *testing.T, h Harness) {
	for _, or := range []bool{false, true} {
		request(h.Driver, create(t, h.Driver, image.Rect(0, 0, 90, 90), or))
	}
	working(t, h.Driver)
}

func closing(t *testing.T, h Harness) {
	create(t, h.Driver, image.Rect(0, 0, 9, 9), false)
	w := create(t, h.Driver, image.Rect(0, 0, 90, 90), false)
	h.Driver.Map(w)
	h.Driver.Flush()
	h.Ask(w)
	await(t, h.Driver, "request to close", func(e display.Event) bool { return e.Kind == display.Closing && e.Window == w })
}

func overrideToAndFro(t *testing.T, h Harness) {
	w := create(t, h.Driver, image.Rect(10, 10, 60, 50), false)
	for i := range 6 {
		h.Driver.SetOverrideRedirect(w, i%2 == 0)
		r := image.Rect(100+i, 100, 200+i, 150)
		h.Driver.Map(w)
		h.Driver.Configure(w, r)
		await(t, h.Driver, "report after the change", func(e display.Event) bool {
			return e.Kind == display.Configured && e.Window == w && e.Rect == r
		})
		h.Driver.Unmap(w)
	}
}

func manyWindows(t *testing.T, h Harness) {
	seen := map[display.Window]bool{}
	for range 300 {
		w := create(t, h.Driver, image.Rect(0, 0, 9, 9), false)
		if seen[w] {
			t.Fatalf("handle %d is in use", w)
		}
		seen[w] = true
	}
	for w := range seen {
		h.Driver.Destroy(w)
	}
	working(t, h.Driver)
}
