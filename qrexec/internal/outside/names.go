package outside

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"qubist/core/qube"
)

// Names say where the daemon's local socket is.
type Names struct {
	Dir  string
	XID  qube.DomID
	Name qube.Name
	UUID string // without "uuid:"
}

// paths are the socket and its two links.
func (n Names) paths() (base string, all []string) {
	base = fmt.Sprintf("qrexec.%d", n.XID)
	at := func(name string) string { return filepath.Join(n.Dir, name) }
	return base, []string{at(base), at("qrexec." + string(n.Name)), at("qrexec.uuid:" + n.UUID)}
}

// offer is the local socket under its names.
type offer struct {
	l     *net.UnixListener
	raw   syscall.RawConn
	self  os.FileInfo
	paths []string
}

// offer makes the socket and its links, replacing what an earlier daemon left. Whoever can
// connect can run commands in the VM: owner and group, nobody else.
func (n Names) offer() (*offer, error) {
	base, paths := n.paths()
	removeAll(paths)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: paths[0], Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	o := &offer{l: l, paths: paths}
	err = os.Chmod(paths[0], 0o660)
	if err == nil {
		o.self, err = os.Lstat(paths[0])
	}
	if err == nil {
		o.raw, err = l.SyscallConn()
	}
	for _, link := range paths[1:] {
		err = errors.Join(err, os.Symlink(base, link))
	}
	if err != nil {
		l.Close()
		removeAll(paths)
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	return o, nil
}

// withdraw removes the names, unless a successor has taken them. Our end pins the inode, so
// its number cannot have been used again. A nil offer is none.
func (o *offer) withdraw() {
	if o == nil {
		return
	}
	if now, err := os.Lstat(o.paths[0]); err == nil && os.SameFile(o.self, now) {
		removeAll(o.paths)
	}
	o.l.Close()
}

func removeAll(paths []string) {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue // a directory in the way: listening will fail and say so
		}
	}
}
