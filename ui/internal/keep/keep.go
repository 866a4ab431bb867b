// Package keep holds on disk what the console remembers between runs: the ledger of
// reversible changes, one file per system, replaced atomically. It decides nothing; a file
// that is not as it should be is put aside, never guessed at.
package keep

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"qubist/ui/internal/state"
)

const (
	// version is the format's.
	version = 1
	// maxFile bounds what is read, in bytes.
	maxFile = 4 << 20
)

// ErrTaken means that another console keeps the ledger of this system.
var ErrTaken = errors.New("another console keeps the undo list of this system")

// File is the ledger's file, ours until Close.
type File struct {
	path string
	lock *os.File

	mu     sync.Mutex
	serial uint64 // of the newest ledger written
}

// content is what the file holds.
type content struct {
	Version int          `json:"version"`
	System  string       `json:"system"`
	Ledger  state.Ledger `json:"ledger"`
}

// Open takes the file of the named system (its socket) in dir, which is made when it is
// missing, and reads the ledger. A file that cannot be understood is renamed to end in
// ".bad" and reported beside an empty ledger. ErrTaken: another process has it.
func Open(dir, system string) (*File, state.Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, state.Ledger{}, fmt.Errorf("making the directory of the undo list: %w", err)
	}
	sum := sha256.Sum256([]byte(system))
	f := &File{path: filepath.Join(dir, "undo-"+hex.EncodeToString(sum[:6])+".json")}
	lock, err := os.OpenFile(f.path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, state.Ledger{}, fmt.Errorf("opening the undo list: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrTaken
		}
		return nil, state.Ledger{}, fmt.Errorf("locking the undo list: %w", err)
	}
	f.lock = lock
	l, err := f.read(system)
	if err != nil {
		_ = os.Rename(f.path, f.path+".bad")
		return f, state.Ledger{}, fmt.Errorf("reading the undo list (kept as %s.bad): %w", f.path, err)
	}
	return f, l, nil
}

func (f *File) read(system string) (state.Ledger, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return state.Ledger{}, nil
	}
	if err != nil {
		return state.Ledger{}, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return state.Ledger{}, err
	}
	if len(b) > maxFile {
		return state.Ledger{}, fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	var c content
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	switch err := d.Decode(&c); {
	case err != nil:
		return state.Ledger{}, err
	case c.Version != version:
		return state.Ledger{}, fmt.Errorf("version %d, want %d", c.Version, version)
	case c.System != system:
		return state.Ledger{}, fmt.Errorf("it is of another system, %q", c.System)
	}
	return c.Ledger, nil
}

// Save writes the ledger. Calls may overlap and arrive in any order: the one with the
// highest serial stays.
func (f *File) Save(serial uint64, system string, l state.Ledger) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if serial <= f.serial {
		return nil
	}
	b, err := json.Marshal(content{version, system, l})
	if err != nil {
		return fmt.Errorf("writing the undo list: %w", err)
	}
	if err := replace(f.path, b); err != nil {
		return fmt.Errorf("writing the undo list: %w", err)
	}
	f.serial = serial
	return nil
}

// Close lets another console have the file.
func (f *File) Close() error { return f.lock.Close() }

// replace puts b in the place of path: after a crash at any moment either the old or the
// new content is there.
func replace(path string, b []byte) (err error) {
	dir := filepath.Dir(path)
	t, err := os.CreateTemp(dir, ".undo-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(t.Name())
		}
	}()
	_, err = t.Write(b)
	if err == nil {
		err = t.Sync()
	}
	if e := t.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
