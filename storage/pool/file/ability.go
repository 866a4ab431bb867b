package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"qubist/storage/volume"
)

var (
	_ volume.Clearer  = (*Pool)(nil)
	_ volume.Exporter = (*Pool)(nil)
	_ volume.Outdater = (*Pool)(nil)
	_ volume.Sized    = (*Pool)(nil)
)

// Clear replaces the content by zeros.
func (p *Pool) Clear(ctx context.Context, c volume.Config, size int64) error {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := p.stopped(ctx, c.ID)
	if err == nil {
		err = p.fill(f, func(t *os.File) error { return t.Truncate(size) })
	}
	if err != nil {
		return fmt.Errorf("clearing volume %s: %w", c.ID, err)
	}
	return nil
}

// Export opens the stopped content. A started volume's is the one before the start, unless
// it changes in place. The content is a private file: what replaces it is another one, so
// only a merge into the same file must be kept away, by a link of its own.
func (p *Pool) Export(ctx context.Context, c volume.Config) (io.ReadCloser, int64, error) {
	unlock, err := p.lock(ctx, c.ID)
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	f, err := p.content(ctx, c.ID)
	if err == nil && exists(f.running) {
		err = volume.ErrInUse
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading volume %s: %w", c.ID, err)
	}
	link, err := os.CreateTemp(p.dir, "export-*")
	if err != nil {
		return nil, 0, err
	}
	link.Close()
	if err := os.Remove(link.Name()); err != nil {
		return nil, 0, err
	}
	if err := os.Link(f.img, link.Name()); err != nil {
		return nil, 0, err
	}
	t, err := os.Open(link.Name())
	var info os.FileInfo
	if err == nil {
		if info, err = t.Stat(); err != nil {
			t.Close()
		}
	}
	if err != nil {
		remove(link.Name())
		return nil, 0, err
	}
	return &export{t, link.Name()}, info.Size(), nil
}

// export is an open content that nothing changes while its link exists.
type export struct {
	*os.File
	link string
}

// Close lets the content go.
func (e *export) Close() error { return errors.Join(e.File.Close(), remove(e.link)) }

// Outdated compares what a snapshot runs from with the source's present content.
func (p *Pool) Outdated(_ context.Context, c volume.Config) (bool, error) {
	if err := c.ID.Check(); err != nil {
		return false, err
	}
	if !c.SnapOnStart || c.Source.Check() != nil {
		return false, nil
	}
	base, err := os.Stat(p.paths(c.ID).base)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := os.Stat(p.paths(c.Source).img)
	if err != nil {
		return false, err
	}
	return !os.SameFile(base, now), nil
}

// Space is that of the file system.
func (p *Pool) Space(context.Context) (size, used int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(p.dir, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: p.dir, Err: err}
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Blocks-st.Bfree) * st.Bsize, nil
}
