package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// errOverlay is wrapped by errors about an overlay that is not as we made it.
var errOverlay = errors.New("overlay is not as it was made")

// The parts of a qcow2 header that decide which other files qemu-img opens (QEMU's
// docs/interop/qcow2).
const (
	headerRead    = 4096 // all of it lies in the first bytes of an overlay we made
	headerV3      = 104
	incompatDirty = 1 // bits of incompatible features; the others name more files or formats
	extEnd        = 0
	extFormat     = 0xE2792ACA // format of the backing file
)

// checkOverlay makes sure that the overlay at path has the backing file base, raw, and no
// other file. While the VM ran, its QEMU could write the header, and qemu-img, which runs
// with our rights, believes it: it would read or write any file of dom0.
func checkOverlay(path, base string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, headerRead)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("reading the header of %s: %w", path, err)
	}
	backing, err := parseHeader(b[:n])
	if err == nil && backing != base {
		err = fmt.Errorf("%w: backing file %.100q", errOverlay, backing)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// parseHeader returns the name of the backing file of an overlay over a raw file.
func parseHeader(b []byte) (backing string, err error) {
	u32 := func(at uint64) uint64 { return uint64(binary.BigEndian.Uint32(b[at:])) }
	if len(b) < headerV3 || string(b[:4]) != "QFI\xfb" || u32(4) != 3 {
		return "", fmt.Errorf("%w: no qcow2 header of version 3", errOverlay)
	}
	at, size := binary.BigEndian.Uint64(b[8:]), u32(16)
	length := uint64(len(b))
	switch {
	case u32(32) != 0:
		return "", fmt.Errorf("%w: it is encrypted", errOverlay)
	case binary.BigEndian.Uint64(b[72:])&^incompatDirty != 0:
		return "", fmt.Errorf("%w: incompatible features %#x", errOverlay, binary.BigEndian.Uint64(b[72:]))
	case at == 0 || size == 0 || at > length || size > length-at:
		return "", fmt.Errorf("%w: backing file name of %d bytes at %d", errOverlay, size, at)
	}
	format, err := backingFormat(b, u32(100))
	if err == nil && format != "raw" {
		err = fmt.Errorf("%w: backing file of format %.20q", errOverlay, format)
	}
	return string(b[at : at+size]), err
}

// backingFormat finds the header extension, of those that begin at next, that tells it.
func backingFormat(b []byte, next uint64) (format string, err error) {
	if next < headerV3 {
		return "", fmt.Errorf("%w: header of %d bytes", errOverlay, next)
	}
	for next+8 <= uint64(len(b)) {
		kind, size := binary.BigEndian.Uint32(b[next:]), uint64(binary.BigEndian.Uint32(b[next+4:]))
		if kind == extEnd {
			return format, nil
		}
		if next += 8; size > uint64(len(b))-next {
			break
		}
		if kind == extFormat {
			if format != "" {
				return "", fmt.Errorf("%w: two formats of the backing file", errOverlay)
			}
			format = string(b[next : next+size])
		}
		next += (size + 7) &^ 7
	}
	return "", fmt.Errorf("%w: header extensions have no end", errOverlay)
}
