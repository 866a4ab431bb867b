package policyd

import (
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"syscall"
	"time"

	"qubist/qrexec/policy"
)

// settleTime is how old a file must be before its stamp is trusted to change with its
// content: clocks of file systems tick coarsely.
const settleTime = 2 * time.Second

// rules is the current policy. Everything a load touched, files, directories and names
// that were missing, is stamped; a request for the policy compares the stamps, so included
// files anywhere and replaced links are noticed without watching.
type rules struct {
	fsys fs.FS
	dirs policy.Dirs
	now  func() time.Time

	mu      sync.Mutex
	policy  *policy.Policy
	err     error
	stamps  map[string]stamp
	settled bool
}

// stamp identifies a version of a file. The zero value stands for a missing one.
type stamp struct {
	size         int64
	mode         fs.FileMode
	mtime, ctime time.Time
	dev, ino     uint64
}

func stampOf(fsys fs.FS, name string) stamp {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: info.Size(), mode: info.Mode(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.ctime = time.Unix(st.Ctim.Unix())
		s.dev, s.ino = st.Dev, st.Ino
	}
	return s
}

// get returns the policy of this moment, or why there is none.
func (r *rules) get() (*policy.Policy, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled && !r.changed() {
		return r.policy, r.err
	}
	rec := &recorder{fsys: r.fsys, stamps: map[string]stamp{}}
	start := r.now()
	r.policy, r.err = policy.Load(rec, r.dirs)
	r.stamps, r.settled = maps.Clone(rec.stamps), true
	for _, s := range r.stamps {
		if s.mtime.After(start.Add(-settleTime)) || s.ctime.After(start.Add(-settleTime)) {
			r.settled = false
		}
	}
	return r.policy, r.err
}

func (r *rules) changed() bool {
	for name, s := range r.stamps {
		if stampOf(r.fsys, name) != s {
			return true
		}
	}
	return false
}

// recorder is an fs.FS that stamps every name before it is used for the first time.
type recorder struct {
	fsys   fs.FS
	stamps map[string]stamp
}

var (
	_ fs.StatFS    = (*recorder)(nil)
	_ fs.ReadDirFS = (*recorder)(nil)
)

func (r *recorder) note(name string) {
	if _, ok := r.stamps[name]; !ok {
		r.stamps[name] = stampOf(r.fsys, name)
	}
}

// Open implements fs.FS.
func (r *recorder) Open(name string) (fs.File, error) {
	r.note(name)
	f, err := r.fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	return f, nil
}

// Stat implements fs.StatFS.
func (r *recorder) Stat(name string) (fs.FileInfo, error) {
	r.note(name)
	return fs.Stat(r.fsys, name)
}

// ReadDir implements fs.ReadDirFS.
func (r *recorder) ReadDir(name string) ([]fs.DirEntry, error) {
	r.note(name)
	return fs.ReadDir(r.fsys, name)
}
