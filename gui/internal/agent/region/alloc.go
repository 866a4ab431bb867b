package region

import (
	"cmp"
	"errors"
	"slices"
)

// ErrFull: no free run of pages is long enough.
var ErrFull = errors.New("window region is full")

// Span is a run of pages. The zero Span is none.
type Span struct {
	Page, Pages uint32
}

// Offset is the span's first byte in the region.
func (s Span) Offset() uint32 { return s.Page * PageSize }

// Pages returns how many pages hold n bytes.
func Pages(n int64) int64 { return (n + PageSize - 1) / PageSize }

// Alloc hands out runs of pages of a region, the lowest fit first, and joins what comes
// back. It is not safe for concurrent use.
type Alloc struct {
	free  []Span // by page; neighbours never touch
	used  map[uint32]uint32
	total uint32
}

// NewAlloc returns the book of an empty region of size bytes; a last part of a page is
// not used.
func NewAlloc(size int64) *Alloc {
	a := &Alloc{used: map[uint32]uint32{}}
	if n := min(size, MaxSize) / PageSize; n > 0 {
		a.total = uint32(n)
		a.free = []Span{{0, a.total}}
	}
	return a
}

// Take returns a span of at least n bytes, or ErrFull. n must be positive.
func (a *Alloc) Take(n int64) (Span, error) {
	want := Pages(n)
	if want < 1 || want > int64(a.total) {
		return Span{}, ErrFull
	}
	for i, s := range a.free {
		if int64(s.Pages) < want {
			continue
		}
		got := Span{s.Page, uint32(want)}
		if s.Pages == got.Pages {
			a.free = slices.Delete(a.free, i, i+1)
		} else {
			a.free[i] = Span{s.Page + got.Pages, s.Pages - got.Pages}
		}
		a.used[got.Page] = got.Pages
		return got, nil
	}
	return Span{}, ErrFull
}

// Release gives a span back. The zero Span and one that is not in use are ignored, so that
// releasing twice cannot hand the same pages to two windows.
func (a *Alloc) Release(s Span) {
	if s.Pages == 0 || a.used[s.Page] != s.Pages {
		return
	}
	delete(a.used, s.Page)
	i, _ := slices.BinarySearchFunc(a.free, s, func(f, s Span) int { return cmp.Compare(f.Page, s.Page) })
	a.free = slices.Insert(a.free, i, s)
	if i+1 < len(a.free) && s.Page+s.Pages == a.free[i+1].Page {
		a.free[i].Pages += a.free[i+1].Pages
		a.free = slices.Delete(a.free, i+1, i+2)
	}
	if i > 0 && a.free[i-1].Page+a.free[i-1].Pages == s.Page {
		a.free[i-1].Pages += a.free[i].Pages
		a.free = slices.Delete(a.free, i, i+1)
	}
}

// InUse returns the number of pages handed out and the number there are.
func (a *Alloc) InUse() (used, total uint32) {
	for _, n := range a.used {
		used += n
	}
	return used, a.total
}
