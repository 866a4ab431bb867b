// Package volume is the vocabulary of storage: what a volume is and what a pool can do with
// it. Pool drivers live in storage/pool and pass storage/pool/pooltest.
package volume

import (
	"context"
	"errors"
	"io"
)

var (
	// ErrNotFound: the pool has no such volume.
	ErrNotFound = errors.New("volume not found")
	// ErrInUse: the volume is started and cannot be changed now.
	ErrInUse = errors.New("volume in use")
)

// ID names a volume inside its pool, for example "appvms/work/private". It consists of
// two or three non-empty components of letters, digits, '_', '-', '.', none of them "." or "..".
type ID string

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
}

// Pool creates, starts and removes volumes. Methods may be called concurrently for
// different volumes; a crash at any point leaves the old or the new content.
type Pool interface {
	Name() string
	Driver() string
	// Create makes an empty volume. Nothing remains when it fails.
	Create(ctx context.Context, c Config) error
	// Start gives the disk to run from: the volume itself, an overlay that Stop keeps or
	// discards (SnapOnStart, SaveOnStop), or a fresh one for volatile data.
	Start(ctx context.Context, c Config) (Disk, error)
	// Stop commits or discards what Start made. It may be called on a stopped volume, and
	// after a crash of this process.
	Stop(ctx context.Context, c Config) error
	Remove(ctx context.Context, c Config) error
	// Import replaces the content by size bytes of raw image from r; the old content stays
	// until everything arrived.
	Import(ctx context.Context, c Config, r io.Reader, size int64) error
	// Clone makes dst with the stopped content of src.
	Clone(ctx context.Context, src, dst Config) error
	Resize(ctx context.Context, c Config, size int64) error
	// Usage is the number of bytes the volume occupies.
	Usage(ctx context.Context, c Config) (int64, error)
	// Verify reports whether everything Start needs is there.
	Verify(ctx context.Context, c Config) error
}
