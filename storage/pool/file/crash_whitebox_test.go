package file

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"qubist/storage/volume"
)

// A merge that a crash interrupted is finished by whoever needs the content next, whether
// or not snapshots share the file.
func TestInterruptedMerge(t *testing.T) {
	ctx := context.Background()
	src := volume.Config{Name: "root", ID: "vm-templates/debian/root", Size: 1 << 20, RW: true, SaveOnStop: true}
	child := volume.Config{Name: "root", ID: "appvms/work/root", RW: true, SnapOnStart: true, Source: src.ID}
	for name, next := range map[string]func(p *Pool) (string, string){
		"start": func(p *Pool) (string, string) {
			d, err := p.Start(ctx, src)
			if err != nil {
				t.Fatal(err)
			}
			return d.Format, d.Path
		},
		"snapshot": func(p *Pool) (string, string) {
			d, err := p.Start(ctx, child)
			if err != nil {
				t.Fatal(err)
			}
			return d.Format, d.Path
		},
		"clone": func(p *Pool) (string, string) {
			dst := src
			dst.ID = "vm-templates/copy/root"
			if err := p.Clone(ctx, src, dst); err != nil {
				t.Fatal(err)
			}
			return "raw", filepath.Join(p.dir, "vm-templates/copy/root.img")
		},
		"stop": func(p *Pool) (string, string) {
			if err := p.Stop(ctx, src); err != nil {
				t.Fatal(err)
			}
			return "raw", filepath.Join(p.dir, "vm-templates/debian/root.img")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New("p", t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Create(ctx, src); err != nil {
				t.Fatal(err)
			}
			shared := volume.Config{Name: "root", ID: "appvms/early/root", RW: true, SnapOnStart: true, Source: src.ID}
			if _, err := p.Start(ctx, shared); err != nil {
				t.Fatal(err)
			}
			d, err := p.Start(ctx, src)
			if err != nil {
				t.Fatal(err)
			}
			qio(t, d.Format, d.Path, "write -q -P 6 0 4k")
			f := p.paths(src.ID)
			if err := os.Rename(f.dirty, f.commit); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f.tmp, []byte("half a copy"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err = New("p", p.dir) // the process starts again
			if err != nil {
				t.Fatal(err)
			}
			format, path := next(p)
			qio(t, format, path, "read -q -P 6 0 4k")
			if exists(f.commit) || exists(f.tmp) {
				t.Error("the merge left its files")
			}
		})
	}
}

func qio(t *testing.T, format, path, command string) {
	t.Helper()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("qemu-io is missing")
	}
	if out, err := exec.Command("qemu-io", "-f", format, "-c", command, path).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", command, err, out)
	}
}
