package qubesdb

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// sockets are the two local sockets and what belongs to them.
type sockets struct {
	rw, ro *net.UnixListener
	files  []own
}

// own is a file we made, to be removed if it is still ours.
type own struct {
	path string
	info os.FileInfo
}

// listen makes the sockets, the pid file and, for dom0's own database, the links.
func (s *Server) listen() (_ *sockets, err error) {
	base := "qubesdb"
	if !s.inVM() {
		base += "." + s.cfg.Name
	}
	base = filepath.Join(s.cfg.Dir, base)
	k := &sockets{}
	defer func() {
		if err != nil {
			k.remove()
		}
	}()
	if k.rw, err = k.socket(base+".sock", s.cfg.Perms); err != nil {
		return nil, err
	}
	if k.ro, err = k.socket(base+".ro.sock", 0o666); err != nil {
		return nil, err
	}
	if s.inVM() {
		return k, nil
	}
	if err := k.pidFile(base + ".pid"); err != nil {
		return nil, err
	}
	if s.cfg.Driver == nil {
		for _, suffix := range []string{".sock", ".ro.sock"} {
			link := filepath.Join(s.cfg.Dir, "qubesdb"+suffix)
			if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, fmt.Errorf("removing a stale link: %w", err)
			}
			if err := os.Symlink(filepath.Base(base)+suffix, link); err != nil {
				return nil, fmt.Errorf("linking dom0's database: %w", err)
			}
		}
	}
	return k, nil
}

func (k *sockets) socket(path string, perms os.FileMode) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := k.add(path, perms); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (k *sockets) add(path string, perms os.FileMode) error {
	if err := os.Chmod(path, perms); err != nil {
		return fmt.Errorf("opening %s to its users: %w", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	k.files = append(k.files, own{path, info})
	return nil
}

func (k *sockets) pidFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing a stale pid file: %w", err)
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o664); err != nil {
		return fmt.Errorf("writing the pid file: %w", err)
	}
	return k.add(path, 0o664)
}

// remove takes the files away, except those somebody else has put in their place.
func (k *sockets) remove() {
	for _, f := range k.files {
		if now, err := os.Lstat(f.path); err == nil && os.SameFile(now, f.info) {
			os.Remove(f.path)
		}
	}
	for _, l := range []*net.UnixListener{k.rw, k.ro} {
		if l != nil {
			l.Close()
		}
	}
}
