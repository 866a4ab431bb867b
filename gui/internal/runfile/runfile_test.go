package runfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func names(t *testing.T, dir string) (ns []string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		ns = append(ns, e.Name())
	}
	return ns
}

func TestLife(t *testing.T) {
	dir := t.TempDir()
	f, err := Start(dir, 42)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"guid-booting.42"}) {
		t.Errorf("starting: %v", got)
	}
	if err := f.Connected(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"guid-running.42"}) {
		t.Errorf("connected: %v", got)
	}
	if _, err := Start(dir, 42); !errors.Is(err, ErrRunning) {
		t.Errorf("second daemon: %v", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"guid-running.42"}) {
		t.Errorf("after a second one: %v", got)
	}
	f.Disconnected()
	f.End()
	if got := names(t, dir); got != nil {
		t.Errorf("ended: %v", got)
	}
}

// A daemon that crashed does not keep the next one from starting.
func TestCrashed(t *testing.T) {
	dir := t.TempDir()
	for content, running := range map[string]bool{"1\n": true, "2147483646\n": false, "x": true} {
		if err := os.WriteFile(filepath.Join(dir, "guid-running.7"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Start(dir, 7)
		if errors.Is(err, ErrRunning) != running {
			t.Errorf("%q: %v", content, err)
		}
		if err == nil {
			f.End()
		}
	}
	if got := fmt.Sprint(names(t, dir)); got != "[]" && got != "[guid-running.7]" {
		t.Error(got)
	}
}
