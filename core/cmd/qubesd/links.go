package main

import (
	"fmt"
	"os"
	"path/filepath"

	"qubist/core/internal/admin"
)

// linkServices makes the methods of a socket qrexec services of dom0: links with their
// names. Who may call them is policy's.
func linkServices(dir, socket string, set admin.Set) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, n := range set.Services() {
		link := filepath.Join(dir, n)
		if to, err := os.Readlink(link); err == nil && to == socket {
			continue
		}
		tmp := link + "~"
		if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
			return err
		}
		err := os.Symlink(socket, tmp)
		if err == nil {
			err = os.Rename(tmp, link)
		}
		if err != nil {
			return fmt.Errorf("making %s a service: %w", n, err)
		}
	}
	return nil
}
