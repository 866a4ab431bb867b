package window

import (
	"encoding/hex"
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"testing"
	"time"

	"qubist/core/safetext"
	"qubist/gui/internal/display/fake"
)

// corpus reads a file of the gui corpus, from $QUBIST_CORPUS when set.
func corpus(t *testing.T, name string, into any) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		path = filepath.Join(dir, "gui", name)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func xywh(v [4]int) image.Rectangle { return image.Rect(v[0], v[1], v[0]+v[2], v[1]+v[3]) }

func TestCorpusPlacement(t *testing.T) {
	var c []struct {
		Work                                 [4]int
		Root                                 [2]int
		Protection, Disabled, Docked, Mapped bool
		CurrentOR                            int `json:"current_or"`
		WantedOR                             int `json:"wanted_or"`
		ORResult                             int `json:"or_result"`
		Win, Forced                          [4]int
	}
	corpus(t, "placement-vectors.json", &c)
	agreed := 0
	for i, v := range c {
		drv := fake.New(uint16(v.Root[0]), uint16(v.Root[1]))
		drv.Is.WorkArea = xywh(v.Work)
		s := New(Config{DenyOverride: v.Disabled, NoOverrideLimit: !v.Protection, Now: time.Now, Log: quiet()}, drv, 0)
		w := &win{rect: xywh(v.Win), docked: v.Docked, mapped: v.Mapped, or: v.CurrentOR == 1}
		or, forced := s.entitled(w, v.WantedOR == 1), s.onScreen(xywh(v.Win))
		if or != (v.ORResult == 1) || forced != xywh(v.Forced) {
			t.Errorf("%d: %+v: override %v, forced %v", i, v, or, forced)
			continue
		}
		agreed++
	}
	t.Logf("corpus gui/placement: %d/%d", agreed, len(c))
}

// borders are the frames of the corpus's kinds of window.
var borders = map[string]border{
	"managed": {}, "override_redirect": {width: 2}, "docked_tint": {}, "docked_border1": {width: 1}, "docked_border2": {width: 1, inset: 1},
}

// better lists the vectors that reproduce a slip of upstream, by index.
var better = map[int]string{
	5: "the rectangle lies above the shared screen: upstream paints another row of the screen instead of nothing",
}

func TestCorpusPaintClip(t *testing.T) {
	type paint struct{ Src, Size, Dst, Tint []int }
	var c []struct {
		Kind    string
		Win     [4]int
		Image   *struct{ Own, Screen []int }
		Rect    [4]int
		FillAll bool `json:"fill_all"`
		Paint   *paint
		Frame   [][4]int
	}
	corpus(t, "paint-clip-vectors.json", &c)
	agreed := 0
	for i, v := range c {
		size, b := image.Pt(v.Win[2], v.Win[3]), borders[v.Kind]
		part, offset := image.Rectangle{Max: size}, image.Point{}
		switch {
		case v.Image == nil:
		case v.Image.Own != nil:
			part = image.Rect(0, 0, v.Image.Own[0], v.Image.Own[1])
		default:
			offset = image.Pt(v.Win[0], v.Win[1])
			part = image.Rect(0, 0, v.Image.Screen[0], v.Image.Screen[1]).Sub(offset).Intersect(part)
		}
		p := planPaint(size, b, part, offset, v.Rect[0], v.Rect[1], v.Rect[2], v.Rect[3])
		ok := p.fillAll == v.FillAll
		switch {
		case v.Paint != nil && v.Paint.Tint != nil:
			tint := xywh([4]int(v.Paint.Tint))
			ok = ok && (p.paint == tint || p.paint.Empty() && tint.Empty())
		case v.Paint != nil:
			ok = ok && p.paint.Min == image.Pt(v.Paint.Dst[0], v.Paint.Dst[1]) && p.paint.Size() == image.Pt(v.Paint.Size[0], v.Paint.Size[1]) &&
				p.from == image.Pt(v.Paint.Src[0], v.Paint.Src[1])
		default:
			ok = ok && (p.paint.Empty() || v.Image == nil)
		}
		ok = ok && p.frame == (len(v.Frame) > 0) && (!p.frame || sameFrame(size, b, v.Frame))
		if why := better[i]; why != "" && !ok {
			ok = p.paint.Empty()
		}
		if !ok {
			t.Errorf("%d: %+v %+v: %+v", i, v, v.Paint, p)
			continue
		}
		agreed++
	}
	t.Logf("corpus gui/paint-clip: %d/%d (%d better on purpose)", agreed, len(c), len(better))
}

// sameFrame compares our four filled sides with upstream's outlines, pixel by pixel.
func sameFrame(size image.Point, b border, outlines [][4]int) bool {
	want, got := map[image.Point]bool{}, map[image.Point]bool{}
	for _, o := range outlines { // PolyRectangle covers w+1 by h+1
		for x := o[0]; x <= o[0]+o[2]; x++ {
			want[image.Pt(x, o[1])], want[image.Pt(x, o[1]+o[3])] = true, true
		}
		for y := o[1]; y <= o[1]+o[3]; y++ {
			want[image.Pt(o[0], y)], want[image.Pt(o[0]+o[2], y)] = true, true
		}
	}
	for _, r := range frameRects(size, b) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				got[image.Pt(x, y)] = true
			}
		}
	}
	for p := range got {
		if !want[p] {
			return false
		}
	}
	return len(want) == len(got)
}

// stricter lists the inputs for which titles with UTF-8 on differ from upstream on purpose:
// upstream lets control, direction and width-changing characters through, and it replaces
// bytes where core/safetext replaces characters.
var stricter = map[string]string{
	"f09f9880":       "emoji: its width differs between terminals",
	"f48fbfbf":       "a noncharacter is one character, upstream replaces four bytes",
	"c285":           "C1 control passes upstream",
	"e280ae2072746c": "direction override passes upstream",
	"ed9fbf":         "not assigned to a character",
	"e0a080":         "a letter of a script that runs from right to left",
}

func TestCorpusTitleSanitise(t *testing.T) {
	var c []struct{ In, ASCII, UTF8 string }
	corpus(t, "title-sanitise-vectors.json", &c)
	agreed := 0
	for _, v := range c {
		in, err := hex.DecodeString(v.In)
		if err != nil {
			t.Fatal(err)
		}
		plain, utf8 := hex.EncodeToString([]byte(ascii(string(in)))), hex.EncodeToString([]byte(safetext.Line(string(in), titleCells)))
		switch why, differs := stricter[v.In]; {
		case plain != v.ASCII:
			t.Errorf("%s: ascii %s, want %s", v.In, plain, v.ASCII)
		case differs && utf8 == v.UTF8:
			t.Errorf("%s: listed as stricter (%s) but equal", v.In, why)
		case !differs && utf8 != v.UTF8:
			t.Errorf("%s: utf8 %s, want %s", v.In, utf8, v.UTF8)
		default:
			agreed++
		}
	}
	t.Logf("corpus gui/title-sanitise: %d/%d (%d stricter on purpose)", agreed, len(c), len(stricter))
}
