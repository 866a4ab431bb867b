package window

import (
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"qubist/gui/internal/display"
	"qubist/gui/internal/display/fake"
	"qubist/gui/wire"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

const region = 16 << 20

// rig is a session on a fake screen.
type rig struct {
	t   *testing.T
	s   *State
	drv *fake.Display
	now time.Time
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, drv: fake.New(1280, 800), now: time.Unix(1000, 0)}
	r.drv.Paint = true
	r.s = New(Config{Name: "work", Limit: 20, Titles: TitlesSafe, Region: region, Now: func() time.Time { return r.now }, Log: quiet()}, r.drv, wire.Current)
	return r
}

func (r *rig) try(id uint32, m wire.Message) error {
	return r.s.Message(wire.Header{Type: m.Type(), Window: id}, m.AppendBody(nil))
}

func (r *rig) do(id uint32, ms ...wire.Message) {
	r.t.Helper()
	for _, m := range ms {
		if err := r.try(id, m); err != nil {
			r.t.Fatalf("%T: %v", m, err)
		}
	}
}

// settle ends the turn and hands the screen's events back until there are none.
func (r *rig) settle() {
	for range 10 {
		r.s.EndTurn()
		events := r.drv.Poll(nil)
		if len(events) == 0 {
			return
		}
		for i := range events {
			r.s.Event(&events[i])
		}
	}
}

// out is what the agent gets, decoded.
func (r *rig) out() string {
	var lines []string
	b := r.s.Out()
	for len(b) > 0 {
		h, err := wire.ParseHeader(b)
		if err != nil {
			r.t.Fatal(err)
		}
		body := b[wire.HeaderSize : wire.HeaderSize+h.Len]
		line := fmt.Sprintf("%d %d", h.Type, h.Window)
		switch h.Type {
		case wire.TypeConfigure:
			m, _ := wire.ParseConfigure(body)
			line += fmt.Sprintf(" %d,%d %dx%d", m.X, m.Y, m.Width, m.Height)
		case wire.TypeMotion:
			m, _ := wire.ParseMotion(body)
			line += fmt.Sprintf(" %d,%d", m.X, m.Y)
		case wire.TypeWindowFlags:
			m, _ := wire.ParseWindowFlags(body)
			line += fmt.Sprintf(" +%d -%d", m.Set, m.Unset)
		}
		lines = append(lines, line)
		b = b[wire.HeaderSize+h.Len:]
	}
	return strings.Join(lines, "\n")
}

func (r *rig) want(what, got, want string) {
	r.t.Helper()
	if want = strings.Join(strings.Fields(strings.ReplaceAll(want, "\n", " ; ")), " "); strings.Join(strings.Fields(strings.ReplaceAll(got, "\n", " ; ")), " ") != want {
		r.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func create(x, y int32, w, h uint32, or bool) wire.Create {
	return wire.Create{X: x, Y: y, Width: w, Height: h, OverrideRedirect: or}
}

func dump(w, h, page uint32) wire.WindowDump {
	return wire.WindowDump{Kind: wire.DumpRegion, Width: w, Height: h, BPP: 32, Offset: page}
}

func TestLifeOfAWindow(t *testing.T) {
	r := newRig(t)
	r.do(5, create(10, 20, 100, 50, false), wire.WMName("héllo \x1b[2J"), wire.WMClass{Class: "XTerm\x01", Name: "xterm"}, wire.Map{},
		dump(100, 50, 1), wire.ShmImage{X: 10, Y: 10, Width: 20, Height: 20})
	r.settle()
	r.want("ops", r.drv.Take(), `create 1 (10,20)-(110,70)
title 1 héllo _[2J
class 1 work:xterm work:XTerm_
map 1
fill 1 ground [(0,0)-(100,50)]
put 1 (10,10)-(30,30) to (10,10)`)
	r.want("out", r.out(), "149 5")
	r.do(5, wire.Unmap{}, wire.Destroy{})
	r.want("ops", r.drv.Take(), "unmap 1\ndestroy 1")
	r.want("out", r.out(), "131 5")
	if err := r.try(5, wire.Unmap{}); !errors.Is(err, ErrState) {
		t.Errorf("message for a dead window: %v", err)
	}
}

func TestIllegal(t *testing.T) {
	tests := []struct {
		name string
		id   uint32
		m    wire.Message
		err  error
	}{
		{"created twice", 1, create(0, 0, 1, 1, false), ErrState},
		{"unknown window", 9, wire.Unmap{}, ErrState},
		{"image past the region", 1, dump(1024, 1024, region/wire.PageSize-1023), wire.ErrValue},
		{"image far past the region", 1, dump(1, 1, 1<<32-1), wire.ErrValue},
		{"machine frames", 1, wire.MFNDump{Width: 1, Height: 1, Frames: []uint32{1}}, wire.ErrValue},
		{"daemon's own type", 1, wire.Keypress{}, wire.ErrType},
		{"obsolete type", 1, unknown(129), wire.ErrType},
		{"suspicious flags", 1, wire.WindowFlags{Set: 1, Unset: 1}, wire.ErrSuspicious},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.do(1, create(0, 0, 10, 10, false))
			r.drv.Take()
			if err := r.try(tt.id, tt.m); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			r.want("ops", r.drv.Take(), "")
		})
	}
}

type unknown wire.Type

func (u unknown) Type() wire.Type          { return wire.Type(u) }
func (unknown) AppendBody(b []byte) []byte { return b }

func TestImageAtTheRegionsEnd(t *testing.T) {
	r := newRig(t)
	r.do(1, create(0, 0, 10, 10, false), dump(1024, 1, region/wire.PageSize-1))
	r.s.cfg.Region = 0
	if err := r.try(1, dump(1, 1, 0)); !errors.Is(err, wire.ErrValue) {
		t.Errorf("an image without a region: %v", err)
	}
}

func TestWindowLimit(t *testing.T) {
	r := newRig(t)
	for i := range uint32(20) {
		r.do(i, create(0, 0, 1, 1, false))
	}
	if err := r.try(99, create(0, 0, 1, 1, false)); !errors.Is(err, ErrState) {
		t.Errorf("window 21 of 20: %v", err)
	}
	r.do(0, wire.Destroy{})
	r.do(99, create(0, 0, 1, 1, false))
}

// frameWhole fails unless the outermost 2 pixels of an override-redirect window have the
// label's colour and nothing inside is left unpainted.
func (r *rig) frameWhole(id display.Window) {
	r.t.Helper()
	w := r.drv.Windows[id]
	size := w.Rect.Size()
	inner := image.Rectangle{Max: size}.Inset(2)
	for y := range size.Y {
		for x := range size.X {
			p := image.Pt(x, y)
			got := w.Shown[p]
			if in := p.In(inner); in && got != 'P' && got != 'G' || !in && got != 'L' {
				r.t.Fatalf("pixel %v of %v shows %q", p, size, string(got))
			}
		}
	}
}

// The frame is there without an image, with damage inside only, and with an image that is
// smaller or larger than the window (QSB-034, QSB-039).
func TestQSB034_QSB039_FrameWithoutCooperation(t *testing.T) {
	r := newRig(t)
	r.do(1, create(10, 10, 40, 30, true), wire.Map{OverrideRedirect: true})
	r.settle()
	r.frameWhole(1)
	r.do(1, dump(40, 30, 0), wire.ShmImage{X: 5, Y: 5, Width: 5, Height: 5})
	r.settle()
	r.frameWhole(1)
	r.do(1, wire.ShmImage{Width: 4000, Height: 4000})
	r.settle()
	r.frameWhole(1)
	for _, d := range []wire.WindowDump{dump(7, 6, 0), dump(300, 200, 0), dump(0, 0, 0), dump(1, 30, 0)} {
		r.do(1, d, wire.ShmImage{Width: 40, Height: 30})
		r.settle()
		r.frameWhole(1)
		r.s.Event(&display.Event{Kind: display.Exposed, Window: 1, Rect: image.Rect(0, 0, 2, 30)})
		r.s.Event(&display.Event{Kind: display.Exposed, Window: 1, Rect: image.Rect(0, 0, 40, 30)})
		r.frameWhole(1)
	}
	r.do(1, wire.Configure{X: 20, Y: 20, Width: 60, Height: 9})
	r.settle()
	r.frameWhole(1)
	r.do(2, create(0, 0, 4, 30, true), wire.Map{OverrideRedirect: true})
	for p, c := range r.drv.Windows[2].Shown {
		if c != 'L' {
			t.Fatalf("pixel %v of a window that is all frame shows %q", p, string(c))
		}
	}
}

// The flag in the model and the flag of the X window never differ, whatever the order of
// messages (QSB-026, QSB-072): all sequences of six over two windows.
func TestQSB026_QSB072_OneOwnerOfTheFlag(t *testing.T) {
	moves := []func(r *rig, id uint32) error{
		func(r *rig, id uint32) error { return r.try(id, create(0, 0, 30, 20, id == 1)) },
		func(r *rig, id uint32) error { return r.try(id, wire.Map{OverrideRedirect: true}) },
		func(r *rig, id uint32) error { return r.try(id, wire.Map{}) },
		func(r *rig, id uint32) error { return r.try(id, wire.Unmap{}) },
		func(r *rig, id uint32) error {
			return r.try(id, wire.Configure{Width: 31, Height: 20, OverrideRedirect: true})
		},
		func(r *rig, id uint32) error { return r.try(id, wire.Configure{Width: 1279, Height: 799}) },
		func(r *rig, id uint32) error { return r.try(id, wire.Dock{}) },
		func(r *rig, id uint32) error { return r.try(id, wire.Destroy{}) },
	}
	depth := 6
	if testing.Short() {
		depth = 4
	}
	count := 0
	var path []int
	// legal plays path from the start and checks the agreement after its last step.
	legal := func() bool {
		r := &rig{t: t, drv: fake.New(1280, 800), now: time.Unix(1000, 0)}
		r.s = New(Config{Name: "work", Region: region, Now: func() time.Time { return r.now }, Log: quiet()}, r.drv, wire.Current)
		for _, i := range path {
			if err := moves[i/2](r, uint32(i%2)); err != nil {
				return false // an illegal order ends the session
			}
			r.settle()
		}
		for _, w := range r.s.windows {
			l := r.drv.Windows[w.local]
			switch {
			case l.OverrideRedirect != w.or || l.Mapped != w.mapped:
				t.Fatalf("%v: model or=%v mapped=%v, screen or=%v mapped=%v", path, w.or, w.mapped, l.OverrideRedirect, l.Mapped)
			case w.docked && (w.or || w.mapped):
				t.Fatalf("%v: docked, or=%v mapped=%v", path, w.or, w.mapped)
			case w.or && w.mapped && !overrideFits(w.rect.Size(), r.drv.Is.WorkArea):
				t.Fatalf("%v: override-redirect of %v", path, w.rect)
			}
		}
		return true
	}
	var walk func()
	walk = func() {
		count++
		if len(path) == depth {
			return
		}
		for i := range 2 * len(moves) {
			path = append(path, i)
			if legal() {
				walk()
			}
			path = path[:len(path)-1]
		}
	}
	walk()
	t.Logf("%d sequences", count)
}

// A third party that moves an override-redirect window away is undone, but not for ever.
func TestQSB073_MovedByAnother(t *testing.T) {
	r := newRig(t)
	r.do(1, create(10, 10, 40, 30, true), wire.Map{OverrideRedirect: true})
	r.settle()
	away := image.Rect(-20, 10, 20, 40)
	for i := range 100 {
		w := r.drv.Windows[1]
		if !w.Mapped {
			if i < 10 {
				t.Fatalf("hidden after %d moves", i)
			}
			return
		}
		w.Rect = away
		r.s.Event(&display.Event{Kind: display.Configured, Window: 1, Rect: away})
		r.settle()
		if w.Mapped && !w.Rect.In(r.drv.Is.WorkArea) {
			t.Fatalf("left at %v", w.Rect)
		}
	}
	t.Fatal("a window is moved to and fro without end")
}

// T-001: wild rectangles never reach the driver unclipped (fake.Put panics).
func TestQSB001_WildDamage(t *testing.T) {
	r := newRig(t)
	r.do(1, create(0, 0, 16, 16, false), dump(16, 16, 0), wire.Map{})
	rng := rand.New(rand.NewPCG(1, 2))
	pick := []int32{-1 << 31, -1, 0, 1, 7, 15, 16, 17, 1<<31 - 1, 1 << 16}
	for range 20000 {
		r.do(1, wire.ShmImage{X: pick[rng.IntN(len(pick))], Y: pick[rng.IntN(len(pick))], Width: pick[rng.IntN(len(pick))], Height: pick[rng.IntN(len(pick))]})
		if rng.IntN(8) == 0 {
			r.s.EndTurn()
		}
	}
}

func TestConfigureHandshake(t *testing.T) {
	r := newRig(t)
	r.do(1, create(10, 10, 100, 100, false), wire.Map{})
	r.settle()
	r.out()
	user := func(rect image.Rectangle) {
		r.drv.Windows[1].Rect = rect
		r.s.Event(&display.Event{Kind: display.Configured, Window: 1, Rect: rect})
	}
	user(image.Rect(50, 60, 150, 160))
	user(image.Rect(70, 80, 170, 180)) // while the agent has not answered
	r.want("one question", r.out(), "134 1 50,60 100x100")
	r.do(1, wire.Configure{X: 50, Y: 60, Width: 100, Height: 100}) // the answer to the first
	r.want("asked again", r.out(), "134 1 70,80 100x100")
	r.drv.Take()
	r.do(1, wire.Configure{X: 70, Y: 80, Width: 100, Height: 100})
	r.want("acknowledged", r.out()+r.drv.Take(), "")
	r.do(1, wire.Configure{X: 0, Y: 0, Width: 50, Height: 40, OverrideRedirect: true})
	r.settle()
	r.want("the agent's wish", r.out()+r.drv.Take(), "configure 1 (0,0)-(50,40)")
}

func TestTransientFor(t *testing.T) {
	r := newRig(t)
	r.do(1, create(0, 0, 9, 9, false))
	r.do(2, create(0, 0, 9, 9, false), wire.Map{TransientFor: 1})
	r.do(3, create(0, 0, 9, 9, false), wire.Map{TransientFor: 77})
	if r.drv.Windows[2].Owner != 1 || r.drv.Windows[3].Owner != 0 {
		t.Fatalf("owners %d, %d", r.drv.Windows[2].Owner, r.drv.Windows[3].Owner)
	}
	r.do(1, wire.Destroy{})
	if r.drv.Windows[2].Owner != 0 {
		t.Fatal("the owner is gone but still named")
	}
}

func TestInput(t *testing.T) {
	r := newRig(t)
	r.do(6, create(0, 0, 9, 9, false), wire.Map{})
	r.settle()
	r.out()
	ev := func(k display.Kind, code, mode uint32, x int) {
		r.s.Event(&display.Event{Kind: k, Window: 1, Code: code, Mode: mode, Pos: image.Pt(x, 2)})
	}
	ev(display.Crossing, wire.EnterNotify, 0, 1) // without the keyboard: no keys
	r.s.Event(&display.Event{Kind: display.Crossing, Window: 1, Code: wire.EnterNotify, Focus: true})
	ev(display.Motion, 0, 0, 1)
	ev(display.Motion, 0, 0, 2)
	ev(display.Motion, 0, 0, 3)
	ev(display.Button, wire.ButtonPress, 0, 3)
	ev(display.Motion, 0, 0, 4)
	ev(display.Key, wire.KeyPress, 0, 4)
	ev(display.Focus, wire.FocusIn, 1, 0) // by a grab
	ev(display.Focus, wire.FocusIn, 3, 0)
	ev(display.Focus, wire.FocusOut, 0, 0)
	ev(display.Motion, 0, 0, 8)
	ev(display.Closing, 0, 0, 0)
	ev(display.Motion, 0, 0, 9)
	r.s.EndTurn()
	r.want("out", r.out(), `127 6
142 0
127 6
126 6 3,2
125 6
126 6 4,2
124 6
142 0
128 6
128 6
126 6 8,2
137 6
126 6 9,2`)
	r.s.Event(&display.Event{Kind: display.Key, Window: 99})
	r.want("foreign window", r.out(), "")
}

func TestFlags(t *testing.T) {
	r := newRig(t)
	r.do(1, create(0, 0, 9, 9, false), wire.WindowFlags{Set: wire.FlagFullscreen | wire.FlagDemandsAttention})
	if got := r.drv.Windows[1].States; got != display.Maximized|display.Attention {
		t.Errorf("states before mapping: %d", got)
	}
	r.do(1, wire.Map{})
	r.settle()
	r.out()
	r.s.Event(&display.Event{Kind: display.Restated, Window: 1, States: display.Maximized})
	r.want("fullscreen is acknowledged", r.out(), "145 1 +1 -2")
	r.s.Event(&display.Event{Kind: display.Restated, Window: 1, States: display.Hidden})
	r.want("and lost", r.out(), "145 1 +4 -1")
	r.drv.Take()
	r.do(1, wire.WindowFlags{Set: wire.FlagMinimize | wire.FlagFullscreen}, wire.WindowFlags{Unset: wire.FlagFullscreen}, wire.WindowFlags{Set: wire.FlagDemandsAttention})
	r.want("ops", r.drv.Take(), "iconify 1\nrequest 1 1 false\nrequest 1 4 true")
}

func TestScreenWindowIsSharedByOthers(t *testing.T) {
	r := newRig(t)
	r.do(0, create(0, 0, 1280, 800, false), dump(1280, 800, 0))
	r.do(1, create(100, 50, 20, 10, false), wire.Map{})
	r.settle()
	r.drv.Take()
	r.do(1, wire.ShmImage{X: 5, Y: 5, Width: 5, Height: 5})
	r.settle()
	r.want("ops", r.drv.Take(), "put 2 (105,55)-(110,60) to (5,5)")
}

func TestDamageIsMerged(t *testing.T) {
	var d damage
	for i := range 1000 {
		d.add(image.Rect(i, 0, i+1, 10))
	}
	if d.n != 1 || d.rects[0] != image.Rect(0, 0, 1000, 10) {
		t.Errorf("adjacent strips: %v", d.rects[:d.n])
	}
	d.n = 0
	rng := rand.New(rand.NewPCG(3, 4))
	var all []image.Rectangle
	for range 500 {
		x, y := rng.IntN(4000), rng.IntN(3000)
		r := image.Rect(x, y, x+1+rng.IntN(900), y+1+rng.IntN(900))
		d.add(r)
		all = append(all, r)
		for _, o := range all {
			covered := false
			for _, c := range d.rects[:d.n] {
				covered = covered || o.In(c)
			}
			if !covered {
				t.Fatalf("%v is lost from %v", o, d.rects[:d.n])
			}
		}
	}
}

func TestDamageAllocatesNothing(t *testing.T) {
	s := New(Config{Region: region, Now: time.Now, Log: quiet()}, silent{fake.New(1280, 800)}, wire.Current)
	for _, m := range []wire.Message{create(0, 0, 1000, 700, false), dump(1000, 700, 0), wire.Map{}} {
		if err := s.Message(wire.Header{Type: m.Type(), Window: 1}, m.AppendBody(nil)); err != nil {
			t.Fatal(err)
		}
	}
	h, body := wire.Header{Type: wire.TypeShmImage, Window: 1}, wire.ShmImage{X: 3, Y: 4, Width: 100, Height: 100}.AppendBody(nil)
	if n := testing.AllocsPerRun(1000, func() {
		if err := s.Message(h, body); err != nil {
			t.Fatal(err)
		}
		s.EndTurn()
	}); n != 0 {
		t.Errorf("%v allocations per damage message", n)
	}
}

// silent is a driver whose painting costs nothing.
type silent struct{ *fake.Display }

func (silent) Put(display.Window, display.Image, image.Rectangle, image.Point) {}

func TestReset(t *testing.T) {
	r := newRig(t)
	r.do(1, create(0, 0, 9, 9, false), wire.Map{}, dump(9, 9, 0), wire.ShmImage{Width: 9, Height: 9})
	r.do(2, create(0, 0, 9, 9, true))
	r.s.Reset()
	if len(r.drv.Windows) != 0 || r.s.Windows() != 0 || len(r.s.Out()) != 0 {
		t.Fatalf("left: %d windows on screen, %d known", len(r.drv.Windows), r.s.Windows())
	}
	r.s.EndTurn()
}

// FuzzSession: any stream of bytes ends in an error or leaves model and screen in agreement.
func FuzzSession(f *testing.F) {
	seed := wire.Append(nil, 1, create(1, 2, 30, 40, true))
	seed = wire.Append(seed, 1, dump(30, 40, 0))
	seed = wire.Append(seed, 1, wire.Map{OverrideRedirect: true})
	seed = wire.Append(seed, 1, wire.ShmImage{Width: 30, Height: 40})
	seed = wire.Append(seed, 1, wire.Configure{Width: 9, Height: 9})
	f.Add(seed)
	seed = wire.Append(nil, 0, create(1, 2, 30, 40, false))
	seed = wire.Append(seed, 0, wire.WMName("x"))
	seed = wire.Append(seed, 0, wire.WindowHints{Flags: 0x1ff, MinWidth: 4})
	seed = wire.Append(seed, 0, wire.WindowFlags{Set: 3})
	seed = wire.Append(seed, 0, wire.Map{TransientFor: 0})
	seed = wire.Append(seed, 0, wire.CursorGlyph(8))
	seed = wire.Append(seed, 0, wire.Destroy{})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		drv := fake.New(1280, 800)
		s := New(Config{Name: "work", Region: region, Now: time.Now, Log: quiet()}, drv, wire.Current)
		for len(b) >= wire.HeaderSize {
			h, err := wire.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			n, err := h.BodyFromAgent(wire.Current)
			if err != nil || len(b) < wire.HeaderSize+n {
				return
			}
			if err := s.Message(h, b[wire.HeaderSize:wire.HeaderSize+n]); err != nil {
				return
			}
			b = b[wire.HeaderSize+n:]
			s.EndTurn()
			for _, e := range drv.Poll(nil) {
				s.Event(&e)
			}
			for _, w := range s.windows {
				l := drv.Windows[w.local]
				if l == nil || l.OverrideRedirect != w.or || l.Mapped != w.mapped || l.Rect != w.rect {
					t.Fatalf("model %+v, screen %+v", w, l)
				}
			}
		}
	})
}
