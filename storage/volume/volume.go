// Package volume is the vocabulary of storage: what a volume is and what a pool can do with
// it. Pool drivers live in storage/pool and pass storage/pool/pooltest.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	// ErrNotFound: the pool has no such volume.
	ErrNotFound = errors.New("volume not found")
	// ErrInUse: the volume is started and cannot be changed now.
	ErrInUse = errors.New("volume in use")
	// ErrID is wrapped by every error of ID.Check.
	ErrID = errors.New("invalid volume id")
)

// ID names a volume inside its pool, for example "appvms/work/private". It consists of
// two or three non-empty components of letters, digits, '_', '-', '.', none of them "." or "..".
type ID string

// maxID is the longest ID in bytes.
const maxID = 200

// Check reports what is wrong with an ID that came from elsewhere. Pools check every ID.
func (id ID) Check() error {
	if len(id) > maxID {
		return fmt.Errorf("%w: %d bytes, want at most %d", ErrID, len(id), maxID)
	}
	parts := strings.Split(string(id), "/")
	if len(parts) != 2 && len(parts) != 3 {
		return fmt.Errorf("%w %q: want two or three components", ErrID, id)
	}
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return fmt.Errorf("%w %q: bad component %q", ErrID, id, p)
		}
		for _, c := range []byte(p) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
				return fmt.Errorf("%w %q: letters, digits, '_', '-' and '.' only", ErrID, id)
			}
		}
	}
	return nil
}

// Config is the durable description of one volume of a qube (spec storage-network-memory.md §1).
type Config struct {
	Name            string // root, private, volatile, kernel
	Pool            string
	ID              ID
	Size            int64 // bytes
	RW              bool
	SaveOnStop      bool
	SnapOnStart     bool
	Source          ID // of the same pool; "" for none
	RevisionsToKeep int
}

// Disk is a started volume, ready for the hypervisor.
type Disk struct {
	Path     string
	Format   string // qcow2 or raw
	ReadOnly bool
	// Discardable content is gone after Stop, so that flushing it is needless.
	Discardable bool
}

// Pool creates, starts and removes volumes. Methods may be called concurrently for
// different volumes; a crash at any point leaves the old or the new content.
type Pool interface {
	Name() string
	Driver() string
	// Create makes an empty volume. Nothing remains when it fails.
	Create(ctx context.Context, c Config) error
	// Start gives the disk to run from: the volume itself, an overlay that Stop keeps or
	// discards (SaveOnStop, SnapOnStart), or a fresh one for volatile data. What a crash of
	// the host left of a SaveOnStop volume is continued, not lost. Domains that run from
	// snapshots of a volume keep the content they started with.
	Start(ctx context.Context, c Config) (Disk, error)
	// Stop commits or discards what Start made. It may be called on a stopped volume, and
	// after a crash of this process.
	Stop(ctx context.Context, c Config) error
	// Remove deletes a stopped volume. Domains that run from its snapshots go on.
	Remove(ctx context.Context, c Config) error
	// Import replaces the content by size bytes of raw image from r; the old content stays
	// until everything arrived. The volume must exist and be stopped.
	Import(ctx context.Context, c Config, r io.Reader, size int64) error
	// Clone makes dst, which must not exist, with the stopped content of src. A started src
	// is allowed if the pool keeps its stopped content apart, else ErrInUse.
	Clone(ctx context.Context, src, dst Config) error
	// Resize grows a stopped volume; shrinking is an error, it would lose data.
	Resize(ctx context.Context, c Config, size int64) error
	// Usage is the number of bytes the volume occupies.
	Usage(ctx context.Context, c Config) (int64, error)
	// Verify reports whether everything Start needs is there.
	Verify(ctx context.Context, c Config) error
}
