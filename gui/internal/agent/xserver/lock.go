package xserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// clearLock removes the lock that an X server left which did not end in order. The server
// itself only looks whether some process has the number in the lock; after a crash of the
// VM that may be anyone. tmp and proc are normally /tmp and /proc.
func clearLock(tmp, proc, display string) error {
	lock := filepath.Join(tmp, ".X"+strings.TrimPrefix(display, ":")+"-lock")
	b, err := os.ReadFile(lock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the x server's lock: %w", err)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && isServer(proc, pid) {
		return nil // it will refuse to share the display and say so
	}
	if err := os.Remove(lock); err != nil {
		return fmt.Errorf("removing a stale x lock: %w", err)
	}
	return nil
}

// isServer reports whether pid is an X server, as far as can be seen.
func isServer(proc string, pid int) bool {
	exe, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "exe"))
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	switch strings.TrimSuffix(filepath.Base(exe), " (deleted)") {
	case "Xorg", "Xvfb":
		return true
	}
	return false
}
