package libvirt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"qubist/core/qube"
)

// shmDir is where QEMU looks for shared memory by name.
const shmDir = "/dev/shm"

func (d *Driver) regionPrefix() string { return "qubist-" + d.instance + "-" }

func (d *Driver) regionName(xid qube.DomID) string {
	return d.regionPrefix() + strconv.FormatUint(uint64(xid), 10)
}

func (d *Driver) regionPath(xid qube.DomID) string { return filepath.Join(shmDir, d.regionName(xid)) }

// createRegion makes the file before QEMU would: QEMU's own would be readable for every
// local user, and the windows with it.
func (d *Driver) createRegion(xid qube.DomID, size uint64) (err error) {
	path := d.regionPath(xid)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("window region: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("window region: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(path)
		}
	}()
	if err := f.Truncate(int64(size)); err != nil {
		return fmt.Errorf("window region: %w", err)
	}
	if !d.system {
		return nil // QEMU runs as ourselves
	}
	gid, err := qemuGroup()
	if err != nil {
		return err
	}
	if err := f.Chown(0, gid); err != nil {
		return fmt.Errorf("window region: %w", err)
	}
	return f.Chmod(0o660)
}

func (d *Driver) removeRegion(xid qube.DomID) {
	if err := os.Remove(d.regionPath(xid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.opt.Log.Warn("removing a window region failed", "xid", xid, "err", err)
	}
}

// sweepRegions removes this instance's regions whose domain is not active.
func (d *Driver) sweepRegions(active map[qube.DomID]bool) {
	files, _ := filepath.Glob(filepath.Join(shmDir, d.regionPrefix()+"*"))
	for _, f := range files {
		n, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(f), d.regionPrefix()), 10, 32)
		if err == nil && !active[qube.DomID(n)] {
			d.removeRegion(qube.DomID(n))
		}
	}
}

// qemuGroup is the group that the system's libvirt gives to QEMU.
func qemuGroup() (int, error) {
	for _, name := range []string{"libvirt-qemu", "qemu"} {
		if g, err := user.LookupGroup(name); err == nil {
			return strconv.Atoi(g.Gid)
		}
	}
	return 0, errors.New("window region: the system has neither a group libvirt-qemu nor qemu")
}

// checkAccess finds a directory above path that QEMU's own user may not pass, which would
// otherwise show as a bare "permission denied" from libvirt.
func checkAccess(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s: QEMU runs as another user and cannot pass %s (mode %04o; allow it with chmod o+x)", path, dir, info.Mode().Perm())
		}
		if dir == "/" {
			return nil
		}
	}
}
