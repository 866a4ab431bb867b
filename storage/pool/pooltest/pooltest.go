// Package pooltest is the conformance suite of storage pools. A driver's test passes a
// constructor; the suite acts as the guest by reading and writing the started disks with
// qemu-io.
package pooltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"qubist/storage/volume"
)

const size = 8 << 20

// Open gives a pool over dir; called again for the same dir, it is the pool after a crash
// of the process.
type Open func(t *testing.T, dir string) volume.Pool

// Run checks the pool that open makes.
func Run(t *testing.T, open Open) {
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("qemu-io is missing: nobody can act as the guest")
	}
	for _, tc := range []struct {
		name string
		f    func(*testing.T, *suite)
	}{
		{"saved volume keeps what a run wrote", saved},
		{"snapshot is discarded", snapshot},
		{"snapshots keep their content while the source changes", isolation},
		{"volatile volume is fresh", volatile},
		{"read-only volume", readOnly},
		{"volume without revisions", inPlace},
		{"crash of the process", crash},
		{"import", imports},
		{"clone", clone},
		{"resize", resize},
		{"missing volumes", missing},
		{"bad ids", badIDs},
		{"concurrent use", concurrent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &suite{t: t, open: open, dir: t.TempDir()}
			s.p = open(t, s.dir)
			tc.f(t, s)
		})
	}
}

type suite struct {
	t    *testing.T
	open Open
	dir  string
	p    volume.Pool
}

var ctx = context.Background()

func save(id volume.ID) volume.Config {
	return volume.Config{Name: "root", ID: id, Size: size, RW: true, SaveOnStop: true, RevisionsToKeep: 1}
}

func snap(id, source volume.ID) volume.Config {
	return volume.Config{Name: "root", ID: id, Size: size, RW: true, SnapOnStart: true, Source: source}
}

func (s *suite) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) want(err, target error) {
	s.t.Helper()
	if !errors.Is(err, target) {
		s.t.Errorf("error %v, want %v", err, target)
	}
}

func (s *suite) start(c volume.Config) volume.Disk {
	s.t.Helper()
	d, err := s.p.Start(ctx, c)
	s.ok(err)
	return d
}

// io runs one qemu-io command on a started disk.
func (s *suite) io(d volume.Disk, command string) error {
	args := []string{"-f", d.Format, "-c", command}
	if d.ReadOnly {
		args = append([]string{"-r"}, args...)
	}
	out, err := exec.Command("qemu-io", append(args, d.Path)...).CombinedOutput()
	if err == nil && strings.Contains(string(out), "verification failed") {
		err = errors.New("content differs")
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

func (s *suite) write(d volume.Disk, pattern byte, offset int) {
	s.t.Helper()
	s.ok(s.io(d, fmt.Sprintf("write -q -P %d %d 4k", pattern, offset)))
}

func (s *suite) read(d volume.Disk, pattern byte, offset int) {
	s.t.Helper()
	if err := s.io(d, fmt.Sprintf("read -q -P %d %d 4k", pattern, offset)); err != nil {
		s.t.Errorf("want pattern %d at %d: %v", pattern, offset, err)
	}
}

// run starts c, writes one pattern and stops it.
func (s *suite) run(c volume.Config, pattern byte, offset int) {
	s.t.Helper()
	s.write(s.start(c), pattern, offset)
	s.ok(s.p.Stop(ctx, c))
}

// check starts c, expects one pattern and stops it.
func (s *suite) check(c volume.Config, pattern byte, offset int) {
	s.t.Helper()
	s.read(s.start(c), pattern, offset)
	s.ok(s.p.Stop(ctx, c))
}

func saved(t *testing.T, s *suite) {
	c := save("appvms/work/private")
	s.ok(s.p.Create(ctx, c))
	if err := s.p.Create(ctx, c); err == nil {
		t.Error("a volume was created twice")
	}
	s.ok(s.p.Verify(ctx, c))
	s.check(c, 0, 0)
	s.run(c, 1, 0)
	s.run(c, 2, 65536)
	s.check(c, 1, 0)
	s.check(c, 2, 65536)
	s.ok(s.p.Stop(ctx, c))
	if n, err := s.p.Usage(ctx, c); err != nil || n == 0 || n > size/2 {
		t.Errorf("usage %d, %v", n, err)
	}
	s.start(c)
	s.want(s.p.Remove(ctx, c), volume.ErrInUse)
	s.ok(s.p.Stop(ctx, c))
	s.ok(s.p.Remove(ctx, c))
	s.want(s.p.Verify(ctx, c), volume.ErrNotFound)
	s.ok(s.p.Create(ctx, c))
	s.check(c, 0, 0)
}

func snapshot(t *testing.T, s *suite) {
	src, c := save("vm-templates/debian/root"), snap("appvms/work/root", "vm-templates/debian/root")
	s.ok(s.p.Create(ctx, src))
	s.run(src, 7, 0)
	s.ok(s.p.Create(ctx, c))
	s.ok(s.p.Verify(ctx, c))
	d := s.start(c)
	if !d.Discardable {
		t.Error("the disk of a snapshot is not discardable")
	}
	s.read(d, 7, 0)
	s.write(d, 8, 0)
	s.ok(s.p.Stop(ctx, c))
	s.check(c, 7, 0)
	s.check(src, 7, 0)
	s.ok(s.p.Remove(ctx, c))
}

func isolation(t *testing.T, s *suite) {
	src := save("vm-templates/debian/root")
	one, two, three := snap("appvms/one/root", src.ID), snap("appvms/two/root", src.ID), snap("appvms/three/root", src.ID)
	s.ok(s.p.Create(ctx, src))
	s.run(src, 1, 0)
	d1 := s.start(one)
	ds := s.start(src)
	s.write(ds, 2, 0)
	d2 := s.start(two) // the template runs: two sees its last stop
	s.read(d2, 1, 0)
	s.ok(s.p.Stop(ctx, src))
	s.read(d1, 1, 0)
	s.read(d2, 1, 0)
	s.read(s.start(three), 2, 0)
	s.run(src, 3, 0) // again, with runners from two generations
	s.read(d1, 1, 0)
	s.ok(s.p.Remove(ctx, src))
	s.read(d1, 1, 0)
	for _, c := range []volume.Config{one, two, three} {
		s.ok(s.p.Stop(ctx, c))
	}
	_, err := s.p.Start(ctx, one)
	s.want(err, volume.ErrNotFound)
}

func volatile(t *testing.T, s *suite) {
	c := volume.Config{Name: "volatile", ID: "appvms/work/volatile", Size: size, RW: true}
	s.ok(s.p.Create(ctx, c))
	s.ok(s.p.Verify(ctx, c))
	d := s.start(c)
	s.read(d, 0, size-4096)
	s.write(d, 5, 0)
	s.read(s.start(c), 0, 0) // what a crash left is not used
	s.ok(s.p.Stop(ctx, c))
	s.ok(s.p.Stop(ctx, c))
	s.check(c, 0, 0)
	s.ok(s.p.Remove(ctx, c))
}

func readOnly(t *testing.T, s *suite) {
	c := save("vm-kernels/modules")
	s.ok(s.p.Create(ctx, c))
	s.run(c, 4, 0)
	c.RW, c.SaveOnStop = false, false
	d := s.start(c)
	if !d.ReadOnly {
		t.Error("the disk is writable")
	}
	s.read(d, 4, 0)
	s.ok(s.p.Stop(ctx, c))
}

func inPlace(t *testing.T, s *suite) {
	c := save("appvms/work/private")
	c.RevisionsToKeep = -1
	child := snap("appvms/child/private", c.ID)
	s.ok(s.p.Create(ctx, c))
	s.run(c, 1, 0)
	old := s.start(child)
	s.write(s.start(c), 2, 0)
	s.read(old, 1, 0)
	_, err := s.p.Start(ctx, snap("appvms/other/private", c.ID))
	s.want(err, volume.ErrInUse)
	s.want(s.p.Clone(ctx, c, save("appvms/copy/private")), volume.ErrInUse)
	s.ok(s.p.Stop(ctx, c))
	s.ok(s.p.Stop(ctx, child))
	s.check(c, 2, 0)
}

func crash(t *testing.T, s *suite) {
	c := save("appvms/work/private")
	s.ok(s.p.Create(ctx, c))
	s.write(s.start(c), 1, 0)
	s.p = s.open(t, s.dir)
	s.want(s.p.Remove(ctx, c), volume.ErrInUse)
	s.read(s.start(c), 1, 0) // continued
	s.write(s.start(c), 2, 65536)
	s.p = s.open(t, s.dir)
	s.ok(s.p.Stop(ctx, c))
	s.check(c, 1, 0)
	s.check(c, 2, 65536)
}

func imports(t *testing.T, s *suite) {
	c := save("vm-templates/debian/root")
	img := bytes.Repeat([]byte{9}, 4096)
	img = append(img, make([]byte, 3<<20)...)
	s.want(s.p.Import(ctx, c, bytes.NewReader(img), int64(len(img))), volume.ErrNotFound)
	s.ok(s.p.Create(ctx, c))
	s.run(c, 1, 0)
	child := snap("appvms/work/root", c.ID)
	d := s.start(child)
	s.want(s.p.Import(ctx, c, bytes.NewReader(img[:9999]), int64(len(img))), io.ErrUnexpectedEOF)
	broken := errors.New("broken")
	s.want(s.p.Import(ctx, c, io.MultiReader(bytes.NewReader(img[:9999]), failing{broken}), int64(len(img))), broken)
	s.check(c, 1, 0)
	s.ok(s.p.Import(ctx, c, bytes.NewReader(img), int64(len(img))))
	s.read(d, 1, 0)
	s.ok(s.p.Stop(ctx, child))
	s.check(c, 9, 0)
	s.check(c, 0, 4096)
	if n, err := s.p.Usage(ctx, c); err != nil || n > 1<<20 {
		t.Errorf("usage %d, %v: zeros were stored", n, err)
	}
	s.start(c)
	s.want(s.p.Import(ctx, c, bytes.NewReader(img), int64(len(img))), volume.ErrInUse)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func clone(t *testing.T, s *suite) {
	src, dst := save("appvms/work/private"), save("appvms/copy/private")
	s.ok(s.p.Create(ctx, src))
	s.run(src, 1, 0)
	s.write(s.start(src), 2, 0) // not stopped: not in the copy
	s.ok(s.p.Clone(ctx, src, dst))
	if err := s.p.Clone(ctx, src, dst); err == nil {
		t.Error("a clone replaced an existing volume")
	}
	s.check(dst, 1, 0)
	s.run(dst, 3, 0)
	s.ok(s.p.Stop(ctx, src))
	s.check(src, 2, 0)
	s.check(dst, 3, 0)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.p.Clone(cancelled, src, save("appvms/none/private")); err == nil {
		t.Error("a cancelled clone succeeded")
	}
	s.want(s.p.Verify(ctx, save("appvms/none/private")), volume.ErrNotFound)
}

func resize(t *testing.T, s *suite) {
	c := save("appvms/work/private")
	s.ok(s.p.Create(ctx, c))
	s.run(c, 1, 0)
	if err := s.p.Resize(ctx, c, size/2); err == nil {
		t.Error("a volume was shrunk")
	}
	s.ok(s.p.Resize(ctx, c, 2*size))
	s.check(c, 1, 0)
	s.run(c, 2, 2*size-4096)
	s.check(c, 2, 2*size-4096)
	s.start(c)
	s.want(s.p.Resize(ctx, c, 3*size), volume.ErrInUse)
}

func missing(t *testing.T, s *suite) {
	c := save("appvms/none/private")
	_, err := s.p.Start(ctx, c)
	s.want(err, volume.ErrNotFound)
	_, err = s.p.Start(ctx, snap("appvms/x/root", "vm-templates/none/root"))
	s.want(err, volume.ErrNotFound)
	_, err = s.p.Usage(ctx, c)
	s.want(err, volume.ErrNotFound)
	s.want(s.p.Stop(ctx, c), volume.ErrNotFound)
	s.want(s.p.Remove(ctx, c), volume.ErrNotFound)
	s.want(s.p.Clone(ctx, c, save("appvms/y/private")), volume.ErrNotFound)
	s.want(s.p.Resize(ctx, c, size), volume.ErrNotFound)
	s.want(s.p.Verify(ctx, snap("appvms/x/root", "vm-templates/none/root")), volume.ErrNotFound)
}

func badIDs(t *testing.T, s *suite) {
	for _, id := range []volume.ID{"", "one", "/a/b", "a/b/", "a//b", "../a", "a/..", "a/./b", "a/b/c/d", "a/b\n", "a/b~dirty", "a/\x00", "ä/b",
		volume.ID("a/" + strings.Repeat("b", 300))} {
		c := save(id)
		s.want(s.p.Create(ctx, c), volume.ErrID)
		_, err := s.p.Start(ctx, c)
		s.want(err, volume.ErrID)
		_, err = s.p.Start(ctx, snap("appvms/a/root", id))
		s.want(err, volume.ErrID)
		s.want(s.p.Stop(ctx, c), volume.ErrID)
		s.want(s.p.Remove(ctx, c), volume.ErrID)
		s.want(s.p.Import(ctx, c, strings.NewReader("x"), 1), volume.ErrID)
		s.want(s.p.Clone(ctx, save("a/b"), c), volume.ErrID)
		s.want(s.p.Clone(ctx, c, save("a/b")), volume.ErrID)
		s.want(s.p.Resize(ctx, c, 1), volume.ErrID)
		_, err = s.p.Usage(ctx, c)
		s.want(err, volume.ErrID)
		s.want(s.p.Verify(ctx, c), volume.ErrID)
	}
}

// Many qubes start from one template while it is committed.
func concurrent(t *testing.T, s *suite) {
	src := save("vm-templates/debian/root")
	s.ok(s.p.Create(ctx, src))
	s.run(src, 1, 0)
	var wg sync.WaitGroup
	for i := range 6 {
		c := snap(volume.ID(fmt.Sprintf("appvms/vm%d/root", i)), src.ID)
		wg.Go(func() {
			for range 3 {
				if _, err := s.p.Start(ctx, c); err != nil {
					t.Error(err)
				}
				if err := s.p.Stop(ctx, c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if _, err := s.p.Start(ctx, src); err != nil {
				t.Error(err)
			}
			if err := s.p.Stop(ctx, src); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	s.check(src, 1, 0)
}
