package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Directories makes the instance's four directories and what daemons expect below them.
func (e *Env) Directories() error {
	p := e.Paths
	dirs := []struct {
		path string
		mode fs.FileMode
	}{
		{p.Lib, 0o755}, {p.Run, 0o755}, {p.Log, 0o750}, {p.Etc, 0o755},
		{p.VchanDir(), 0o750}, {filepath.Dir(p.PortSocket(0)), 0o700},
		{p.PolicyDir(), 0o755}, {filepath.Join(p.PolicyDir(), "include"), 0o755}, {p.RuntimePolicyDir(), 0o755},
	}
	for _, d := range append(p.RPCDirs(), p.RPCConfigDirs()...) {
		dirs = append(dirs, struct {
			path string
			mode fs.FileMode
		}{d, 0o755})
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return &Hint{fmt.Errorf("making %s: %w", d.path, err), "give this user the right to write there, or choose another place with --root DIR"}
		}
	}
	if n := len(p.MuxSocket(uint32(32751))); n > 107 {
		return &Hint{fmt.Errorf("socket paths below %s would have %d bytes, the limit is 107", p.Run, n), "choose a shorter --root"}
	}
	return nil
}

// InstallFiles puts default files below dst. A file that is already there is the user's
// and stays as it is.
func (e *Env) InstallFiles(src fs.FS, dst string, mode fs.FileMode) error {
	return fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dst, filepath.FromSlash(path.Clean(name)))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		content, err := fs.ReadFile(src, name)
		if err != nil {
			return err
		}
		return writeFile(to, content, mode)
	})
}
