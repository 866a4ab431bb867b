package xconn

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func entry(family uint16, fields ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, family)
	for _, f := range fields {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	return b
}

func TestFindCookie(t *testing.T) {
	const a, b = "AAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBB"
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"local", entry(256, "here", "5", cookieName, a), a},
		{"other host first", append(entry(256, "there", "5", cookieName, a), entry(256, "here", "5", cookieName, b)...), b},
		{"other display", entry(256, "here", "6", cookieName, a), ""},
		{"wild", entry(65535, "", "", cookieName, a), a},
		{"other scheme", entry(65535, "", "", "XDM-AUTHORIZATION-1", a), ""},
		{"short cookie", entry(65535, "", "", cookieName, "short"), ""},
		{"cut", entry(65535, "", "", cookieName, a)[:20], ""},
		{"length past the end", []byte{0xff, 0xff, 0xff, 0xff, 1}, ""},
		{"empty", nil, ""},
	}
	for _, tt := range tests {
		if got := findCookie(tt.file, "here", "5"); string(got) != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSetupRequest(t *testing.T) {
	if got := setupRequest(nil); !bytes.Equal(got, []byte{'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("without a cookie: %v", got)
	}
	if got := setupRequest(make([]byte, 16)); len(got) != 12+20+16 || got[6] != 18 || got[8] != 16 {
		t.Errorf("with a cookie: %v", got)
	}
}
