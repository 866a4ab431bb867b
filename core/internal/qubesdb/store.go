package qubesdb

import (
	"slices"
	"sort"
	"strings"
)

// How much a database holds. What the VM's side writes may fill half of it, so that dom0's
// entries always find room.
const (
	MaxEntries = 16384
	MaxBytes   = 4 << 20 // keys, values and entryCost for each
	entryCost  = 64
)

// limit bounds a database after a write.
type limit struct{ entries, bytes int }

var (
	dom0Limit = limit{MaxEntries, MaxBytes}
	vmLimit   = limit{MaxEntries / 2, MaxBytes / 2}
)

type entry struct{ key, val string }

func (e entry) cost() int { return len(e.key) + len(e.val) + entryCost }

// store is the database: entries in byte-wise order of their keys. A range that was handed
// out never changes; the next write makes a copy.
type store struct {
	entries []entry
	shared  bool // part of entries was handed out
	bytes   int
}

func (s *store) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.entries, key, func(e entry, k string) int { return strings.Compare(e.key, k) })
}

func (s *store) get(key string) (string, bool) {
	i, ok := s.find(key)
	if !ok {
		return "", false
	}
	return s.entries[i].val, true
}

// own makes the entries ours alone.
func (s *store) own() {
	if s.shared {
		s.entries = slices.Clone(s.entries)
		s.shared = false
	}
}

// set stores a checked key and value. It reports false, and changes nothing, when that
// would exceed max. A write that takes no more room than before always succeeds.
func (s *store) set(key, val string, max limit) bool {
	e := entry{key, val}
	i, ok := s.find(key)
	grow := e.cost()
	if ok {
		grow -= s.entries[i].cost()
	} else if len(s.entries) >= max.entries {
		return false
	}
	if grow > 0 && s.bytes+grow > max.bytes {
		return false
	}
	s.own()
	s.bytes += grow
	if ok {
		s.entries[i] = e
	} else {
		s.entries = slices.Insert(s.entries, i, e)
	}
	return true
}

// span is the range of entries whose keys begin with prefix.
func (s *store) span(prefix string) (int, int) {
	lo, _ := s.find(prefix)
	n := sort.Search(len(s.entries)-lo, func(i int) bool { return !strings.HasPrefix(s.entries[lo+i].key, prefix) })
	return lo, lo + n
}

// remove removes one entry, or all below a path that ends with '/'. It reports whether there
// was any.
func (s *store) remove(path string) bool {
	lo, ok := s.find(path)
	hi := lo
	if ok {
		hi++
	}
	if strings.HasSuffix(path, "/") {
		lo, hi = s.span(path)
	}
	if lo == hi {
		return false
	}
	s.own()
	for _, e := range s.entries[lo:hi] {
		s.bytes -= e.cost()
	}
	s.entries = slices.Delete(s.entries, lo, hi)
	return true
}

// list hands out the entries whose keys begin with prefix, which stay as they are now.
func (s *store) list(prefix string) []entry {
	lo, hi := s.span(prefix)
	if lo == hi {
		return nil
	}
	s.shared = true
	return s.entries[lo:hi]
}
