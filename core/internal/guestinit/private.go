package guestinit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Layout of the ext4 super block (kernel documentation, ext4 disk layout).
const (
	superblock     = 1024
	superMagic     = superblock + 0x38
	superBlocksLo  = superblock + 0x04
	superLogBlock  = superblock + 0x18
	superState     = superblock + 0x3A
	superBlocksHi  = superblock + 0x150
	extMagic       = 0xEF53
	stateErrors    = 2
	probeBytes     = 128 << 10 // a blank volume is recognised by this many zeros
	maxLogBlock    = 6         // 64 KiB blocks, the largest ext4 has
	privateMount   = "/rw"
	privateLabel   = "private"
	homeDir        = "/home"
	homeOnPrivate  = privateMount + "/home"
	homeUnfinished = privateMount + "/.home.new"
)

// content is what the start of a volume shows.
type content struct {
	blank  bool
	ext    bool
	errors bool   // the file system asks for a check
	bytes  uint64 // size of the file system
}

// probe looks at the first probeBytes of a volume.
func probe(head []byte) content {
	blank := true
	for _, c := range head {
		if c != 0 {
			blank = false
			break
		}
	}
	if blank || len(head) < superblock+1024 || binary.LittleEndian.Uint16(head[superMagic:]) != extMagic {
		return content{blank: blank}
	}
	log := binary.LittleEndian.Uint32(head[superLogBlock:])
	if log > maxLogBlock {
		return content{}
	}
	blocks := uint64(binary.LittleEndian.Uint32(head[superBlocksHi:]))<<32 | uint64(binary.LittleEndian.Uint32(head[superBlocksLo:]))
	return content{
		ext:    true,
		errors: binary.LittleEndian.Uint16(head[superState:])&stateErrors != 0,
		bytes:  blocks << (10 + log),
	}
}

// mountPrivate mounts the volume on /rw, formats it first if it is blank, grows the file
// system when the volume has grown, and binds /rw/home on /home. Without the device
// nothing happens.
func mountPrivate(dev string, say func(string, ...any)) error {
	f, err := os.Open(dev)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, probeBytes)
	if _, err := io.ReadFull(f, head); err != nil {
		return fmt.Errorf("reading %s: %w", dev, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	c := probe(head)
	switch {
	case c.blank:
		say("first start: formatting the private volume")
		if err := run("mkfs.ext4", "-q", "-m", "0", "-L", privateLabel, "-E", "nodiscard", dev); err != nil {
			return err
		}
	case !c.ext:
		return fmt.Errorf("%s is neither blank nor ext4", dev)
	case c.errors:
		say("the private volume was left with errors: checking it")
		if err := run("e2fsck", "-p", dev); err != nil {
			return err
		}
	}
	if err := (mount{dev, privateMount, "ext4", unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV, ""}).do(); err != nil {
		return err
	}
	if c.ext && uint64(size) >= c.bytes+64<<10 {
		say("the private volume has grown: growing its file system")
		if err := run("resize2fs", dev); err != nil {
			return err
		}
	}
	if err := seedHome(homeDir, homeOnPrivate, homeUnfinished); err != nil {
		return fmt.Errorf("first home: %w", err)
	}
	if err := os.MkdirAll(privateMount+"/config", 0o755); err != nil {
		return err
	}
	return mount{homeOnPrivate, homeDir, "", unix.MS_BIND, ""}.do()
}

// run executes a program of the root file system.
func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if name == "e2fsck" && errors.As(err, &exit) && exit.ExitCode() == 1 {
			return nil // 1: errors were corrected
		}
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// seedHome copies the template's home directories to dst unless it exists; tmp becomes dst
// by a rename, so an interrupted copy starts over.
func seedHome(src, dst, tmp string) error {
	if _, err := os.Lstat(dst); err == nil {
		return nil
	}
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	err := filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		return copyNode(p, filepath.Join(tmp, rel))
	})
	if err != nil {
		return err
	}
	return os.Rename(tmp, dst)
}

// copyNode copies one directory, file or link with owner and mode; other kinds are skipped.
func copyNode(src, dst string) error {
	info, err := os.Lstat(src)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		err = os.Mkdir(dst, 0o700)
	case fs.ModeSymlink:
		var to string
		if to, err = os.Readlink(src); err == nil {
			err = os.Symlink(to, dst)
		}
	case 0:
		var b []byte
		if b, err = os.ReadFile(src); err == nil {
			err = os.WriteFile(dst, b, 0o600)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if err := os.Lchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	return os.Chmod(dst, info.Mode().Perm())
}
