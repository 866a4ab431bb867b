package agent

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
)

func TestCutTitle(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		strings.Repeat("a", 127):      strings.Repeat("a", 127),
		strings.Repeat("a", 128):      strings.Repeat("a", 124) + "…",
		strings.Repeat("é", 64):       strings.Repeat("é", 62) + "…",
		"a" + strings.Repeat("é", 64): "a" + strings.Repeat("é", 61) + "…",
		strings.Repeat("😀", 32):       strings.Repeat("😀", 31) + "…",
		strings.Repeat("\x80", 200):   "…",
	} {
		if got := cutTitle(in); got != want {
			t.Errorf("cutTitle(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzProps(f *testing.F) {
	f.Add([]byte("title"), byte(8), true)
	f.Add(make([]byte, 72), byte(32), false)
	f.Fuzz(func(t *testing.T, b []byte, format byte, latin bool) {
		s := &session{}
		r := &xproto.GetPropertyReply{Format: format, Value: b}
		if latin {
			r.Type = xproto.AtomString
		}
		var p props
		for _, take := range []func(*props, *xproto.GetPropertyReply){
			s.takeName, s.takeNetName, takeClass, takeHints, takeTransient, takeInput, s.takeProtocols, s.takeStates,
		} {
			take(&p, r)
		}
		if len(p.title) > maxTitle {
			t.Errorf("title of %d bytes", len(p.title))
		}
		if latin && format == 8 && !utf8.ValidString(p.title) && utf8.Valid(b) {
			t.Errorf("title %q from %q", p.title, b)
		}
	})
}

func TestHintsAreRoundedToSteps(t *testing.T) {
	b := make([]byte, 72)
	put := func(i int, v uint32) { b[4*i], b[4*i+1] = byte(v), byte(v>>8) }
	put(0, uint32(wire.HintMinSize|wire.HintResizeInc|wire.HintBaseSize|2|1<<9))
	put(5, 21) // least width
	put(6, 4)
	put(9, 6) // steps
	put(10, 13)
	put(15, 4) // base
	put(16, 4)
	var p props
	takeHints(&p, &xproto.GetPropertyReply{Format: 32, Value: b})
	want := wire.WindowHints{Flags: wire.HintMinSize | wire.HintResizeInc | wire.HintBaseSize,
		MinWidth: 22, MinHeight: 4, WidthInc: 6, HeightInc: 13, BaseWidth: 4, BaseHeight: 4}
	if p.hints != want {
		t.Errorf("hints %+v, want %+v", p.hints, want)
	}
	takeHints(&p, &xproto.GetPropertyReply{Format: 32, Value: b[:15*4]})
	if p.hints.Flags&wire.HintBaseSize != 0 {
		t.Error("a base size that is not there")
	}
}

func TestModifierSync(t *testing.T) {
	k := keyboard{}
	k.codes[0] = []byte{50, 62}
	k.codes[1], k.locks[1] = []byte{66}, true
	for _, c := range []struct {
		have, want uint8
		taps       []tap
	}{
		{0, 0, nil},
		{3, 3, nil},
		{0, 1, []tap{{50, true}}},
		{1, 0, []tap{{50, false}, {62, false}}},
		{0, 2, []tap{{66, true}, {66, false}}},
		{2, 1, []tap{{50, true}, {66, true}, {66, false}}},
		{0, 1 << 7, nil}, // no such key
	} {
		if got := k.sync(c.have, c.want); !slices.Equal(got, c.taps) {
			t.Errorf("sync(%#x, %#x) = %v, want %v", c.have, c.want, got, c.taps)
		}
	}
}
