// Package shm opens the window region: the memory a qube's X server writes its windows
// into and ours paints them from. The daemon never maps it; the qube may change every byte
// of it at any time.
package shm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Region is an open window region.
type Region struct {
	File *os.File // read-only
	Size int64    // bytes, when it was opened
}

// maxSize is what the protocol of the X server can address in one segment.
const maxSize = 1 << 32

// Open opens the region at path for reading.
func Open(path string) (*Region, error) {
	// No link, and no pipe that nobody writes to: /dev/shm is everybody's.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the window region: %w", err)
	}
	st, err := f.Stat()
	if err == nil && (!st.Mode().IsRegular() || st.Size() == 0 || st.Size() > maxSize) {
		err = fmt.Errorf("%s is not a region: mode %s, %d bytes", path, st.Mode(), st.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening the window region: %w", err)
	}
	return &Region{f, st.Size()}, nil
}

// Close closes the file; an X server that attached it keeps it.
func (r *Region) Close() error { return r.File.Close() }
