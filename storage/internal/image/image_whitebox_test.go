package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"qubist/assets/guest"
	"qubist/assets/recipe"
)

func TestHostSources(t *testing.T) {
	const deb822 = `# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg
`
	for _, tc := range []struct {
		name  string
		files map[string]string
		list  string
		want  int // stanzas
	}{
		{"nothing", nil, "", 0},
		{"deb822", map[string]string{"sources.list.d/debian.sources": deb822}, "", 1},
		{"other distribution", map[string]string{"sources.list.d/debian.sources": strings.ReplaceAll(deb822, "bookworm", "trixie")}, "", 0},
		{"mixed suites", map[string]string{"sources.list.d/x.sources": strings.Replace(deb822, "bookworm-updates", "sid", 1)}, "", 0},
		{"disabled", map[string]string{"sources.list.d/x.sources": deb822 + "Enabled: no\n"}, "", 0},
		{"third party", map[string]string{"sources.list.d/x.sources": strings.Replace(deb822, "main contrib", "stable", 1)}, "", 0},
		{"disabled file", map[string]string{"sources.list.d/x.sources.off": deb822}, "", 0},
		{"two stanzas", map[string]string{"sources.list.d/x.sources": deb822 + "\n" + strings.Replace(deb822, "bookworm bookworm-updates", "bookworm-security", 1)}, "", 2},
		{"one-line", map[string]string{"sources.list": "deb http://m/debian bookworm main\n# deb http://m bookworm main\ndeb-src http://m/debian bookworm main\n" +
			"deb [ arch=amd64 signed-by=/k ] http://m/security bookworm-security main # x\ndeb https://other stable main\n"},
			"deb http://m/debian bookworm main\ndeb [ arch=amd64 signed-by=/k ] http://m/security bookworm-security main # x\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			etc := t.TempDir()
			os.MkdirAll(filepath.Join(etc, "apt/sources.list.d"), 0o755)
			for n, s := range tc.files {
				if err := os.WriteFile(filepath.Join(etc, "apt", n), []byte(s), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			list, stanzas := hostSources(etc, "bookworm")
			if list != tc.list || strings.Count(stanzas, "URIs:") != tc.want {
				t.Errorf("list %q\nstanzas %q", list, stanzas)
			}
		})
	}
}

func TestAptOptions(t *testing.T) {
	got := aptOptions("APT \"\";\nAcquire \"\";\nAcquire::http::Proxy \"http://p:3128/\";\nAcquire::Check-Valid-Until \"false\";\nacquire::ForceIPv4 \"true\";\nAcquire::http::Empty \"\";\nDPkg::Post-Invoke:: \"rm -rf /\";\n")
	want := []string{`Acquire::http::Proxy "http://p:3128/"`, `Acquire::Check-Valid-Until "false"`, `acquire::ForceIPv4 "true"`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestModuleOrder(t *testing.T) {
	const dep = `kernel/a/virtio.ko:
kernel/a/virtio-ring.ko: kernel/a/virtio.ko
kernel/a/virtio_blk.ko: kernel/a/virtio-ring.ko kernel/a/virtio.ko
kernel/loop1.ko: kernel/loop2.ko
kernel/loop2.ko: kernel/loop1.ko
kernel/lame.ko: kernel/gone.ko
`
	const builtin = "kernel/fs/ext4.ko\n"
	got, err := moduleOrder(dep, builtin, []string{"ext4", "virtio_blk", "virtio_ring"})
	want := []string{"kernel/a/virtio.ko", "kernel/a/virtio-ring.ko", "kernel/a/virtio_blk.ko"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, w := range []string{"none", "loop1", "lame"} {
		if got, err := moduleOrder(dep, builtin, []string{w}); err == nil {
			t.Errorf("%s: got %v", w, got)
		}
	}
}

func TestInitrdUnpacks(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is missing: nobody else can read the archive")
	}
	var b bytes.Buffer
	if err := writeInitrd(&b, []byte("#!init"), []module{{"a.ko", []byte("12345")}, {"b.ko", nil}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &b
	if out, err := cmd.CombinedOutput(); err != nil && os.Geteuid() == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]string{"init": "#!init", "modules/a.ko": "12345", "modules/b.ko": "", "modules/order": "a.ko\nb.ko\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "init")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("init: %v, %v", info, err)
	}
}

// TestInject puts files into a real file system and reads them back.
func TestInject(t *testing.T) {
	for _, p := range []string{"mke2fs", "debugfs", "e2fsck"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("e2fsprogs is missing")
		}
	}
	dir := t.TempDir()
	tree, img := filepath.Join(dir, "tree"), filepath.Join(dir, "img")
	os.MkdirAll(filepath.Join(tree, "etc"), 0o755)
	os.WriteFile(filepath.Join(tree, "etc/old"), []byte("old"), 0o600)
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", tree, img, "8M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	nodes := []node{
		{path: "/etc/old", mode: 0o644, body: []byte("new")},
		{path: "/usr/lib/deep/er/prog", mode: 0o755, body: bytes.Repeat([]byte("p"), 100000)},
		{path: "/etc/link", link: "/dev/null"},
		{path: "/etc/a b", mode: 0o640, body: []byte("space")},
	}
	if err := inject(context.Background(), img, filepath.Join(dir, "work"), nodes, map[string]bool{"/": true, "/etc": true, "/etc/old": true}); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		out, err := exec.Command("debugfs", "-R", fmt.Sprintf("stat %q", n.path), img).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("Mode:  0%o", n.mode)
		if n.link != "" {
			want = `Fast link dest: "` + n.link + `"`
		}
		if !strings.Contains(string(out), want) || !strings.Contains(string(out), "User:     0   Group:     0") {
			t.Errorf("%s: want %s in\n%s", n.path, want, out)
		}
		if body, err := exec.Command("debugfs", "-R", fmt.Sprintf("cat %q", n.path), img).Output(); n.link == "" && (err != nil || !bytes.Equal(body, n.body)) {
			t.Errorf("%s: %d bytes, %v", n.path, len(body), err)
		}
	}
	if err := inject(context.Background(), img, filepath.Join(dir, "work"), nodes[:1], nil); err == nil {
		t.Error("a file was written over an existing one without an error")
	}
	for _, bad := range []node{{path: "/a\nrm /etc"}, {path: `/a"b`}, {path: "relative"}, {path: "/a/../b"}, {path: "/a", link: "x\ny"}} {
		if _, err := script([]node{bad}, nil, func(int) string { return "" }); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// The real assets have a place each, and the units of the agents are enabled.
func TestAssets(t *testing.T) {
	nodes, err := assetNodes(guest.Files)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]node{}
	for _, n := range nodes {
		if _, twice := seen[n.path]; twice {
			t.Errorf("%s comes twice", n.path)
		}
		seen[n.path] = n
	}
	for _, u := range []string{"qubes-vchan-agent", "qubes-qrexec-agent", "qubes-gui-agent", "qubes-db"} {
		if seen["/etc/systemd/system/sysinit.target.wants/"+u+".service"].link != "/usr/lib/systemd/system/"+u+".service" {
			t.Errorf("unit %s is not enabled", u)
		}
	}
	if seen["/etc/systemd/system/getty.target"].link != "/dev/null" || seen["/etc/systemd/system-generators/systemd-sysv-generator"].link != "/dev/null" {
		t.Error("masks are missing")
	}
	if _, err := assetNodes(fstest.MapFS{"new/thing": {}}); err == nil {
		t.Error("an asset without a place was accepted")
	}
}

// testBuilder has a base in its cache, so that only the final stage runs.
func testBuilder(t *testing.T) *Builder {
	t.Helper()
	for _, p := range []string{"mmdebstrap", "mke2fs", "debugfs", "e2fsck", "apt-config"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is missing", p)
		}
	}
	r, err := LoadRecipe(recipe.Files, "debian-12")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &Builder{Recipe: r, Assets: guest.Files, Bin: filepath.Join(dir, "bin"), Cache: filepath.Join(dir, "cache"), Etc: dir, Partial: true, Now: time.Now, Progress: func(Event) {}}
	base := filepath.Join(b.Cache, "base-"+r.Hash())
	for _, d := range []string{b.Bin, filepath.Join(base, "modules")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]string{
		filepath.Join(b.Bin, "qubes-init"): "init", filepath.Join(base, "vmlinuz"): "kernel", filepath.Join(base, "paths"): "/\n",
		filepath.Join(base, "modules/a.ko"): "module", filepath.Join(base, "base.json"): `{"kernel":"6","modules":["a.ko"]}`,
	} {
		if err := os.WriteFile(name, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", filepath.Join(base, "root.img"), "16M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return b
}

func TestBuild(t *testing.T) {
	b := testBuilder(t)
	ctx := context.Background()
	if dir, ok := b.Current(); ok {
		t.Errorf("%s is current before the first build", dir)
	}
	first, err := b.Build(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.UID = 1000 // looking needs no root
	if dir, ok := b.Current(); !ok || dir != first {
		t.Errorf("after the build %s is current (%v), want %s", dir, ok, first)
	}
	b.UID = 0
	if err := Verify(b.Cache); err != nil {
		t.Error(err)
	}
	if again, err := b.Build(ctx); err != nil || again != first {
		t.Errorf("nothing changed, yet %s became %s, %v", first, again, err)
	}
	os.WriteFile(filepath.Join(b.Bin, "qrexec-agent"), []byte("agent"), 0o755)
	if dir, ok := b.Current(); ok {
		t.Errorf("%s is current although there is a new program", dir)
	}
	second, err := b.Build(ctx)
	if err != nil || second == first {
		t.Fatalf("a new program gave %s, %v", second, err)
	}
	m, err := ReadManifest(b.Cache)
	if err != nil || m.Programs["qrexec-agent"] == "" || m.Kernel != "6" {
		t.Errorf("manifest %+v, %v", m, err)
	}
	if _, err := os.Stat(first); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old set stays for ever")
	}
	f, err := os.OpenFile(filepath.Join(second, "initramfs"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("x"), 0)
	f.Close()
	if err := Verify(b.Cache); err == nil {
		t.Error("a changed file was not noticed")
	}
}

func TestBuildRefuses(t *testing.T) {
	ctx := context.Background()
	b := testBuilder(t)
	b.UID = 1000
	if _, err := b.Build(ctx); !errors.Is(err, ErrNeedsRoot) {
		t.Errorf("as a user: %v", err)
	}
	b.UID = 0
	b.Partial = false
	if _, err := b.Build(ctx); err == nil || !strings.Contains(err.Error(), "qubes-vchan-agent") {
		t.Errorf("with a missing program: %v", err)
	}
	b.Partial = true
	held, err := lock(filepath.Join(b.Cache, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	b.Progress = func(e Event) { said = append(said, e.Text) }
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	if _, err := b.Build(short); !errors.Is(err, context.DeadlineExceeded) || len(said) != 1 || !strings.Contains(said[0], "waiting") {
		t.Errorf("beside another build: %v, said %q", err, said)
	}
	b.Progress = func(Event) {}
	time.AfterFunc(100*time.Millisecond, func() { held.Close() }) // the next build waits for it
	if err := b.space(1 << 60); !errors.Is(err, ErrSpace) {
		t.Errorf("on a small disk: %v", err)
	}
	good, err := b.Build(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// An interrupted build leaves only what the next one sweeps, and the old set in place.
	os.WriteFile(filepath.Join(b.Bin, "qrexec-agent"), []byte("agent"), 0o755)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	os.MkdirAll(filepath.Join(b.Cache, "tmp-set-left", "work"), 0o700)
	if _, err := b.Build(cancelled); err == nil {
		t.Error("a cancelled build succeeded")
	}
	if left, _ := filepath.Glob(filepath.Join(b.Cache, "tmp-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if now, err := filepath.EvalSymlinks(filepath.Join(b.Cache, "current")); err != nil || now != good {
		t.Errorf("current is %s, %v; want %s", now, err, good)
	}
}
