package tray

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestCorpusTrayTint(t *testing.T) {
	path := filepath.Join("testdata", "tray-tint-vectors.json")
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		path = filepath.Join(dir, "gui", "tray-tint-vectors.json")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c []struct {
		Label        string
		Saturation50 bool
		Map          map[string]string
	}
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	agreed, total := 0, 0
	for _, v := range c {
		label, _ := strconv.ParseUint(v.Label, 16, 32)
		p := NewPainter(Mode{Tint: true, Saturation50: v.Saturation50}, uint32(label))
		for from, want := range v.Map {
			total++
			in, _ := strconv.ParseUint(from, 16, 32)
			if got := fmt.Sprintf("%06x", p.tint(uint32(in))); got != want {
				t.Errorf("label %s, saturation50 %v: %s becomes %s, want %s", v.Label, v.Saturation50, from, got, want)
				continue
			}
			agreed++
		}
	}
	t.Logf("corpus gui/tray-tint: %d/%d", agreed, total)
}

func TestParseMode(t *testing.T) {
	for s, want := range map[string]Mode{
		"bg": {Background: true}, "border1": {Border: 1}, "border2": {Border: 1, Inset: 1}, "tint": {Tint: true},
		"tint+border2+saturation50": {Tint: true, Saturation50: true, Border: 1, Inset: 1}, "tint+whitehack": {Tint: true, WhiteHack: true},
	} {
		if m, err := ParseMode(s); err != nil || m != want {
			t.Errorf("%s: %+v, %v", s, m, err)
		}
	}
	for _, s := range []string{"", "x", "bg+border1", "tint+", "tint+x", "Tint"} {
		if m, err := ParseMode(s); err == nil {
			t.Errorf("%q: %+v", s, m)
		}
	}
}

func TestApply(t *testing.T) {
	pix := []byte{1, 2, 3, 0, 9, 9, 9, 0, 1, 2, 3, 77}
	NewPainter(Mode{Background: true}, 0).Apply(pix)
	if want := (fmt.Sprint([]byte{255, 255, 255, 0, 9, 9, 9, 0, 255, 255, 255, 77})); fmt.Sprint(pix) != want {
		t.Errorf("ground: %v", pix)
	}
	white := []byte{255, 255, 255, 0}
	NewPainter(Mode{Tint: true, WhiteHack: true}, 0x73d216).Apply(white)
	if white[0] != 0xfe || white[2] != 0xfe {
		t.Errorf("white becomes %v", white)
	}
	NewPainter(Default, 0).Apply(nil)
}
