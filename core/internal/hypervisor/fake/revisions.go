package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"qubist/storage/volume"
)

var (
	_ volume.Reverter = (*Pool)(nil)
	_ volume.Exporter = (*Pool)(nil)
	_ volume.Clearer  = (*Pool)(nil)
	_ volume.Outdater = (*Pool)(nil)
	_ volume.Sized    = (*Pool)(nil)
)

// dirty marks a started saved volume.
func (p *Pool) dirty(id volume.ID) string { return p.path(id) + "-dirty" }

func (p *Pool) running(id volume.ID) bool {
	_, err := os.Stat(p.dirty(id))
	return err == nil
}

// commit makes tmp the content; the present one becomes the newest revision, numbered
// higher than those that are there and those in used.
func (p *Pool) commit(c volume.Config, tmp string, used ...string) error {
	old := p.revisions(c.ID)
	if c.SaveOnStop && c.RevisionsToKeep > 0 {
		next := 1
		for _, r := range append(used, old...) {
			n, _ := strconv.Atoi(r) // revisions are numbers
			next = max(next, n+1)
		}
		if err := os.Rename(p.path(c.ID), p.path(c.ID)+"."+strconv.Itoa(next)); err != nil {
			return err
		}
		old = append(old, strconv.Itoa(next))
	}
	for len(old) > max(c.RevisionsToKeep, 0) {
		if err := os.Remove(p.path(c.ID) + "." + old[0]); err != nil {
			return err
		}
		old = old[1:]
	}
	return os.Rename(tmp, p.path(c.ID))
}

// revisions lists numbers, oldest first.
func (p *Pool) revisions(id volume.ID) []string {
	files, _ := filepath.Glob(p.path(id) + ".*") // ids have no special characters
	var n []int
	for _, f := range files {
		if v, err := strconv.Atoi(strings.TrimPrefix(f, p.path(id)+".")); err == nil {
			n = append(n, v)
		}
	}
	slices.Sort(n)
	out := make([]string, len(n))
	for i, v := range n {
		out[i] = strconv.Itoa(v)
	}
	return out
}

// Revisions implements volume.Reverter.
func (p *Pool) Revisions(_ context.Context, c volume.Config) ([]string, error) {
	return p.revisions(c.ID), nil
}

// Revert implements volume.Reverter.
func (p *Pool) Revert(_ context.Context, c volume.Config, id string) error {
	if !slices.Contains(p.revisions(c.ID), id) {
		return fmt.Errorf("revision %s: %w", id, volume.ErrNotFound)
	}
	if p.running(c.ID) {
		return volume.ErrInUse
	}
	tmp := p.path(c.ID) + "~"
	if err := os.Rename(p.path(c.ID)+"."+id, tmp); err != nil {
		return err
	}
	return p.commit(volume.Config{ID: c.ID, SaveOnStop: true, RevisionsToKeep: max(c.RevisionsToKeep, 1)}, tmp, id)
}

// Export implements volume.Exporter.
func (p *Pool) Export(_ context.Context, c volume.Config) (io.ReadCloser, int64, error) {
	f, err := os.Open(p.path(c.ID))
	if err != nil {
		return nil, 0, volume.ErrNotFound
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}

// Clear implements volume.Clearer.
func (p *Pool) Clear(_ context.Context, c volume.Config, size int64) error {
	if err := p.exists(c); err != nil {
		return err
	}
	if p.running(c.ID) {
		return volume.ErrInUse
	}
	tmp := p.path(c.ID) + "~"
	err := os.WriteFile(tmp, nil, 0o600)
	if err == nil {
		err = os.Truncate(tmp, size)
	}
	if err != nil {
		return err
	}
	return p.commit(c, tmp)
}

// Outdated implements volume.Outdater.
func (p *Pool) Outdated(_ context.Context, c volume.Config) (bool, error) {
	p.mu.Lock()
	base := p.started[c.ID]
	p.mu.Unlock()
	if base == nil {
		return false, nil
	}
	now, err := os.Stat(p.path(c.Source))
	return err == nil && !os.SameFile(base, now), err
}

// Space implements volume.Sized: what is in the directory, of one TiB.
func (p *Pool) Space(context.Context) (size, used int64, err error) { return 1 << 40, 0, nil }

// copySparse copies data and leaves holes.
func copySparse(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	for pos := int64(0); ; {
		if pos, err = src.Seek(pos, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			break
		}
		end := int64(0)
		if err == nil {
			end, err = src.Seek(pos, unix.SEEK_HOLE)
		}
		if err == nil {
			_, err = io.Copy(io.NewOffsetWriter(dst, pos), io.NewSectionReader(src, pos, end-pos))
		}
		if err != nil {
			return err
		}
		pos = end
	}
	if err := dst.Truncate(st.Size()); err != nil {
		return err
	}
	return dst.Close()
}
