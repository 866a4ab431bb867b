package xserver

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// An Xauthority entry that holds for every local display and host name, so that it stays
// good when the qube is renamed.
const (
	familyWild = 0xffff
	cookieName = "MIT-MAGIC-COOKIE-1"
	cookieSize = 16
)

// writeAuthority puts a new cookie into place, readable by its owner alone.
func writeAuthority(path string, owner int) error {
	cookie := make([]byte, cookieSize)
	if _, err := rand.Read(cookie); err != nil {
		return fmt.Errorf("making an x cookie: %w", err)
	}
	b := binary.BigEndian.AppendUint16(nil, familyWild)
	for _, field := range []string{"", "", cookieName, string(cookie)} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
		b = append(b, field...)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the x cookie: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".xauth-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing the x cookie: %w", err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(b)
	if err == nil && owner != os.Geteuid() {
		err = f.Chown(owner, -1)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing the x cookie: %w", err)
	}
	return nil
}
