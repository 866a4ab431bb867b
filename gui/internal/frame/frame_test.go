package frame

import (
	"image"
	"strings"
	"testing"

	"qubist/core/qube"
)

func make8(t *testing.T, scale float64) []*Frame {
	t.Helper()
	var fs []*Frame
	for _, l := range qube.BuiltinLabels {
		f, err := New(Style{Colour: l.Color, Label: l.Index, Name: "work", Scale: scale})
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

func TestOuterAndInner(t *testing.T) {
	for _, scale := range []float64{0, 1, 1.5, 2, 99} {
		f := make8(t, scale)[0]
		for _, r := range []image.Rectangle{image.Rect(0, 0, 1, 1), image.Rect(-50, 7, 600, 400)} {
			if got := f.Inner(f.Outer(r)); got != r {
				t.Errorf("scale %v: %v became %v", scale, r, got)
			}
		}
		if got := f.Inner(image.Rect(0, 0, 2, 2)); got.Dx() < 1 || got.Dy() < 1 {
			t.Errorf("content %v", got)
		}
	}
}

// The pattern stays in the border, leaves its outermost line in the label's colour, and
// differs between any two labels.
func TestPattern(t *testing.T) {
	for _, scale := range []float64{1, 2} {
		seen := map[string]int{}
		for _, f := range make8(t, scale) {
			for _, size := range []image.Point{{300, 200}, {31, 40}, {7, 29}} {
				all := image.Rectangle{Max: size}
				border := map[image.Point]bool{}
				for _, r := range f.Pattern(size) {
					for y := r.Min.Y; y < r.Max.Y; y++ {
						for x := r.Min.X; x < r.Max.X; x++ {
							p := image.Pt(x, y)
							if !p.In(all.Inset(1)) || p.In(all.Inset(f.Border)) {
								t.Fatalf("label %d: %v of %v", f.Label, p, size)
							}
							border[p] = true
						}
					}
				}
				if size.X == 300 {
					var b strings.Builder
					for x := range size.X {
						for y := range f.Border {
							b.WriteByte('0' + map[bool]byte{true: 1}[border[image.Pt(x, y)]])
						}
					}
					if other, ok := seen[b.String()]; ok {
						t.Errorf("labels %d and %d have the same pattern", f.Label, other)
					}
					seen[b.String()] = f.Label
				}
			}
		}
	}
}

func TestUnknownLabels(t *testing.T) {
	for _, label := range []int{-1, 0, 9, 1000} {
		f, err := New(Style{Colour: 0x123456, Label: label, Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		f.Pattern(image.Pt(100, 100))
	}
}

// Text and close box are readable: contrast against the label's colour at least 4.5 to 1.
func TestContrast(t *testing.T) {
	for _, f := range make8(t, 1) {
		a, b := luminance(f.Text())+0.05, luminance(f.Colour)+0.05
		if a < b {
			a, b = b, a
		}
		if a/b < 4.5 {
			t.Errorf("label %d: contrast %.1f", f.Label, a/b)
		}
		a, b = luminance(f.Accent())+0.05, luminance(f.Colour)+0.05
		if a < b {
			a, b = b, a
		}
		if a/b < 1.8 {
			t.Errorf("label %d: pattern contrast %.1f", f.Label, a/b)
		}
	}
}

func TestHit(t *testing.T) {
	f := make8(t, 1)[0]
	size := image.Pt(300, 200)
	for _, tt := range []struct {
		x, y int
		want Part
	}{
		{0, 0, NorthWest}, {10, 1, NorthWest}, {1, 10, NorthWest}, {150, 0, North}, {299, 0, NorthEast}, {299, 100, East},
		{299, 199, SouthEast}, {150, 199, South}, {2, 197, SouthWest}, {0, 100, West}, {150, 10, Title}, {290, 12, CloseBox},
		{3, 3, Title}, {150, 100, Content}, {3, 25, Content}, {296, 196, Content},
	} {
		if got := f.Hit(size, image.Pt(tt.x, tt.y)); got != tt.want {
			t.Errorf("%d,%d is %d, want %d", tt.x, tt.y, got, tt.want)
		}
	}
}

func TestDrag(t *testing.T) {
	f := make8(t, 1)[0]
	outer := image.Rect(100, 100, 400, 300)
	for _, tt := range []struct {
		part Part
		d    image.Point
		want image.Rectangle
	}{
		{Title, image.Pt(5, -7), image.Rect(105, 93, 405, 293)},
		{SouthEast, image.Pt(10, 20), image.Rect(100, 100, 410, 320)},
		{NorthWest, image.Pt(10, 20), image.Rect(110, 120, 400, 300)},
		{East, image.Pt(10, 20), image.Rect(100, 100, 410, 300)},
		{North, image.Pt(10, 20), image.Rect(100, 120, 400, 300)},
		{West, image.Pt(9999, 0), image.Rect(400-6-80, 100, 400, 300)},
		{South, image.Pt(0, -9999), image.Rect(100, 100, 400, 100+28+60)},
	} {
		if got := f.Drag(outer, tt.part, tt.d, image.Pt(80, 60)); got != tt.want {
			t.Errorf("part %d by %v: %v, want %v", tt.part, tt.d, got, tt.want)
		}
	}
}

// A title never takes more room than it is given, however long it is, and the qube's name
// is in it as long as it fits at all.
func TestTitleFits(t *testing.T) {
	f := make8(t, 1)[5]
	plain := f.Title("", 500, true)
	if plain.Width >= 500 || plain.Width < 20 {
		t.Fatalf("the name alone takes %d pixels", plain.Width)
	}
	for _, title := range []string{"", "x", strings.Repeat("wide ", 50), strings.Repeat("界", 64), "Ω"} {
		for _, width := range []int{-5, 0, 3, plain.Width - 1, plain.Width, plain.Width + 9, 120, 400, 4000} {
			p := f.Title(title, width, true)
			if p.Width > max(width, 0) || len(p.Data) != p.Width*p.Height*4 || p.Height >= f.Bar {
				t.Fatalf("%q in %d: %d × %d, %d bytes", title, width, p.Width, p.Height, len(p.Data))
			}
		}
	}
	long := f.Title(strings.Repeat("wide ", 50), 300, true)
	for x := range plain.Width - 12 {
		for y := range plain.Height {
			at := 4 * (y*plain.Width + x)
			if long.Data[4*(y*long.Width+x)+1] != plain.Data[at+1] {
				t.Fatal("the name's pixels differ under a long title")
			}
		}
	}
}

func TestCloseBoxShowsThePointer(t *testing.T) {
	for _, f := range make8(t, 2) {
		cold, hot := f.Close(true, false), f.Close(true, true)
		if string(cold.Data) == string(hot.Data) || cold.Width != f.Bar || cold.Height >= f.Bar {
			t.Errorf("label %d: %d × %d", f.Label, cold.Width, cold.Height)
		}
	}
}
