package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"qubist/core/internal/store"
)

func TestFixpoint(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) != 4 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := store.Load(store.OS{}, name)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Labels) < 8 || len(f.Pools) < 2 || len(f.Domains) < 1 || f.Domains[0].Class != "AdminVM" {
				t.Fatalf("not much was read: %d labels, %d pools, %d domains", len(f.Labels), len(f.Pools), len(f.Domains))
			}
			b, err := store.Encode(f)
			if err != nil {
				t.Fatal(err)
			}
			again, err := store.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(f, again) {
				t.Error("what was saved loads differently")
			}
			b2, err := store.Encode(again)
			if err != nil || !bytes.Equal(b, b2) {
				t.Errorf("saving twice differs (%v)", err)
			}
		})
	}
}

func TestRefusesWhatXMLLoses(t *testing.T) {
	f := store.File{Properties: []store.Property{{Name: "x", Value: "a\x01b"}}}
	if _, err := store.Encode(f); err == nil {
		t.Error("a control character was written")
	}
}

// crashFS stops working before its step'th change, as a crash would.
type crashFS struct {
	store.OS
	step int
	torn bool
}

var errCrash = errors.New("crash")

func (c *crashFS) next() bool { c.step--; return c.step < 0 }

func (c *crashFS) WriteSync(p string, b []byte, m fs.FileMode) error {
	if c.next() {
		if c.torn {
			_ = c.OS.WriteSync(p, b[:len(b)/2], m)
		}
		return errCrash
	}
	return c.OS.WriteSync(p, b, m)
}

func (c *crashFS) Rename(a, b string) error {
	if c.next() {
		return errCrash
	}
	return c.OS.Rename(a, b)
}

func (c *crashFS) SyncDir(d string) error {
	if c.next() {
		return errCrash
	}
	return c.OS.SyncDir(d)
}

func (c *crashFS) Remove(p string) error {
	if c.step < 0 {
		return errCrash
	}
	return c.OS.Remove(p)
}

func TestCrashLeavesOldOrNew(t *testing.T) {
	older := store.File{Properties: []store.Property{{Name: "clockvm", Value: "old"}}}
	newer := store.File{Properties: []store.Property{{Name: "clockvm", Value: "new"}}}
	for _, torn := range []bool{false, true} {
		for step := range 4 {
			path := filepath.Join(t.TempDir(), "qubes.xml")
			if err := store.Save(store.OS{}, path, older); err != nil {
				t.Fatal(err)
			}
			err := store.Save(&crashFS{step: step, torn: torn}, path, newer)
			if (err == nil) != (step == 3) {
				t.Errorf("step %d: error %v", step, err)
			}
			f, err := store.Load(store.OS{}, path)
			if err != nil {
				t.Fatalf("step %d torn %v: %v", step, torn, err)
			}
			want := "old"
			if step >= 2 {
				want = "new"
			}
			if f.Properties[0].Value != want {
				t.Errorf("step %d torn %v: found %q, want %q", step, torn, f.Properties[0].Value, want)
			}
			if err := store.Save(store.OS{}, path, newer); err != nil {
				t.Errorf("step %d: the next save fails: %v", step, err)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	if _, err := store.Load(store.OS{}, filepath.Join(t.TempDir(), "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, n := range []string{"testdata/full.init.xml"} {
		b, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := store.Decode(b)
		if err != nil {
			return
		}
		enc, err := store.Encode(v)
		if err != nil {
			return
		}
		if _, err := store.Decode(enc); err != nil {
			t.Fatalf("our own output does not load: %v", err)
		}
	})
}
