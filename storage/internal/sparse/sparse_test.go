package sparse_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"qubist/storage/internal/sparse"
)

func TestCopyKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("x"), 4096)
	for _, off := range []int64{0, 10 << 20, 64<<20 - 4096} {
		if _, err := f.WriteAt(want, off); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	if err := sparse.CopyFile(context.Background(), dst, src, 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(src)
	b, _ := os.ReadFile(dst)
	if !bytes.Equal(a, b) {
		t.Error("content differs")
	}
	d1, _, err1 := sparse.Digest(src)
	d2, size, err2 := sparse.Digest(dst)
	if d1 != d2 || size != 64<<20 || err1 != nil || err2 != nil {
		t.Errorf("digests %s %s, size %d, %v, %v", d1, d2, size, err1, err2)
	}
	if n, err := sparse.Usage(dst); err != nil || n > 1<<20 {
		t.Errorf("copy occupies %d bytes (%v), want a sparse file", n, err)
	}
	if err := sparse.CopyFile(context.Background(), dst, src, 0o600); !errors.Is(err, os.ErrExist) {
		t.Errorf("copy over an existing file: %v", err)
	}
}

func TestCopyCancelledLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(src, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := sparse.CopyFile(ctx, dst, src, 0o600); err == nil {
		t.Skip("the file system shares blocks: nothing to cancel")
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a copy stayed: %v", err)
	}
}

func TestWrite(t *testing.T) {
	for _, tc := range []struct {
		name string
		data []byte
		size int64
		want error
	}{
		{"zeros", make([]byte, 1<<20), 1 << 20, nil},
		{"odd length", bytes.Repeat([]byte{1}, 70001), 70001, nil},
		{"short", []byte{1, 2}, 3, io.ErrUnexpectedEOF},
		{"missing", nil, 3, io.ErrUnexpectedEOF},
		{"longer stream", []byte{1, 2, 3}, 2, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			err = sparse.Write(context.Background(), f, bytes.NewReader(tc.data), tc.size)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err != nil {
				return
			}
			got, _ := os.ReadFile(f.Name())
			if !bytes.Equal(got, tc.data[:tc.size]) {
				t.Error("content differs")
			}
			if tc.name == "zeros" {
				if n, _ := sparse.Usage(f.Name()); n != 0 {
					t.Errorf("zeros occupy %d bytes", n)
				}
			}
		})
	}
}

// A digest tells content apart, not the way it is stored.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	digest := func(name string, size int64, writes map[int64]string) string {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Truncate(size)
		for off, s := range writes {
			if _, err := f.WriteAt([]byte(s), off); err != nil {
				t.Fatal(err)
			}
		}
		d, _, err := sparse.Digest(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	base := digest("base", 1<<20, map[int64]string{200000: "x"})
	if got := digest("zeros", 1<<20, map[int64]string{200000: "x", 0: string(make([]byte, 150000))}); got != base {
		t.Error("written zeros count")
	}
	for name, got := range map[string]string{
		"moved":  digest("moved", 1<<20, map[int64]string{200000 + 65536: "x"}),
		"longer": digest("longer", 1<<20+1, map[int64]string{200000: "x"}),
		"empty":  digest("empty", 1<<20, nil),
	} {
		if got == base {
			t.Errorf("%s: same digest", name)
		}
	}
}
