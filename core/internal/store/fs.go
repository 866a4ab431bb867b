package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is what replacing a file needs; tests break it at each step.
type FS interface {
	ReadFile(path string) ([]byte, error)
	// WriteSync writes a new or emptied file and flushes it to the disk.
	WriteSync(path string, b []byte, mode fs.FileMode) error
	Rename(from, to string) error
	// SyncDir flushes a directory's entries.
	SyncDir(dir string) error
	Remove(path string) error
}

// OS is the machine's file system.
type OS struct{}

var _ FS = OS{}

// ReadFile implements FS.
func (OS) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// WriteSync implements FS.
func (OS) WriteSync(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Replace gives path the content b: after a crash it has the old or the new content. Two
// Replace calls for one path must not run at the same time.
func Replace(fsys FS, path string, b []byte, mode fs.FileMode) error {
	tmp := path + "~"
	err := fsys.WriteSync(tmp, b, mode)
	if err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		_ = fsys.Remove(tmp) // what is left over would be overwritten next time
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	return nil
}
