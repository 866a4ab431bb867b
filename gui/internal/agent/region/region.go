// Package region is the agent's side of the window region: the memory a qube shares with
// dom0 for the images of its windows. It finds and opens the region and keeps the book of
// which pages hold which image. It never maps the region: the X server writes the pixels.
package region

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PageSize is the unit of offsets in bytes.
const PageSize = 4096

// MaxSize bounds a region in bytes: offsets within it fit the 32 bits that MIT-SHM has.
const MaxSize = 1<<32 - PageSize

// The PCI numbers of QEMU's ivshmem device and the files of its memory, best first: the
// write-combining mapping is many times faster where the processor heeds the attribute.
const (
	vendor = "0x1af4"
	device = "0x1110"
)

var barFiles = []string{"resource2_wc", "resource2"}

// ErrNoDevice: this machine has no window region.
var ErrNoDevice = errors.New("no ivshmem device")

// Find returns the path of the region's memory below a sysfs PCI device folder, usually
// /sys/bus/pci/devices.
func Find(devices string) (string, error) {
	dirs, err := filepath.Glob(filepath.Join(devices, "*"))
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		if attr(dir, "vendor") != vendor || attr(dir, "device") != device {
			continue
		}
		for _, name := range barFiles {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return filepath.Join(dir, name), nil
			}
		}
	}
	return "", fmt.Errorf("looking below %s: %w", devices, ErrNoDevice)
}

func attr(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Open opens the region for reading and writing and returns its size in bytes.
func Open(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("opening the window region: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("opening the window region: %w", err)
	}
	if size := st.Size(); size < PageSize || size > MaxSize {
		f.Close()
		return nil, 0, fmt.Errorf("opening the window region: %s has %d bytes", path, size)
	}
	return f, st.Size(), nil
}
