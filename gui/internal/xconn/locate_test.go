package xconn_test

import (
	"os"
	"path/filepath"
	"testing"

	"qubist/gui/internal/xconn"
)

func TestLocate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "display")
	if err := os.WriteFile(file, []byte(":42\n/run/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env                map[string]string
		file               string
		display, authority string
		ok                 bool
	}{
		{map[string]string{"DISPLAY": ":1", "XAUTHORITY": "/a"}, file, ":1", "/a", true},
		{map[string]string{"DISPLAY": ":1", "HOME": "/h"}, file, ":1", "/h/.Xauthority", true},
		{map[string]string{"XAUTHORITY": "/a"}, file, ":42", "/run/x", true},
		{nil, file + ".none", "", "", false},
	} {
		d, a, err := xconn.Locate(func(k string) string { return tt.env[k] }, tt.file)
		if d != tt.display || a != tt.authority || (err == nil) != tt.ok {
			t.Errorf("%v: %q, %q, %v", tt.env, d, a, err)
		}
	}
}
