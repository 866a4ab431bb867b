package file

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// hostile is a file of dom0 that no overlay may reach.
func hostile(t *testing.T) string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret
}

// QEMU of one VM cannot make dom0 read or write another file by way of its overlay's header.
func TestOverlayNamesOnlyItsBase(t *testing.T) {
	secret := hostile(t)
	dir := t.TempDir()
	f := paths{img: filepath.Join(dir, "v.img"), commit: filepath.Join(dir, "v~commit.qcow2"), tmp: filepath.Join(dir, "v~new")}
	fresh := func() {
		t.Helper()
		if err := os.WriteFile(f.img, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := overlay(t.Context(), f, f.img, f.commit); err != nil {
			t.Fatal(err)
		}
	}
	fresh()
	if err := checkOverlay(f.commit, "v.img"); err != nil {
		t.Fatal(err)
	}
	if err := merge(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"another file":     {"create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, f.commit},
		"another format":   {"create", "-q", "-f", "qcow2", "-u", "-F", "qcow2", "-b", "v.img", f.commit, "1M"},
		"protocol":         {"create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", "nbd://127.0.0.1/x", f.commit, "1M"},
		"json":             {"create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", `json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}`, f.commit, "1M"},
		"data file":        {"create", "-q", "-f", "qcow2", "-o", "data_file=" + filepath.Join(dir, "data"), f.commit, "1M"},
		"no backing file":  {"create", "-q", "-f", "qcow2", f.commit, "1M"},
		"an older version": {"create", "-q", "-f", "qcow2", "-o", "compat=0.10", "-F", "raw", "-b", "v.img", f.commit},
		"not qcow2":        {"create", "-q", "-f", "raw", f.commit, "1M"},
	} {
		fresh()
		if err := os.Remove(f.commit); err != nil {
			t.Fatal(err)
		}
		if err := qemuImg(t.Context(), args...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := merge(t.Context(), f); !errors.Is(err, errOverlay) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	b := make([]byte, 512)
	copy(b, "QFI\xfb\x00\x00\x00\x03")
	binary.BigEndian.PutUint64(b[8:], 256)
	binary.BigEndian.PutUint32(b[16:], 5)
	binary.BigEndian.PutUint32(b[100:], 104)
	binary.BigEndian.PutUint32(b[104:], extFormat)
	binary.BigEndian.PutUint32(b[108:], 3)
	copy(b[112:], "raw")
	copy(b[256:], "v.img")
	f.Add(b)
	if name, err := parseHeader(b); name != "v.img" || err != nil {
		f.Fatalf("%q, %v", name, err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, err := parseHeader(b); err == nil && name == "" {
			t.Error("an overlay over nothing")
		}
	})
}
