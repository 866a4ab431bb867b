package region

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestAllocNeverOverlapsAndForgetsNothing(t *testing.T) {
	const total = 1000
	a := NewAlloc(total*PageSize + 17)
	rng := rand.New(rand.NewPCG(1, 2))
	owner := make([]int, total) // page → span number
	spans := map[int]Span{}
	used := uint32(0)
	for n := 1; n < 20000; n++ {
		if rng.IntN(2) == 0 {
			s, err := a.Take(int64(1 + rng.IntN(40*PageSize)))
			if errors.Is(err, ErrFull) {
				continue
			}
			for p := s.Page; p < s.Page+s.Pages; p++ {
				if owner[p] != 0 {
					t.Fatalf("page %d belongs to two spans", p)
				}
				owner[p] = n
			}
			spans[n], used = s, used+s.Pages
			continue
		}
		for id, s := range spans {
			a.Release(s)
			a.Release(s)
			for p := s.Page; p < s.Page+s.Pages; p++ {
				owner[p] = 0
			}
			delete(spans, id)
			used -= s.Pages
			break
		}
		if got, all := a.InUse(); got != used || all != total {
			t.Fatalf("InUse = %d of %d, want %d of %d", got, all, used, total)
		}
	}
	for _, s := range spans {
		a.Release(s)
	}
	if s, err := a.Take(total * PageSize); err != nil || s != (Span{0, total}) {
		t.Errorf("after everything came back Take of all = %v, %v", s, err)
	}
}

func TestAllocLimits(t *testing.T) {
	a := NewAlloc(3 * PageSize)
	for _, n := range []int64{0, -5, 3*PageSize + 1, 1 << 50} {
		if s, err := a.Take(n); err == nil {
			t.Errorf("Take(%d) = %v", n, s)
		}
	}
	s, err := a.Take(PageSize + 1)
	if err != nil || s.Pages != 2 || s.Offset() != 0 {
		t.Errorf("Take of a page and a byte = %v, %v", s, err)
	}
	if _, err := a.Take(2 * PageSize); !errors.Is(err, ErrFull) {
		t.Errorf("Take beyond the rest: %v", err)
	}
	if _, err := NewAlloc(PageSize - 1).Take(1); !errors.Is(err, ErrFull) {
		t.Errorf("Take from less than a page: %v", err)
	}
	a.Release(Span{})
	a.Release(Span{0, 1}) // not what was handed out
	if used, _ := a.InUse(); used != 2 {
		t.Errorf("a foreign span was released: %d pages in use", used)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("0000:00:01.0/vendor", "0x1af4\n")
	put("0000:00:01.0/device", "0x1041\n")
	put("0000:00:01.0/resource2", "x")
	if _, err := Find(dir); !errors.Is(err, ErrNoDevice) {
		t.Fatalf("Find without the device: %v", err)
	}
	put("0000:02:01.0/vendor", "0x1af4\n")
	put("0000:02:01.0/device", "0x1110\n")
	put("0000:02:01.0/resource2", "small")
	want := filepath.Join(dir, "0000:02:01.0", "resource2")
	if got, err := Find(dir); err != nil || got != want {
		t.Errorf("Find = %q, %v", got, err)
	}
	if _, _, err := Open(want); err == nil {
		t.Error("Open takes a region of less than a page")
	}
	put("0000:02:01.0/resource2_wc", string(make([]byte, 2*PageSize)))
	got, err := Find(dir)
	if err != nil || got != want+"_wc" {
		t.Errorf("Find = %q, %v", got, err)
	}
	f, size, err := Open(got)
	if err != nil || size != 2*PageSize {
		t.Fatalf("Open = %d bytes, %v", size, err)
	}
	f.Close()
}
