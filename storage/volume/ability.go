package volume

import (
	"context"
	"io"
)

// What follows are abilities that a Pool may have besides; the caller asks by assertion.

// Reverter is a pool that keeps earlier contents of saved volumes.
type Reverter interface {
	// Revisions lists the ids of what is kept, oldest first.
	Revisions(ctx context.Context, c Config) ([]string, error)
	// Revert makes a revision the content of a stopped volume; the present content becomes
	// a revision. ErrNotFound: there is no such revision.
	Revert(ctx context.Context, c Config, id string) error
}

// Exporter is a pool whose volumes can be read.
type Exporter interface {
	// Export gives the stopped content as a raw image and its size in bytes. It stays the
	// same until the reader is closed, whatever happens to the volume.
	Export(ctx context.Context, c Config) (io.ReadCloser, int64, error)
}

// Clearer is a pool that can empty a volume without being sent zeros.
type Clearer interface {
	// Clear replaces the content of a stopped saved volume by size zero bytes.
	Clear(ctx context.Context, c Config, size int64) error
}

// Outdater is a pool that can tell whether a snapshot is behind its source.
type Outdater interface {
	// Outdated reports whether the source of a started snapshot has newer content; false
	// for all other volumes.
	Outdated(ctx context.Context, c Config) (bool, error)
}

// Sized is a pool that knows its capacity.
type Sized interface {
	// Space is the pool's size and how much of it is occupied, in bytes.
	Space(ctx context.Context) (size, used int64, err error)
}
