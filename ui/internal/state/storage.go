package state

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Pool is a storage pool. Sizes are in bytes; 0 when the server does not tell.
type Pool struct {
	Name, Driver string
	Dir          string // of pools that are a directory
	Size, Used   uint64
	Volumes      int    // of the qubes that were asked
	Held         uint64 // what those volumes occupy
}

// Volume is a qube's volume. Sizes are in bytes.
type Volume struct {
	Owner, Name, Pool string
	Size, Used        uint64
	Keeps             bool     // what is written outlives a stop
	Fresh             bool     // begins as a copy of its source
	Source            string   // where a fresh one comes from
	Keep              int      // revisions to keep; -1 disables the volume's snapshots
	Revisions         []string // oldest first
}

// Storage is one picture of all pools and volumes.
type Storage struct {
	At          time.Time
	Pools       []Pool
	Volumes     []Volume
	NoRevisions string // why the server does not list revisions; "" when it does
	Missing     int    // qubes whose volumes could not be read
}

// VolumeOrder is what volumes are sorted by.
type VolumeOrder string

// The orders.
const (
	ByUsed  VolumeOrder = "used"
	BySize  VolumeOrder = "size"
	ByOwner VolumeOrder = "qube"
)

// Next is the order after o.
func (o VolumeOrder) Next() VolumeOrder {
	return map[VolumeOrder]VolumeOrder{ByUsed: BySize, BySize: ByOwner, ByOwner: ByUsed}[o]
}

// Sorted are the volumes that match all words of find, in order.
func (s Storage) Sorted(o VolumeOrder, find string) []Volume {
	words := strings.Fields(strings.ToLower(find))
	var out []Volume
	for _, v := range s.Volumes {
		text := strings.ToLower(v.Owner + " " + v.Name + " " + v.Pool)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b Volume) int {
		c := 0
		switch o {
		case ByUsed:
			c = cmp.Compare(b.Used, a.Used)
		case BySize:
			c = cmp.Compare(b.Size, a.Size)
		}
		return cmp.Or(c, cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Name, b.Name))
	})
	return out
}
