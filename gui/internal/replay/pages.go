package replay

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"qubist/gui/internal/grant"
	"qubist/gui/wire"
)

// pages stands in for the hypervisor's grant device: runs of references backed by memory
// files. It is used by the broker's goroutine and by the test.
type pages struct {
	mu   sync.Mutex
	runs []*run
}

type run struct {
	Grants
	file *os.File
}

var _ grant.Mapper = (*pages)(nil)

// add creates a run.
func (p *pages) add(g Grants) error {
	fd, err := unix.MemfdCreate("granted pages", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("creating memory: %w", err)
	}
	r := &run{g, os.NewFile(uintptr(fd), "granted pages")}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs = append(p.runs, r)
	if err := r.file.Truncate(int64(g.Pages) * wire.PageSize); err != nil {
		return err
	}
	return r.fill(g)
}

// change rewrites the run that starts at g.First.
func (p *pages) change(g Grants) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runs {
		if r.First == g.First {
			if g.Row == 0 {
				g.Row = r.Row
			}
			return r.fill(g)
		}
	}
	return fmt.Errorf("no pages at %d to change", g.First)
}

// most is how many bytes of a run are given a pattern; what lies behind is never shown.
const most = 16 << 20

func (r *run) fill(g Grants) error {
	b := make([]byte, min(int64(r.Pages)*wire.PageSize, most))
	for i := 0; i+4 <= len(b); i += 4 {
		v := g.Tag
		if g.Pattern == "blocks" {
			x, y := i/4%max(g.Row, 1), i/4/max(g.Row, 1)
			v = g.Tag&0xff | uint32(y/8)&0xff<<8 | uint32(x/8)&0xff<<16
		}
		binary.LittleEndian.PutUint32(b[i:], v)
	}
	_, err := r.file.WriteAt(b, 0)
	return err
}

// Map serves references that are consecutive from the start of a run, which is all that
// was recorded.
func (p *pages) Map(refs []uint32) (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(refs) == 0 {
		return nil, grant.ErrRefused
	}
	// The latest run first: references are used again.
	for i := len(p.runs) - 1; i >= 0; i-- {
		r := p.runs[i]
		if refs[0] != r.First || len(refs) > r.Pages {
			continue
		}
		for k, ref := range refs {
			if ref != r.First+uint32(k) {
				return nil, grant.ErrRefused
			}
		}
		return os.OpenFile(filepath.Join("/proc/self/fd", fmt.Sprint(r.file.Fd())), os.O_RDONLY, 0)
	}
	return nil, grant.ErrRefused
}

func (p *pages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runs {
		r.file.Close()
	}
}
