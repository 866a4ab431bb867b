package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"qubist/storage/internal/sparse"
	"qubist/storage/volume"
)

// Create makes an empty volume. Snapshots and volatile volumes have no content of their own
// while stopped.
func (p *Pool) Create(ctx context.Context, c volume.Config) error {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.SaveOnStop {
		return nil
	}
	f := p.paths(c.ID)
	if exists(f.img) {
		return fmt.Errorf("creating volume %s: %w", c.ID, fs.ErrExist)
	}
	if err := p.fill(f, func(t *os.File) error { return t.Truncate(c.Size) }); err != nil {
		return fmt.Errorf("creating volume %s: %w", c.ID, err)
	}
	return nil
}

// Start gives the disk to run from.
func (p *Pool) Start(ctx context.Context, c volume.Config) (volume.Disk, error) {
	ids := []volume.ID{c.ID}
	if c.SnapOnStart {
		ids = append(ids, c.Source)
	}
	unlock, err := p.lock(ctx, ids...)
	if err != nil {
		return volume.Disk{}, err
	}
	defer unlock()
	var d volume.Disk
	switch {
	case c.SnapOnStart && c.SaveOnStop:
		err = errors.New("snap_on_start and save_on_stop together are not supported")
	case c.SnapOnStart:
		d, err = p.startSnap(ctx, c)
	case c.SaveOnStop:
		d, err = p.startSaved(ctx, c)
	case c.RW:
		d, err = p.startVolatile(c)
	default:
		var f paths
		f, err = p.content(ctx, c.ID)
		d = volume.Disk{Path: f.img, Format: "raw", ReadOnly: true}
	}
	if err != nil {
		return volume.Disk{}, fmt.Errorf("starting volume %s: %w", c.ID, err)
	}
	return d, nil
}

func (p *Pool) startSaved(ctx context.Context, c volume.Config) (volume.Disk, error) {
	f, err := p.content(ctx, c.ID)
	if err != nil {
		return volume.Disk{}, err
	}
	if exists(f.dirty) { // an unclean end: the overlay is newer than the content
		return volume.Disk{Path: f.dirty, Format: "qcow2"}, nil
	}
	if c.RevisionsToKeep >= 0 {
		if err := overlay(ctx, f, f.img, f.dirty); err != nil {
			return volume.Disk{}, err
		}
		// What the guest flushes must not hang on a name that a power cut takes away.
		return volume.Disk{Path: f.dirty, Format: "qcow2"}, sparse.Sync(filepath.Dir(f.dirty))
	}
	if !exists(f.running) {
		if err := unshare(ctx, f); err != nil {
			return volume.Disk{}, err
		}
		if err := os.WriteFile(f.running, nil, 0o600); err != nil {
			return volume.Disk{}, err
		}
	}
	return volume.Disk{Path: f.img, Format: "raw"}, nil
}

// unshare gives the volume a file of its own if snapshots run from the present one.
func unshare(ctx context.Context, f paths) error {
	links, err := sparse.Links(f.img)
	if err != nil || links == 1 {
		return err
	}
	if err := sparse.CopyFile(ctx, f.tmp, f.img, 0o600); err != nil {
		return err
	}
	return publish(f.tmp, f.img)
}

func (p *Pool) startSnap(ctx context.Context, c volume.Config) (volume.Disk, error) {
	src, err := p.content(ctx, c.Source)
	if err != nil {
		return volume.Disk{}, fmt.Errorf("source: %w", err)
	}
	if exists(src.running) { // its content changes in place
		return volume.Disk{}, fmt.Errorf("source %s keeps no revisions: %w", c.Source, volume.ErrInUse)
	}
	f := p.paths(c.ID)
	if err := remove(f.base, f.snap); err != nil {
		return volume.Disk{}, err
	}
	p.dirMu.Lock()
	err = os.MkdirAll(filepath.Dir(f.base), 0o711)
	if err == nil {
		err = os.Link(src.img, f.base)
	}
	p.dirMu.Unlock()
	if err != nil {
		return volume.Disk{}, err
	}
	if err := overlay(ctx, f, f.base, f.snap); err != nil {
		remove(f.base)
		return volume.Disk{}, err
	}
	return volume.Disk{Path: f.snap, Format: "qcow2", Discardable: true}, nil
}

func (p *Pool) startVolatile(c volume.Config) (volume.Disk, error) {
	f := p.paths(c.ID)
	if err := remove(f.volatile); err != nil {
		return volume.Disk{}, err
	}
	t, err := p.makeFile(f.volatile)
	if err != nil {
		return volume.Disk{}, err
	}
	err = t.Truncate(c.Size)
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		remove(f.volatile)
	}
	return volume.Disk{Path: f.volatile, Format: "raw", Discardable: true}, err
}

// Stop keeps or discards what the run changed.
func (p *Pool) Stop(ctx context.Context, c volume.Config) error {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	f := p.paths(c.ID)
	if err := remove(f.snap, f.base, f.volatile, f.running); err != nil {
		return fmt.Errorf("stopping volume %s: %w", c.ID, err)
	}
	if !c.SaveOnStop {
		p.prune(f)
		return nil
	}
	if f, err = p.content(ctx, c.ID); err != nil {
		return fmt.Errorf("stopping volume %s: %w", c.ID, err)
	}
	if !exists(f.dirty) {
		return nil
	}
	if err := sparse.Sync(f.dirty); err != nil {
		return fmt.Errorf("stopping volume %s: %w", c.ID, err)
	}
	if err := sparse.Replace(f.dirty, f.commit); err != nil {
		return fmt.Errorf("stopping volume %s: %w", c.ID, err)
	}
	if err := merge(ctx, f); err != nil { // whoever comes next tries again
		return fmt.Errorf("stopping volume %s: %w", c.ID, err)
	}
	return nil
}

// Remove deletes a stopped volume.
func (p *Pool) Remove(ctx context.Context, c volume.Config) error {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	f := p.paths(c.ID)
	if f.started() {
		return fmt.Errorf("removing volume %s: %w", c.ID, volume.ErrInUse)
	}
	if !exists(f.img) {
		if !c.SaveOnStop {
			return nil
		}
		return fmt.Errorf("removing volume %s: %w", c.ID, volume.ErrNotFound)
	}
	// The overlay first: without it the content is the older one, without content it is nothing.
	if err := remove(f.commit, f.tmp, f.img); err != nil {
		return fmt.Errorf("removing volume %s: %w", c.ID, err)
	}
	p.prune(f)
	return nil
}

// Clone copies the stopped content of src.
func (p *Pool) Clone(ctx context.Context, src, dst volume.Config) error {
	unlock, err := p.lock(ctx, src.ID, dst.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if !dst.SaveOnStop {
		return nil
	}
	to := p.paths(dst.ID)
	if exists(to.img) {
		return fmt.Errorf("cloning to volume %s: %w", dst.ID, fs.ErrExist)
	}
	from, err := p.content(ctx, src.ID)
	if err == nil && exists(from.running) {
		err = volume.ErrInUse
	}
	if err != nil {
		return fmt.Errorf("cloning volume %s: %w", src.ID, err)
	}
	if err := remove(to.tmp); err != nil {
		return err
	}
	p.dirMu.Lock()
	err = os.MkdirAll(filepath.Dir(to.img), 0o711)
	p.dirMu.Unlock()
	if err == nil {
		err = sparse.CopyFile(ctx, to.tmp, from.img, 0o600)
	}
	if err == nil {
		err = publish(to.tmp, to.img)
	}
	if err != nil {
		remove(to.tmp)
		p.prune(to)
		return fmt.Errorf("cloning volume %s: %w", src.ID, err)
	}
	return nil
}

// Resize grows a stopped volume.
func (p *Pool) Resize(ctx context.Context, c volume.Config, size int64) error {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.SaveOnStop {
		return nil // its size is the source's, or that of the next start
	}
	f, err := p.stopped(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("resizing volume %s: %w", c.ID, err)
	}
	t, err := os.OpenFile(f.img, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("resizing volume %s: %w", c.ID, err)
	}
	defer t.Close()
	info, err := t.Stat()
	if err == nil && size < info.Size() {
		err = fmt.Errorf("%d bytes are less than the present %d: shrinking would lose data", size, info.Size())
	}
	if err == nil {
		err = t.Truncate(size)
	}
	if err == nil {
		err = t.Sync()
	}
	if err != nil {
		return fmt.Errorf("resizing volume %s: %w", c.ID, err)
	}
	return nil
}

// Usage counts the blocks of all files of the volume; what it shares with its source counts
// there.
func (p *Pool) Usage(_ context.Context, c volume.Config) (int64, error) {
	if err := c.ID.Check(); err != nil {
		return 0, err
	}
	f := p.paths(c.ID)
	var sum int64
	for _, x := range []string{f.img, f.dirty, f.commit, f.snap, f.volatile} {
		n, err := sparse.Usage(x)
		switch {
		case err == nil:
			sum += n
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		case x == f.img && c.SaveOnStop:
			return 0, fmt.Errorf("volume %s: %w", c.ID, volume.ErrNotFound)
		}
	}
	return sum, nil
}

// Verify reports whether Start can work.
func (p *Pool) Verify(_ context.Context, c volume.Config) error {
	id := c.ID
	if c.SnapOnStart {
		id = c.Source
	}
	if err := id.Check(); err != nil {
		return err
	}
	if !c.SaveOnStop && !c.SnapOnStart && c.RW {
		return nil
	}
	if !exists(p.paths(id).img) {
		return fmt.Errorf("volume %s: %w", id, volume.ErrNotFound)
	}
	return nil
}
