// Package fake is a display.Driver without a screen: it keeps what windows would look like
// and a list of what was asked of it, and lets a test play the user. For tests only.
package fake

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"

	"qubist/gui/internal/display"
	"qubist/gui/wire"
)

// Window is a window as the driver was told to show it.
type Window struct {
	display.Spec
	Mapped      bool
	Title       string
	Name, Class string
	Hints       wire.WindowHints
	Owner       display.Window
	Cursor      wire.Cursor
	States      display.State
	// Shown has for each pixel of the content what was painted last: 'L' label colour,
	// 'G' ground, 'P' the qube's pixels, '?' nothing since it was mapped or resized.
	Shown map[image.Point]byte
}

// Display is the driver. Fields may be read and set between calls.
type Display struct {
	Is      display.Screen
	Windows map[display.Window]*Window
	Ops     []string // since the last Take
	Paint   bool     // keep Window.Shown, which is slow

	mu       sync.Mutex
	events   []display.Event
	next     display.Window
	memories display.Memory
	wake     chan struct{}
	lost     chan struct{}
}

var _ display.Driver = (*Display)(nil)

// New makes a screen of the given size without a window manager.
func New(width, height uint16) *Display {
	return &Display{
		Is:      display.Screen{Width: width, Height: height, Depth: 24, WorkArea: image.Rect(0, 0, int(width), int(height))},
		Windows: map[display.Window]*Window{}, wake: make(chan struct{}, 1), lost: make(chan struct{}),
	}
}

// Take returns the operations since the last call, one per line.
func (d *Display) Take() string {
	s := strings.Join(d.Ops, "\n")
	d.Ops = nil
	return s
}

// Play queues an event for Poll.
func (d *Display) Play(e display.Event) {
	d.mu.Lock()
	d.events = append(d.events, e)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Lose is the end of the display.
func (d *Display) Lose() { close(d.lost) }

func (d *Display) note(format string, args ...any) {
	d.Ops = append(d.Ops, fmt.Sprintf(format, args...))
}

// Screen returns d.Is.
func (d *Display) Screen() display.Screen { return d.Is }

// Create makes a window.
func (d *Display) Create(s display.Spec) (display.Window, error) {
	d.next++
	d.Windows[d.next] = &Window{Spec: s, Shown: map[image.Point]byte{}}
	d.note("create %d %v%s", d.next, s.Rect, flag(s.OverrideRedirect, " or"))
	return d.next, nil
}

// with calls f for a window that exists.
func (d *Display) with(id display.Window, f func(w *Window)) {
	if w := d.Windows[id]; w != nil {
		f(w)
	}
}

// Destroy forgets a window.
func (d *Display) Destroy(id display.Window) {
	d.with(id, func(*Window) { d.note("destroy %d", id) })
	delete(d.Windows, id)
}

// Map shows a window.
func (d *Display) Map(id display.Window) {
	d.with(id, func(w *Window) { w.Mapped, w.Shown = true, map[image.Point]byte{}; d.note("map %d", id) })
}

// Unmap hides a window.
func (d *Display) Unmap(id display.Window) {
	d.with(id, func(w *Window) { w.Mapped = false; d.note("unmap %d", id) })
}

// Configure moves and resizes a window, and reports it as an X server does.
func (d *Display) Configure(id display.Window, r image.Rectangle) {
	d.with(id, func(w *Window) {
		if w.Rect.Size() != r.Size() {
			w.Shown = map[image.Point]byte{}
		}
		w.Rect = r
		d.note("configure %d %v", id, r)
		d.Play(display.Event{Kind: display.Configured, Window: id, Rect: r})
	})
}

// SetOverrideRedirect panics for a mapped window, which Driver forbids.
func (d *Display) SetOverrideRedirect(id display.Window, or bool) {
	d.with(id, func(w *Window) {
		if w.Mapped {
			panic("fake: override-redirect of a mapped window changed")
		}
		w.OverrideRedirect = or
		d.note("override %d %v", id, or)
	})
}

// RaiseOverride only notes.
func (d *Display) RaiseOverride(id display.Window) {
	d.with(id, func(*Window) { d.note("raise %d", id) })
}

// SetTitle keeps the title.
func (d *Display) SetTitle(id display.Window, title string) {
	d.with(id, func(w *Window) { w.Title = title; d.note("title %d %s", id, title) })
}

// SetClass keeps the class.
func (d *Display) SetClass(id display.Window, name, class string) {
	d.with(id, func(w *Window) { w.Name, w.Class = name, class; d.note("class %d %s %s", id, name, class) })
}

// SetHints keeps the hints.
func (d *Display) SetHints(id display.Window, h wire.WindowHints) {
	d.with(id, func(w *Window) { w.Hints = h; d.note("hints %d", id) })
}

// SetTransient keeps the owner.
func (d *Display) SetTransient(id, owner display.Window) {
	d.with(id, func(w *Window) { w.Owner = owner; d.note("transient %d %d", id, owner) })
}

// SetCursor keeps the cursor.
func (d *Display) SetCursor(id display.Window, c wire.Cursor) {
	d.with(id, func(w *Window) { w.Cursor = c; d.note("cursor %d %#x", id, uint32(c)) })
}

// WriteState keeps the states.
func (d *Display) WriteState(id display.Window, st display.State) {
	d.with(id, func(w *Window) { w.States = st; d.note("write %d %d", id, st) })
}

// RequestState only notes: there is no window manager.
func (d *Display) RequestState(id display.Window, st display.State, on bool) {
	d.with(id, func(*Window) { d.note("request %d %d %v", id, st, on) })
}

// Iconify only notes.
func (d *Display) Iconify(id display.Window) {
	d.with(id, func(*Window) { d.note("iconify %d", id) })
}

// Dock only notes: there is no tray.
func (d *Display) Dock(id display.Window) {
	d.with(id, func(*Window) { d.note("dock %d", id) })
}

// Attach grants references below 1000 and refuses others.
func (d *Display) Attach(refs []uint32) (display.Memory, error) {
	if len(refs) == 0 || slices.Max(refs) >= 1000 {
		return 0, display.ErrRefused
	}
	d.memories++
	d.note("attach %d pages as %d", len(refs), d.memories)
	return d.memories, nil
}

// Detach only notes.
func (d *Display) Detach(m display.Memory) { d.note("detach %d", m) }

// Fill paints one colour.
func (d *Display) Fill(id display.Window, c display.Colour, rs ...image.Rectangle) {
	d.with(id, func(w *Window) {
		d.note("fill %d %s %v", id, []string{"label", "ground"}[c], rs)
		for _, r := range rs {
			d.paint(w, r, "LG"[c])
		}
	})
}

// Put paints pixels of an image; it panics when the source lies outside.
func (d *Display) Put(id display.Window, img display.Image, src image.Rectangle, dst image.Point) {
	d.with(id, func(w *Window) {
		if !src.In(image.Rect(0, 0, img.Width, img.Height)) {
			panic(fmt.Sprintf("fake: %v is not inside an image of %d × %d", src, img.Width, img.Height))
		}
		d.note("put %d %v to %v", id, src, dst)
		d.paint(w, src.Sub(src.Min).Add(dst), 'P')
	})
}

// PutThrough notes and paints; there are no pixels to filter.
func (d *Display) PutThrough(id display.Window, img display.Image, src image.Rectangle, dst image.Point, filter func([]byte)) {
	filter(make([]byte, 4*src.Dx()*src.Dy()))
	d.note("filtered")
	d.Put(id, img, src, dst)
}

func (d *Display) paint(w *Window, r image.Rectangle, c byte) {
	if !d.Paint || !w.Mapped {
		return
	}
	r = r.Intersect(image.Rectangle{Max: w.Rect.Size()})
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			w.Shown[image.Pt(x, y)] = c
		}
	}
}

// Flush has nothing to do.
func (d *Display) Flush() {}

// Wake reports events.
func (d *Display) Wake() <-chan struct{} { return d.wake }

// Poll returns what was played.
func (d *Display) Poll(buf []display.Event) []display.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	buf = append(buf, d.events...)
	d.events = slices.Delete(d.events, 0, len(d.events))
	return buf
}

// Lost is closed by Lose.
func (d *Display) Lost() <-chan struct{} { return d.lost }

// Err is an error after Lose.
func (d *Display) Err() error {
	select {
	case <-d.lost:
		return errors.New("fake display lost")
	default:
		return nil
	}
}

func flag(v bool, s string) string {
	if v {
		return s
	}
	return ""
}
