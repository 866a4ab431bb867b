package xserver

import (
	"os"
	"path/filepath"
	"testing"
)

func TestClearLock(t *testing.T) {
	for name, c := range map[string]struct {
		lock string
		exe  string // of process 42; empty: there is none
		kept bool
	}{
		"server runs":         {"        42\n", "/usr/lib/xorg/Xorg", true},
		"upgraded server":     {"        42\n", "/usr/bin/Xvfb (deleted)", true},
		"number used again":   {"        42\n", "/usr/bin/bash", false},
		"nobody":              {"        42\n", "", false},
		"garbage":             {"hello", "/usr/lib/xorg/Xorg", false},
		"cut off by a crash":  {"", "", false},
		"no lock, no trouble": {"-", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			tmp, proc := t.TempDir(), t.TempDir()
			lock := filepath.Join(tmp, ".X5-lock")
			if c.lock != "-" {
				if err := os.WriteFile(lock, []byte(c.lock), 0o444); err != nil {
					t.Fatal(err)
				}
			}
			if c.exe != "" {
				if err := os.Mkdir(filepath.Join(proc, "42"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(c.exe, filepath.Join(proc, "42", "exe")); err != nil {
					t.Fatal(err)
				}
			}
			if err := clearLock(tmp, proc, ":5"); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(lock); (err == nil) != c.kept {
				t.Errorf("lock: %v, want kept %v", err, c.kept)
			}
		})
	}
}

func TestAuthorityIsReplacedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "xauth")
	var last []byte
	for range 3 {
		if err := writeAuthority(path, os.Geteuid()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != 2+2+2+2+len(cookieName)+2+cookieSize || string(b) == string(last) {
			t.Errorf("cookie file %x after %x", b, last)
		}
		last = b
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", st.Mode(), err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}
