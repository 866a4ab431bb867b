package fake

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"qubist/storage/volume"
)

// Pool is storage for domains that never read it: each volume is one sparse raw file. It
// keeps revisions of saved volumes as if every run changed them.
type Pool struct {
	name, dir string

	mu      sync.Mutex
	started map[volume.ID]os.FileInfo // of snapshots: the source's content at the start
}

var _ volume.Pool = (*Pool)(nil)

// OpenPool makes a pool in dir.
func OpenPool(name, dir string) *Pool {
	return &Pool{name: name, dir: dir, started: map[volume.ID]os.FileInfo{}}
}

// Name implements volume.Pool.
func (p *Pool) Name() string { return p.name }

// Driver implements volume.Pool; it passes for the pool it stands in for.
func (p *Pool) Driver() string { return "file" }

func (p *Pool) path(id volume.ID) string {
	return filepath.Join(p.dir, filepath.FromSlash(string(id))+".img")
}

// Create implements volume.Pool.
func (p *Pool) Create(ctx context.Context, c volume.Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path(c.ID)), 0o711); err != nil {
		return err
	}
	f, err := os.OpenFile(p.path(c.ID), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(c.Size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (p *Pool) exists(c volume.Config) error {
	if _, err := os.Stat(p.path(c.ID)); err != nil {
		return fmt.Errorf("%w: %s", volume.ErrNotFound, c.ID)
	}
	return nil
}

// Start implements volume.Pool.
func (p *Pool) Start(_ context.Context, c volume.Config) (volume.Disk, error) {
	if err := p.exists(c); err != nil {
		return volume.Disk{}, err
	}
	if c.SnapOnStart {
		if st, err := os.Stat(p.path(c.Source)); err == nil {
			p.mu.Lock()
			p.started[c.ID] = st
			p.mu.Unlock()
		}
	}
	if c.SaveOnStop {
		if err := os.WriteFile(p.dirty(c.ID), nil, 0o600); err != nil {
			return volume.Disk{}, err
		}
	}
	return volume.Disk{Path: p.path(c.ID), Format: "raw"}, nil
}

// Stop implements volume.Pool.
func (p *Pool) Stop(_ context.Context, c volume.Config) error {
	p.mu.Lock()
	delete(p.started, c.ID)
	p.mu.Unlock()
	if !c.SaveOnStop {
		return nil
	}
	if err := os.Remove(p.dirty(c.ID)); err != nil {
		return nil // it was not started
	}
	tmp := p.path(c.ID) + "~"
	if err := copySparse(tmp, p.path(c.ID)); err != nil {
		return err
	}
	return p.commit(c, tmp)
}

// Remove implements volume.Pool.
func (p *Pool) Remove(_ context.Context, c volume.Config) error {
	if err := p.exists(c); err != nil {
		return err
	}
	if p.running(c.ID) {
		return volume.ErrInUse
	}
	for _, r := range p.revisions(c.ID) {
		_ = os.Remove(p.path(c.ID) + "." + r)
	}
	if err := os.Remove(p.path(c.ID)); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(p.path(c.ID))) // the last volume takes the directory along
	return nil
}

// Import implements volume.Pool.
func (p *Pool) Import(_ context.Context, c volume.Config, r io.Reader, size int64) error {
	if err := p.exists(c); err != nil {
		return err
	}
	if p.running(c.ID) {
		return volume.ErrInUse
	}
	tmp, err := os.CreateTemp(p.dir, "import-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	n, err := sparseCopy(tmp, r)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil && n != size {
		err = fmt.Errorf("got %d of %d bytes", n, size)
	}
	if err != nil {
		return err
	}
	return p.commit(c, tmp.Name())
}

// sparseCopy leaves holes where r has only zeros.
func sparseCopy(f *os.File, r io.Reader) (int64, error) {
	buf, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	var n int64
	for {
		k, err := io.ReadFull(r, buf)
		if k > 0 && !bytes.Equal(buf[:k], zero[:k]) {
			if _, werr := f.WriteAt(buf[:k], n); werr != nil {
				return n, werr
			}
		}
		n += int64(k)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return n, f.Truncate(n)
		case err != nil:
			return n, err
		}
	}
}

// Clone implements volume.Pool.
func (p *Pool) Clone(ctx context.Context, src, dst volume.Config) error {
	f, err := os.Open(p.path(src.ID))
	if err != nil {
		return fmt.Errorf("%w: %s", volume.ErrNotFound, src.ID)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := p.Create(ctx, dst); err != nil {
		return err
	}
	return p.Import(ctx, dst, f, st.Size())
}

// Resize implements volume.Pool.
func (p *Pool) Resize(_ context.Context, c volume.Config, size int64) error {
	return os.Truncate(p.path(c.ID), size)
}

// Usage implements volume.Pool.
func (p *Pool) Usage(_ context.Context, c volume.Config) (int64, error) { return 0, p.exists(c) }

// Verify implements volume.Pool.
func (p *Pool) Verify(_ context.Context, c volume.Config) error {
	if c.SnapOnStart && c.Source != "" {
		c.ID = c.Source
	}
	return p.exists(c)
}
