package filecopy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/filecopy/wire"
)

// Dir is the directory that a stream is unpacked into. It is held open, so that moving it
// does not lead the unpacker elsewhere.
type Dir struct {
	fd   int
	proc int // /proc/self/fd, opened before the process is confined
}

// OpenDir opens a directory that exists.
func OpenDir(path string) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", path, err)
	}
	proc, err := unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening /proc/self/fd: %w", err)
	}
	return &Dir{fd, proc}, nil
}

// Path names the open directory itself, wherever it is moved.
func (d *Dir) Path() string { return "/proc/self/fd/" + strconv.Itoa(d.fd) }

// Close closes the directory.
func (d *Dir) Close() error { return errors.Join(unix.Close(d.fd), unix.Close(d.proc)) }

// Free is the room that an ordinary user has on the directory's file system, in bytes.
func (d *Dir) Free() (uint64, error) { return d.free() }

func (d *Dir) free() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func (d *Dir) sync() error { return unix.Syncfs(d.fd) }

// tree makes entries below a Dir. Names have passed wire.Rules: relative, no "." or "..".
type tree struct {
	*Dir
	unnamed bool // a file was made without a name: the file system can
	byProc  bool // the kernel wants files named through /proc
}

const openDirFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// parent opens the directory that name lies in, without following a link anywhere, and
// gives the last component. done must be called.
func (t *tree) parent(name []byte) (fd int, base string, done func(), err error) {
	i := bytes.LastIndexByte(name, '/')
	if i < 0 {
		return t.fd, string(name), func() {}, nil
	}
	how := unix.OpenHow{Flags: openDirFlags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err = unix.Openat2(t.fd, string(name[:i]), &how)
	if err != nil {
		// Step by step, to name the component at fault, or because the kernel has only that.
		fd, err = t.walk(name[:i])
	}
	if err != nil {
		return 0, "", nil, err
	}
	return fd, string(name[i+1:]), func() { unix.Close(fd) }, nil
}

// walk opens dir one component at a time.
func (t *tree) walk(dir []byte) (int, error) {
	at := t.fd
	for rest, more := dir, true; more; {
		var c []byte
		c, rest, more = bytes.Cut(rest, []byte{'/'})
		next, err := openat(at, string(c), openDirFlags, 0)
		if at != t.fd {
			unix.Close(at)
		}
		if err != nil {
			return -1, &failure{code: codeOf(err), name: append([]byte{}, c...)}
		}
		at = next
	}
	return at, nil
}

func openat(at int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// file is a regular file that is being received.
type file struct {
	t      *tree
	dir    int
	base   string
	done   func()
	fd     int
	named  bool // it has its name already (no O_TMPFILE here)
	public bool // it may stay
}

// create opens an unnamed file in name's directory. Where the file system has none, the
// file has its name from the start, but no permissions until it is complete.
func (t *tree) create(name []byte) (*file, error) {
	dir, base, done, err := t.parent(name)
	if err != nil {
		return nil, err
	}
	f := &file{t: t, dir: dir, base: base, done: done}
	f.fd, err = openat(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o700)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		f.named = true
		f.fd, err = openat(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		done()
		return nil, err
	}
	return f, nil
}

func (f *file) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(f.fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// publish gives the complete file its permissions, times and name, in this order. With
// malformed times the file is published with neither.
func (f *file) publish(h wire.Header) error {
	if err := f.finish(h); err != nil {
		return err
	}
	return f.link(h)
}

// finish sets permissions and times.
func (f *file) finish(h wire.Header) error {
	if !h.TimesValid() {
		return nil
	}
	return setAttributes(f.fd, h)
}

// link gives the file its name.
func (f *file) link(h wire.Header) error {
	if !f.named {
		if err := f.t.name(f); err != nil {
			return err
		}
		f.t.unnamed = true
	}
	f.public = true
	if !h.TimesValid() {
		return errTimes
	}
	return nil
}

// name links an unnamed file. Kernels before 6.10 let only the privileged do it without
// /proc, and say that there is no such file.
func (t *tree) name(f *file) error {
	if !t.byProc {
		err := unix.Linkat(f.fd, "", f.dir, f.base, unix.AT_EMPTY_PATH)
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
		t.byProc = true
	}
	return unix.Linkat(t.proc, strconv.Itoa(f.fd), f.dir, f.base, unix.AT_SYMLINK_FOLLOW)
}

func (f *file) close() {
	unix.Close(f.fd)
	if f.named && !f.public {
		_ = unix.Unlinkat(f.dir, f.base, 0) // what is left of a partial file has no permissions anyhow
	}
	f.done()
}

// setAttributes sets times and then permissions of the open file fd.
func setAttributes(fd int, h wire.Header) error {
	ts := []unix.Timespec{
		{Sec: int64(h.Atime), Nsec: int64(h.AtimeNsec)},
		{Sec: int64(h.Mtime), Nsec: int64(h.MtimeNsec)},
	}
	if err := unix.UtimesNanoAt(fd, "", ts, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Fchmod(fd, h.Perm())
}

// mkdir makes a directory, or completes one that exists: the second message of a
// directory sets its permissions and times. It returns the directory's size in bytes.
func (t *tree) mkdir(name []byte, h wire.Header) (uint64, error) {
	dir, base, done, err := t.parent(name)
	if err != nil {
		return 0, err
	}
	defer done()
	err = unix.Mkdirat(dir, base, 0o700)
	if err == nil {
		return 0, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return 0, err
	}
	fd, err := openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if !h.TimesValid() {
		return 0, errTimes
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	return uint64(st.Size), setAttributes(fd, h)
}

func (t *tree) symlink(name, target []byte) error {
	dir, base, done, err := t.parent(name)
	if err != nil {
		return err
	}
	defer done()
	return unix.Symlinkat(string(target), dir, base)
}
