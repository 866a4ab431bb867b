package logbound

import (
	"fmt"
	"os"
	"syscall"
)

// MaxFile is the length in bytes at which a log becomes the old one, of which one is kept.
const MaxFile = 4 << 20

// Open opens a log for appending, for owner and group. A long one is put aside first.
func Open(path string) (*os.File, error) {
	if st, err := os.Lstat(path); err == nil && st.Size() > MaxFile {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("putting a long log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return f, nil
}
