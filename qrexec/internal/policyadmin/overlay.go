package policyadmin

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// overlay is a file system in which some files have other contents, or are gone (nil).
type overlay struct {
	base  fs.FS
	files map[string][]byte
}

var (
	_ fs.ReadDirFS = (*overlay)(nil)
	_ fs.StatFS    = (*overlay)(nil)
)

// Open opens a file.
func (o *overlay) Open(name string) (fs.File, error) {
	text, ok := o.files[name]
	switch {
	case !ok:
		return o.base.Open(name)
	case text == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{memInfo{path.Base(name), int64(len(text))}, bytes.NewReader(text)}, nil
}

// Stat describes a file.
func (o *overlay) Stat(name string) (fs.FileInfo, error) {
	text, ok := o.files[name]
	switch {
	case !ok:
		return fs.Stat(o.base, name)
	case text == nil:
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return memInfo{path.Base(name), int64(len(text))}, nil
}

// ReadDir lists a directory of the base with the changes.
func (o *overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.base, name)
	if err != nil {
		return nil, err
	}
	for file, text := range o.files {
		if path.Dir(file) != name {
			continue
		}
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(file) })
		if text != nil {
			entries = append(entries, fs.FileInfoToDirEntry(memInfo{path.Base(file), int64(len(text))}))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// memInfo describes a regular file in memory.
type memInfo struct {
	name string
	size int64
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return 0o664 }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }

type memFile struct {
	info memInfo
	io.Reader
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *memFile) Close() error               { return nil }
