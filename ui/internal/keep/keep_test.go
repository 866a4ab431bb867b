package keep_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"qubist/ui/internal/keep"
	"qubist/ui/internal/state"
)

func ledger(n int) state.Ledger {
	var l state.Ledger
	for range n {
		l.Record(l.Begin(), time.Unix(1e9, 0).UTC(), state.Edit{Owner: "work", Property: "memory", Before: state.Setting{Text: "400", Default: true}, After: state.Setting{Text: "500\x1b"}})
	}
	return l
}

func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f, l, err := keep.Open(dir, "/run/x.sock")
	if err != nil || len(l.Done) > 0 {
		t.Fatal(l, err)
	}
	if _, _, err := keep.Open(dir, "/run/x.sock"); !errors.Is(err, keep.ErrTaken) {
		t.Errorf("a second console got it: %v", err)
	}
	other, _, err := keep.Open(dir, "/run/y.sock")
	if err != nil {
		t.Errorf("another system: %v", err)
	}
	defer other.Close()
	if err := f.Save(2, "/run/x.sock", ledger(2)); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(1, "/run/x.sock", ledger(1)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f, l, err = keep.Open(dir, "/run/x.sock")
	if err != nil || !reflect.DeepEqual(l, ledger(2)) {
		t.Errorf("%+v %v", l, err)
	}
	f.Close()
	left, _ := filepath.Glob(filepath.Join(dir, ".undo-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStrangeFilesArePutAside(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"version":1,`, "newer": `{"version":2,"system":"s","ledger":{}}`, "unknown key": `{"version":1,"system":"s","x":1}`,
		"another system": `{"version":1,"system":"t","ledger":{}}`, "endless": strings.Repeat(" ", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, _, err := keep.Open(dir, "s")
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Save(1, "s", ledger(1))
			f.Close()
			files, _ := filepath.Glob(filepath.Join(dir, "undo-*.json"))
			if err := os.WriteFile(files[0], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, l, err := keep.Open(dir, "s")
			if f == nil || err == nil || len(l.Done) > 0 {
				t.Fatalf("%v %v", l, err)
			}
			defer f.Close()
			if b, err := os.ReadFile(files[0] + ".bad"); err != nil || string(b) != text {
				t.Errorf("not put aside: %v", err)
			}
			if err := f.Save(1, "s", ledger(1)); err != nil {
				t.Error(err)
			}
		})
	}
}
