package guestinit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Layout of a swap area (mkswap, version 1).
const (
	swapPage    = 4096
	swapMagic   = "SWAPSPACE2"
	swapMaxSize = 1 << 30 // bytes, as in Qubes; the rest of the volume stays unused
	swapMinSize = 16 * swapPage
)

// swapHeader is the first page of a swap area of size bytes.
func swapHeader(size int64) ([]byte, error) {
	size = min(size, swapMaxSize)
	if size < swapMinSize {
		return nil, fmt.Errorf("%d bytes are too few", size)
	}
	h := make([]byte, swapPage)
	binary.LittleEndian.PutUint32(h[1024:], 1)
	binary.LittleEndian.PutUint32(h[1028:], uint32(size/swapPage-1)) // last page
	copy(h[swapPage-len(swapMagic):], swapMagic)
	return h, nil
}

// swapOn makes the volatile volume the VM's swap. Without the device nothing happens.
func swapOn(dev string) error {
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	h, err := swapHeader(size)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(h, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return swapon(dev)
}
