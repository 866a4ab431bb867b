package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"qubist/core/qubesdb/wire"
)

func header(typ byte, path string, n uint32) *[wire.HeaderSize]byte {
	var b [wire.HeaderSize]byte
	b[0] = typ
	copy(b[1:68], path)
	binary.LittleEndian.PutUint32(b[68:], n)
	return &b
}

func TestParseHeader(t *testing.T) {
	long := "/" + strings.Repeat("p", 62)
	for _, c := range []struct {
		b    *[wire.HeaderSize]byte
		want wire.Header
		ok   bool
	}{
		{header(0, "/a", 0), wire.Header{Path: "/a"}, true},
		{header(13, "", 0), wire.Header{Type: wire.RespWatch}, true},
		{header(14, "/a", 0), wire.Header{Type: 14, Path: "/a"}, false},
		{header(255, "", 0), wire.Header{Type: 255}, false},
		{header(1, "/a", 3071), wire.Header{Type: wire.Write, Path: "/a", Len: 3071}, true},
		{header(1, "/a", 3072), wire.Header{Type: wire.Write, Path: "/a", Len: 3072}, false},
		{header(1, "/a", 1<<32-1), wire.Header{Type: wire.Write, Path: "/a", Len: 1<<32 - 1}, false},
		{header(0, "/a b", 0), wire.Header{Path: "/a b"}, false},
		{header(0, "/\x80", 0), wire.Header{Path: "/\x80"}, false},
		{header(0, "-a", 0), wire.Header{Path: "-a"}, false},
		{header(0, "/-a", 0), wire.Header{Path: "/-a"}, true},
		{header(0, "/a\x00 rest", 0), wire.Header{Path: "/a"}, true},
		{header(0, long+"xyz", 0), wire.Header{Path: long}, true},
	} {
		h, err := wire.ParseHeader(c.b)
		if h != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, wire.ErrHeader) {
			t.Errorf("%q: %+v, %v; want %+v, ok %v", c.b[:], h, err, c.want, c.ok)
		}
	}
}

func TestValidPath(t *testing.T) {
	for c := range 256 {
		want := c < 128 && strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.:@-", rune(c))
		if got := wire.ValidPath("/a" + string([]byte{byte(c)})); got != want {
			t.Errorf("byte %#x: %v, want %v", c, got, want)
		}
	}
	for p, want := range map[string]bool{
		"": false, "/": false, "a": false, "/a": true, "/a/": false, "//a": true, "/.": true, "/../a": true,
		"/" + strings.Repeat("x", 62): true, "/" + strings.Repeat("x", 63): false,
	} {
		if got := wire.ValidKey(p); got != want {
			t.Errorf("key %q: %v, want %v", p, got, want)
		}
	}
	for v, want := range map[string]bool{"": true, "a\xff": true, "a\x00": false, strings.Repeat("x", 3071): true, strings.Repeat("x", 3072): false} {
		if got := wire.ValidValue(v); got != want {
			t.Errorf("value of %d bytes: %v, want %v", len(v), got, want)
		}
	}
}

// FuzzParseHeader: whatever the bytes, the limits hold, and a valid header survives a round trip.
func FuzzParseHeader(f *testing.F) {
	for typ := range byte(15) {
		f.Add(header(typ, "/qubes-service/x", uint32(typ)*512)[:])
	}
	f.Add(bytes.Repeat([]byte{0xff}, wire.HeaderSize))
	f.Add(header(1, strings.Repeat("/", 80), 3071)[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < wire.HeaderSize {
			return
		}
		h, err := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		if len(h.Path) > wire.MaxPath || strings.IndexByte(h.Path, 0) >= 0 {
			t.Fatalf("path %q", h.Path)
		}
		if err != nil {
			if !errors.Is(err, wire.ErrHeader) {
				t.Fatal(err)
			}
			return
		}
		if h.Len > wire.MaxValue || !wire.ValidPath(h.Path) {
			t.Fatalf("accepted %+v", h)
		}
		m := wire.Append(nil, h.Type, h.Path, make([]byte, h.Len))
		again, err := wire.ParseHeader((*[wire.HeaderSize]byte)(m))
		if err != nil || again != h || len(m) != wire.HeaderSize+int(h.Len) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

// FuzzAppend: what is sent can be read, however long the parts.
func FuzzAppend(f *testing.F) {
	f.Add(byte(1), "/a", "value")
	f.Add(byte(13), strings.Repeat("/", 99), strings.Repeat("v", 5000))
	f.Fuzz(func(t *testing.T, typ byte, path, data string) {
		b := wire.Append(nil, wire.Type(typ), path, data)
		h, _ := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		if len(b) != wire.HeaderSize+int(h.Len) || h.Len > wire.MaxValue {
			t.Fatalf("%d bytes for %+v", len(b), h)
		}
	})
}
