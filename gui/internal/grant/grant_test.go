package grant_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"qubist/gui/internal/grant"
	"qubist/gui/wire"
)

// pages grants references 10 to 19, as a file that names what was asked for.
type pages struct{ dir string }

func (p pages) Map(refs []uint32) (*os.File, error) {
	b := make([]byte, 0, len(refs))
	for _, r := range refs {
		if r < 10 || r > 19 {
			return nil, grant.ErrRefused
		}
		b = append(b, byte(r))
	}
	name := filepath.Join(p.dir, "pages")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return nil, err
	}
	return os.Open(name)
}

func TestBroker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := l.AcceptUnix()
		if err == nil {
			err = grant.Serve(conn, pages{t.TempDir()})
		}
		served <- err
	}()
	c, err := grant.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, refs := range [][]uint32{{10}, {19, 12, 12, 15}, {10, 9}, {}, make([]uint32, wire.MaxRefs+1), {11}} {
		f, err := c.Map(refs)
		if len(refs) == 0 || slices.Min(refs) < 10 {
			if !errors.Is(err, grant.ErrRefused) {
				t.Errorf("%d references: %v", len(refs), err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v: %v", refs, err)
		}
		got := make([]byte, 100)
		n, _ := f.ReadAt(got, 0)
		f.Close()
		if n != len(refs) {
			t.Errorf("%v: %d pages", refs, n)
		}
		for i, b := range got[:n] {
			if uint32(b) != refs[i] {
				t.Errorf("page %d is %d, want %d", i, b, refs[i])
			}
		}
	}
	c.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
