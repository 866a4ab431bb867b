package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"qubist/storage/internal/sparse"
)

var (
	// ErrNeedsRoot: the caller is an ordinary user; a tree with real owners needs root.
	ErrNeedsRoot = errors.New("building the template needs root: the files of its root file system have many owners")
	// ErrSpace: the file system of the cache has too little room.
	ErrSpace = errors.New("not enough disk space")
	// ErrDistribution: mmdebstrap could not unpack the distribution.
	ErrDistribution = errors.New("mmdebstrap failed")

	errBusy = errors.New("another build is running")
)

// Room that a stage needs at its peak, in bytes, measured and rounded up generously.
const (
	baseSpace  = 3 << 30
	finalSpace = 1 << 30
)

// Event is one step of progress.
type Event struct {
	Elapsed time.Duration
	Text    string
}

// Builder builds one template. All fields but Refresh and Partial must be set.
type Builder struct {
	Recipe Recipe
	Assets fs.FS  // of package assets/guest
	Bin    string // directory of the guest programs
	Cache  string // directory of the results and of what later builds use again
	Etc    string // the host's /etc
	UID    int    // effective user id

	Partial bool // leave out programs that Bin does not have
	Refresh bool // build the base anew with the packages of today

	Now      func() time.Time
	Progress func(Event)

	start time.Time
	lock  *os.File
}

func (b *Builder) say(format string, args ...any) {
	b.Progress(Event{b.Now().Sub(b.start), fmt.Sprintf(format, args...)})
}

// Build brings the cache up to date and returns the directory of the finished set:
// root.img, vmlinuz, initramfs and manifest.json. What the cache has already is not built
// again. When Build fails or is interrupted, the previous set stays.
func (b *Builder) Build(ctx context.Context) (string, error) {
	b.start = b.Now()
	if b.UID != 0 {
		return "", ErrNeedsRoot
	}
	if err := tools("mmdebstrap", "mke2fs", "debugfs", "e2fsck", "apt-config", "dpkg-deb"); err != nil {
		return "", err
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	var err error
	if b.lock, err = b.await(ctx, filepath.Join(b.Cache, "lock")); err != nil {
		return "", fmt.Errorf("template cache %s: %w", b.Cache, err)
	}
	defer b.lock.Close()
	if err := sweep(b.Cache); err != nil {
		return "", err
	}
	nodes, init, err := b.contents() // before the slow stage: a missing program is told at once
	if err != nil {
		return "", err
	}
	base, err := b.base(ctx)
	if err != nil {
		return "", err
	}
	dir, err := b.final(ctx, base, nodes, init)
	if err != nil {
		return "", err
	}
	if err := b.publish(dir); err != nil {
		return "", err
	}
	b.prune(base, dir)
	return dir, nil
}

// Finish reports the finished set in dir as the last event.
func (b *Builder) Finish(dir string) { b.say("done: %s", dir) }

// tools checks that the programs exist, and names the Debian package of what is missing.
func tools(names ...string) error {
	pkg := map[string]string{"mke2fs": "e2fsprogs", "debugfs": "e2fsprogs", "e2fsck": "e2fsprogs", "apt-config": "apt", "dpkg-deb": "dpkg"}
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			p := pkg[n]
			if p == "" {
				p = n
			}
			return fmt.Errorf("program %s is missing: install the package %s", n, p)
		}
	}
	return nil
}

// await takes the lock file, after the build that has it if need be.
func (b *Builder) await(ctx context.Context, path string) (*os.File, error) {
	for told := false; ; told = true {
		f, err := lock(path)
		if !errors.Is(err, errBusy) {
			return f, err
		}
		if !told {
			b.say("another build works in %s: waiting for it", b.Cache)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Current returns the directory of the finished set if it is what Build would make. It
// changes nothing and needs no rights beyond reading.
func (b *Builder) Current() (dir string, ok bool) {
	nodes, _, err := b.contents()
	if err != nil {
		return "", false
	}
	raw, err := os.ReadFile(filepath.Join(b.Cache, "base-"+b.Recipe.Hash(), "base.json"))
	if err != nil {
		return "", false
	}
	set := "set-" + setHash(b.Recipe.Hash(), raw, nodes)
	if got, err := os.Readlink(filepath.Join(b.Cache, "current")); err != nil || got != set {
		return "", false
	}
	dir = filepath.Join(b.Cache, set)
	_, err = os.Stat(filepath.Join(dir, "manifest.json"))
	return dir, err == nil
}

// Next is what the user can do about an error of Build, "" when that is not known.
func Next(err error) string {
	switch {
	case errors.Is(err, ErrNeedsRoot):
		return "run it with sudo"
	case errors.Is(err, ErrSpace), errors.Is(err, unix.ENOSPC):
		return "make room there, or build elsewhere with --cache"
	case errors.Is(err, ErrDistribution):
		return "look at the last lines above: mostly it is the network, the sources in /etc/apt, or a full disk; then run again"
	}
	return ""
}

// lock takes the lock file of a cache. It is free again when the file is closed, in this
// process and in those that inherited it.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, err
	}
	return f, nil
}

// sweep removes what interrupted builds left. The caller holds the lock.
func sweep(cache string) error {
	left, err := filepath.Glob(filepath.Join(cache, "tmp-*"))
	if err != nil {
		return err
	}
	for _, d := range left {
		if err := removeTree(d); err != nil {
			return fmt.Errorf("removing the rest of an interrupted build: %w", err)
		}
	}
	return nil
}

// removeTree removes dir, but never through something that is mounted below it.
func removeTree(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for l := range strings.Lines(string(mounts)) {
		if f := strings.Fields(l); len(f) > 4 && strings.HasPrefix(f[4], abs+"/") {
			if err := unix.Unmount(f[4], unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmounting %s: %w", f[4], err)
			}
		}
	}
	return os.RemoveAll(dir)
}

// space checks that need bytes are free in the cache.
func (b *Builder) space(need int64) error {
	free, err := sparse.Free(b.Cache)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("%w: %s has %d MiB free, the build needs %d MiB", ErrSpace, b.Cache, free>>20, need>>20)
	}
	return nil
}

// publish points the fixed names in the cache at the finished set. One rename switches all
// of them together.
func (b *Builder) publish(dir string) error {
	rel, err := filepath.Rel(b.Cache, dir)
	if err != nil {
		return err
	}
	links := [][2]string{{rel, "current"}}
	for _, n := range setFiles {
		links = append(links, [2]string{filepath.Join("current", n), n})
	}
	for _, l := range links {
		name := filepath.Join(b.Cache, l[1])
		if got, err := os.Readlink(name); err == nil && got == l[0] {
			continue
		}
		tmp := filepath.Join(b.Cache, "tmp-link")
		os.Remove(tmp)
		if err := os.Symlink(l[0], tmp); err != nil {
			return err
		}
		if err := sparse.Replace(tmp, name); err != nil {
			return err
		}
	}
	return nil
}

// prune removes bases and sets that the next build cannot use. Failures do no harm.
func (b *Builder) prune(keep ...string) {
	for _, kind := range []string{"base", "set"} {
		old, _ := filepath.Glob(filepath.Join(b.Cache, kind+"-*"))
		for _, d := range old {
			if d != keep[0] && d != keep[1] {
				os.RemoveAll(d)
			}
		}
	}
}
