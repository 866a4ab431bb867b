// Package file is the storage pool of image files in a directory. Volumes are sparse raw
// files; a started volume is a qcow2 overlay over its file. It needs nothing of the file
// system but hard links, and uses shared blocks (reflink) where there are any.
//
// Files of volume a/b, all in directory a:
//
//	b.img            the stopped content
//	b~dirty.qcow2    overlay of a started volume that is kept
//	b~commit.qcow2   the same while Stop merges it: it exists until that is complete
//	b~base.img       hard link to the source's content as it was at the start
//	b~snap.qcow2     overlay over b~base.img
//	b~volatile.img   content for one run
//	b~running        a volume without revisions is started and changes in place
//	b~new            content that is being prepared
//
// Whoever finds b~commit.qcow2 finishes the merge first, so a crash costs nothing.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"qubist/storage/internal/sparse"
	"qubist/storage/volume"
)

// Pool implements volume.Pool.
type Pool struct {
	name string
	dir  string

	mu    sync.Mutex
	locks map[volume.ID]chan struct{} // held while it has an element
	dirMu sync.Mutex                  // making and removing directories
}

var _ volume.Pool = (*Pool)(nil)

// New opens the pool in dir, an absolute path, which it makes if need be. QEMU, as another
// user, must be able to pass the directories above.
func New(name, dir string) (*Pool, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("pool %s: directory %q is not absolute", name, dir)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("pool %s: %w", name, err)
	}
	return &Pool{name: name, dir: dir, locks: map[volume.ID]chan struct{}{}}, nil
}

// Name is the pool's name.
func (p *Pool) Name() string { return p.name }

// Driver is "file".
func (p *Pool) Driver() string { return "file" }

// paths are the files of one volume.
type paths struct{ img, dirty, commit, base, snap, volatile, running, tmp string }

func (p *Pool) paths(id volume.ID) paths {
	f := filepath.Join(p.dir, filepath.FromSlash(string(id)))
	return paths{f + ".img", f + "~dirty.qcow2", f + "~commit.qcow2", f + "~base.img", f + "~snap.qcow2", f + "~volatile.img", f + "~running", f + "~new"}
}

// lock checks the ids and locks their volumes, in one order for all callers.
func (p *Pool) lock(ctx context.Context, ids ...volume.ID) (unlock func(), err error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var held []chan struct{}
	unlock = func() {
		for _, l := range held {
			<-l
		}
	}
	for _, id := range ids {
		if err := id.Check(); err != nil {
			unlock()
			return nil, err
		}
		p.mu.Lock()
		l := p.locks[id]
		if l == nil {
			l = make(chan struct{}, 1)
			p.locks[id] = l
		}
		p.mu.Unlock()
		select {
		case l <- struct{}{}:
			held = append(held, l)
		case <-ctx.Done():
			unlock()
			return nil, ctx.Err()
		}
	}
	return unlock, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// started reports whether Start was called without a Stop.
func (f paths) started() bool {
	for _, x := range []string{f.dirty, f.snap, f.volatile, f.running} {
		if exists(x) {
			return true
		}
	}
	return false
}

// content checks that the volume's stopped content is there and complete.
func (p *Pool) content(ctx context.Context, id volume.ID) (paths, error) {
	f := p.paths(id)
	if !exists(f.img) {
		return f, fmt.Errorf("volume %s: %w", id, volume.ErrNotFound)
	}
	return f, p.recover(ctx, f)
}

// stopped is content of a volume that is not started.
func (p *Pool) stopped(ctx context.Context, id volume.ID) (paths, error) {
	f, err := p.content(ctx, id)
	if err == nil && f.started() {
		err = fmt.Errorf("volume %s: %w", id, volume.ErrInUse)
	}
	return f, err
}

// recover finishes what a crash interrupted.
func (p *Pool) recover(ctx context.Context, f paths) error {
	if err := remove(f.tmp); err != nil {
		return err
	}
	if exists(f.commit) {
		return merge(ctx, f)
	}
	return nil
}

// merge brings the overlay f.commit into the content. It may be repeated.
func merge(ctx context.Context, f paths) error {
	if err := checkOverlay(f.commit, filepath.Base(f.img)); err != nil {
		return err
	}
	links, err := sparse.Links(f.img)
	if err != nil {
		return err
	}
	if links == 1 {
		if err := qemuImg(ctx, "commit", "-q", "-d", "-f", "qcow2", f.commit); err != nil {
			return err
		}
		if err := sparse.Sync(f.img); err != nil {
			return err
		}
	} else { // snapshots run from it: they keep the old file
		if err := qemuImg(ctx, "convert", "-q", "-f", "qcow2", "-O", "raw", "-S", "65536", f.commit, f.tmp); err != nil {
			return err
		}
		if err := publish(f.tmp, f.img); err != nil {
			return err
		}
	}
	return removeDurably(f.commit)
}

// publish makes the complete file tmp the content img.
func publish(tmp, img string) error {
	if err := os.Chmod(tmp, 0o600); err != nil {
		return err
	}
	if err := sparse.Sync(tmp); err != nil {
		return err
	}
	return sparse.Replace(tmp, img)
}

// qemuImg runs qemu-img.
func qemuImg(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "qemu-img", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("qemu-img %s: %w: %.300s", args[0], err, out)
	}
	return nil
}

// overlay makes a qcow2 file over base, which lies in the same directory.
func overlay(ctx context.Context, f paths, base, path string) error {
	if err := remove(f.tmp); err != nil {
		return err
	}
	if err := qemuImg(ctx, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Base(base), f.tmp); err != nil {
		return err
	}
	if err := os.Chmod(f.tmp, 0o600); err != nil {
		return err
	}
	return os.Rename(f.tmp, path)
}

func remove(paths ...string) error {
	for _, f := range paths {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func removeDurably(path string) error {
	if err := remove(path); err != nil {
		return err
	}
	return sparse.Sync(filepath.Dir(path))
}

// makeFile creates path, in a directory that it makes if need be.
func (p *Pool) makeFile(path string) (*os.File, error) {
	p.dirMu.Lock()
	defer p.dirMu.Unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// prune removes the directories of f that are empty.
func (p *Pool) prune(f paths) {
	p.dirMu.Lock()
	defer p.dirMu.Unlock()
	for d := filepath.Dir(f.img); d != p.dir && os.Remove(d) == nil; d = filepath.Dir(d) {
	}
}

// fill makes the content of a volume through a temporary file that write fills.
func (p *Pool) fill(f paths, write func(*os.File) error) error {
	if err := remove(f.tmp); err != nil {
		return err
	}
	t, err := p.makeFile(f.tmp)
	if err != nil {
		return err
	}
	err = write(t)
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = publish(f.tmp, f.img)
	}
	if err != nil {
		remove(f.tmp)
		p.prune(f)
	}
	return err
}

// Import replaces the content.
func (p *Pool) Import(ctx context.Context, c volume.Config, r io.Reader, size int64) error {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := p.stopped(ctx, c.ID)
	if err != nil {
		return err
	}
	if err := p.fill(f, func(t *os.File) error { return sparse.Write(ctx, t, r, size) }); err != nil {
		return fmt.Errorf("importing volume %s: %w", c.ID, err)
	}
	return nil
}
