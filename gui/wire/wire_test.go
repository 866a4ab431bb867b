package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// parse calls the parse function of t.
func parse(t Type, body []byte) (Message, error) {
	switch t {
	case TypeKeypress:
		return ParseKeypress(body)
	case TypeButton:
		return ParseButton(body)
	case TypeMotion:
		return ParseMotion(body)
	case TypeCrossing:
		return ParseCrossing(body)
	case TypeFocus:
		return ParseFocus(body)
	case TypeCreate:
		return ParseCreate(body)
	case TypeDestroy:
		return Destroy{}, nil
	case TypeMap:
		return ParseMap(body)
	case TypeUnmap:
		return Unmap{}, nil
	case TypeConfigure:
		return ParseConfigure(body)
	case TypeMFNDump:
		return ParseMFNDump(body)
	case TypeShmImage:
		return ParseShmImage(body)
	case TypeClose:
		return Close{}, nil
	case TypeClipboardReq:
		return ClipboardReq{}, nil
	case TypeClipboardData:
		return ParseClipboardData(body)
	case TypeWMName:
		return ParseWMName(body)
	case TypeKeymapNotify:
		return ParseKeymapNotify(body)
	case TypeDock:
		return Dock{}, nil
	case TypeWindowHints:
		return ParseWindowHints(body)
	case TypeWindowFlags:
		return ParseWindowFlags(body)
	case TypeWMClass:
		return ParseWMClass(body)
	case TypeWindowDump:
		return ParseWindowDump(body)
	case TypeCursor:
		return ParseCursor(body)
	case TypeWindowDumpAck:
		return WindowDumpAck{}, nil
	}
	return nil, ErrType
}

// body encodes without the checks of the message types.
func body(vs ...int64) []byte {
	var b []byte
	for _, v := range vs {
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return b
}

func TestParseChecks(t *testing.T) {
	tests := []struct {
		name string
		t    Type
		body []byte
		want Message // nil: err
		err  error
	}{
		{"create clamps", TypeCreate, body(-99999, 99999, 99999, 99999, 3, 7), Create{-16384, 6144, 16384, 6144, 3, true}, nil},
		{"create may be empty", TypeCreate, body(0, 0, 0, 0, 0, 0), Create{}, nil},
		{"create negative width", TypeCreate, body(0, 0, -1, 1, 0, 0), nil, ErrSuspicious},
		{"create negative height", TypeCreate, body(0, 0, 1, 1<<31, 0, 0), nil, ErrSuspicious},
		{"create short", TypeCreate, body(0, 0, 1, 1, 0), nil, ErrLength},
		{"configure clamps", TypeConfigure, body(1<<30, -1<<30, 1<<30, 1<<31, 0), Configure{16384, -6144, 16384, 6144, false}, nil},
		{"configure empty", TypeConfigure, body(0, 0, 0, 1, 0), nil, ErrSuspicious},
		{"flags overlap", TypeWindowFlags, body(3, 1), nil, ErrSuspicious},
		{"flags unknown overlap", TypeWindowFlags, body(8, 8), nil, ErrSuspicious},
		{"flags masked", TypeWindowFlags, body(0xf1, 0xe), WindowFlags{FlagFullscreen, FlagDemandsAttention}, nil},
		{"cursor default", TypeCursor, body(0), Cursor(0), nil},
		{"cursor last", TypeCursor, body(0x199), Cursor(0x199), nil},
		{"cursor past", TypeCursor, body(0x19a), nil, ErrSuspicious},
		{"cursor without bit", TypeCursor, body(1), nil, ErrSuspicious},
		{"damage keeps signs", TypeShmImage, body(-1, 1<<31, 1<<31-1, -5), ShmImage{-1, -1 << 31, 1<<31 - 1, -5}, nil},
		{"hints drop groups", TypeWindowHints, body(-1, 16385, 1, 0, 5, 16384, 1, 3, 4),
			WindowHints{Flags: HintUSPosition | HintPPosition | HintBaseSize, BaseWidth: 3, BaseHeight: 4}, nil},
		{"region dump", TypeWindowDump, body(DumpRegion, 10, 20, 32, 3), WindowDump{Kind: DumpRegion, Width: 10, Height: 20, BPP: 32, Offset: 3}, nil},
		{"region dump long", TypeWindowDump, body(DumpRegion, 10, 20, 32, 3, 4), nil, ErrLength},
		{"region dump without offset", TypeWindowDump, body(DumpRegion, 10, 20, 32), nil, ErrLength},
		{"dump kind", TypeWindowDump, body(1, 10, 20, 32, 3), nil, ErrValue},
		{"dump wide", TypeWindowDump, body(0, 16385, 0, 32), nil, ErrValue},
		{"dump high", TypeWindowDump, body(DumpRegion, 1, 6145, 32, 0), nil, ErrValue},
		{"dump too few pages", TypeWindowDump, body(0, 32, 33, 32, 7), nil, ErrValue},
		{"dump exact", TypeWindowDump, body(0, 32, 32, 32, 7), WindowDump{Width: 32, Height: 32, BPP: 32, Refs: []uint32{7}}, nil},
		{"frames", TypeMFNDump, body(0, 32, 31, 32, 128, 1, 2, 5), MFNDump{0, 32, 31, 32, 128, 2, []uint32{5}}, nil},
		{"frames offset", TypeMFNDump, body(0, 1, 1, 32, 4096, 1, 2, 5), nil, ErrValue},
		{"frames count", TypeMFNDump, body(0, 1, 1, 32, 0, 2, 2, 5), nil, ErrLength},
		{"frames count overflow", TypeMFNDump, body(0, 1, 1, 32, 0, 1<<30, 2, 5), nil, ErrValue},
		{"name without NUL", TypeWMName, bytes.Repeat([]byte{'a'}, 128), WMName(strings.Repeat("a", 127)), nil},
		{"class first", TypeWMClass, append(append([]byte("C"), make([]byte, 63)...), bytes.Repeat([]byte{'n'}, 64)...), WMClass{"C", strings.Repeat("n", 63)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.t, tt.body)
			if tt.err != nil {
				if !errors.Is(err, tt.err) || !reflect.ValueOf(got).IsZero() {
					t.Fatalf("got %+v, %v, want %v", got, err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// Every number is legal in exactly the directions of the table in §2.
func TestDirections(t *testing.T) {
	agent := map[Type]bool{130: true, 131: true, 132: true, 133: true, 134: true, 135: true, 136: true, 140: true, 141: true, 143: true, 144: true, 145: true, 146: true, 147: true, 148: true}
	daemon := map[Type]bool{124: true, 125: true, 126: true, 127: true, 128: true, 131: true, 132: true, 134: true, 137: true, 139: true, 140: true, 142: true, 145: true, 149: true}
	for n := range Type(400) {
		for _, size := range []uint32{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 128, MaxBody + 4, 1<<32 - 1} {
			h := Header{Type: n, Len: size}
			got, err := h.BodyFromAgent(Current)
			if agent[n] == errors.Is(err, ErrType) || got > MaxBody || err == nil && got != int(size) {
				t.Fatalf("agent, type %d, %d bytes: %d, %v", n, size, got, err)
			}
			got, known, err := h.BodyFromDaemon()
			if daemon[n] != known || got > MaxBody || err == nil && got != int(size) {
				t.Fatalf("daemon, type %d, %d bytes: %d, %v, %v", n, size, got, known, err)
			}
		}
	}
}

func TestBodyLengths(t *testing.T) {
	tests := []struct {
		h    Header
		v    Version
		want int // -1: ErrLength
	}{
		{Header{TypeCreate, 1, 24}, Current, 24},
		{Header{TypeCreate, 1, 25}, Current, -1},
		{Header{TypeCreate, 1, 1 << 31}, 1<<16 | 5, 24},
		{Header{TypeUnmap, 1, 4}, 1<<16 | 6, -1},
		{Header{TypeWindowDump, 1, 12}, Current, -1},
		{Header{TypeWindowDump, 1, 12}, 1 << 16, -1},
		{Header{TypeWindowDump, 1, 18}, Current, -1},
		{Header{TypeWindowDump, 1, 16 + 4*98304}, Current, 393232},
		{Header{TypeWindowDump, 1, 20 + 4*98304}, Current, -1},
		{Header{TypeClipboardData, 1, 256001}, Current, 256001},
		{Header{TypeClipboardData, 1, 256002}, Current, -1},
		{Header{TypeClipboardData, 77, 9}, 1<<16 | 1, 77},
	}
	for _, tt := range tests {
		got, err := tt.h.BodyFromAgent(tt.v)
		if tt.want < 0 {
			if !errors.Is(err, ErrLength) {
				t.Errorf("%+v at %s: %d, %v, want ErrLength", tt.h, tt.v, got, err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%+v at %s: %d, %v, want %d", tt.h, tt.v, got, err, tt.want)
		}
	}
}

func TestNegotiate(t *testing.T) {
	tests := []struct {
		offer, want Version
		err         error
	}{
		{1<<16 | 8, 1<<16 | 8, nil}, {1<<16 | 9, 1<<16 | 8, nil}, {1<<16 | 3, 1<<16 | 3, nil}, {1 << 16, 1 << 16, nil},
		{1<<16 | 0xffff, 1<<16 | 8, nil}, {8, 0, ErrAgentOld}, {2 << 16, 0, ErrAgentNew}, {1<<32 - 1, 0, ErrAgentNew},
	}
	for _, tt := range tests {
		got, err := tt.offer.Negotiate()
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %s, %v, want %s, %v", tt.offer, got, err, tt.want, tt.err)
		}
		if err == nil && (got.CheckAnswer(got) == nil) != (got.Minor() >= 4) {
			t.Errorf("answer %s: %v", got, got.CheckAnswer(got))
		}
	}
	for _, answer := range []Version{1<<16 | 8, 2 << 16, 1<<16 | 3, 0} {
		if err := Version(1<<16 | 7).CheckAnswer(answer); !errors.Is(err, ErrVersion) {
			t.Errorf("answer %s to 1.7: %v", answer, err)
		}
	}
}

func TestFitsRegion(t *testing.T) {
	for _, tt := range []struct {
		d    WindowDump
		size int64
		want bool
	}{
		{WindowDump{Width: 32, Height: 32, Offset: 1}, 8192, true},
		{WindowDump{Width: 32, Height: 33, Offset: 1}, 8192, false},
		{WindowDump{Width: MaxWidth, Height: MaxHeight, Offset: 1<<32 - 1}, 1 << 45, true},
		{WindowDump{Width: MaxWidth, Height: MaxHeight, Offset: 1<<32 - 1}, 16 << 20, false},
		{WindowDump{Offset: 3}, 8192, false},
	} {
		if got := tt.d.FitsRegion(tt.size); got != tt.want {
			t.Errorf("%+v in %d: %v", tt.d, tt.size, got)
		}
	}
}

// FuzzParse: whatever parses encodes to bytes that parse to the same value, within the
// limits; an error comes with nothing usable.
func FuzzParse(f *testing.F) {
	for n := range uint32(28) {
		f.Add(122+n, body(1, 2, 3, 4, 5, 6, 7)[:n])
		f.Add(122+n, bytes.Repeat([]byte{0xff}, 128))
	}
	f.Add(uint32(147), body(DumpRegion, 640, 480, 32, 17))
	f.Add(uint32(147), body(0, 32, 32, 32, 17))
	f.Add(uint32(135), body(0, 32, 31, 32, 128, 1, 2, 5))
	f.Add(uint32(144), body(372, 10, 11, 1000, 900, 6, 13, 4, 5))
	f.Fuzz(func(t *testing.T, n uint32, b []byte) {
		m, err := parse(Type(n), b)
		if err != nil {
			if m != nil && !reflect.ValueOf(m).IsZero() {
				t.Fatalf("%+v comes with %v", m, err)
			}
			return
		}
		again, err := parse(Type(n), m.AppendBody(nil))
		if err != nil || !bytes.Equal(m.AppendBody(nil), again.AppendBody(nil)) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
		msg := Append(nil, 9, m)
		h, err := ParseHeader(msg)
		if err != nil || h.Type != m.Type() || h.Window != 9 || int(h.Len) != len(msg)-HeaderSize {
			t.Fatalf("header %+v, %v of %+v", h, err, m)
		}
		if c, ok := m.(Create); ok && (c.Width > MaxWidth || c.Height > MaxHeight || c.X < -MaxWidth || c.Y > MaxHeight) {
			t.Fatalf("create %+v", c)
		}
	})
}
