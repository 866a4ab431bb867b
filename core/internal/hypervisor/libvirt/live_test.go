package libvirt_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/internal/hypervisor/libvirt"
	"qubist/core/paths"
	"qubist/core/qube"
)

// bench is one instance with a driver and guests from a built template.
type bench struct {
	t        *testing.T
	paths    paths.Paths
	drv      *libvirt.Driver
	template string
}

// newBench needs a libvirtd and, in QUBIST_TEMPLATE, the directory of a finished template
// set (qubist-template build).
func newBench(t *testing.T) *bench {
	t.Helper()
	template := os.Getenv("QUBIST_TEMPLATE")
	if template == "" {
		t.Skip("QUBIST_TEMPLATE names no template set: nothing to boot")
	}
	root, err := os.MkdirTemp("/tmp", "q-lv-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(root, 0o711)
	p, err := paths.New(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{p.Lib, p.Run, p.Log} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{t: t, paths: p, template: template}
	b.drv = b.driver()
	t.Cleanup(func() {
		ctx := context.Background()
		list, err := b.drv.List(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, i := range list {
			if err := b.drv.Destroy(ctx, i.Name); err != nil && !errors.Is(err, hypervisor.ErrNotFound) {
				t.Error(err)
			}
		}
		b.drv.Close()
		os.RemoveAll(root)
	})
	return b
}

func (b *bench) driver() *libvirt.Driver {
	b.t.Helper()
	d, err := libvirt.New(context.Background(), libvirt.Options{Paths: b.paths, Log: slog.New(slog.DiscardHandler)})
	if errors.Is(err, hypervisor.ErrUnavailable) {
		b.t.Skipf("no libvirtd to test with: %v", err)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// spec describes a guest; init is systemd or service.
func (b *bench) spec(name qube.Name, xid qube.DomID, init, more string) hypervisor.Spec {
	b.t.Helper()
	dir := filepath.Join(b.paths.Lib, string(name))
	if err := os.MkdirAll(dir, 0o711); err != nil {
		b.t.Fatal(err)
	}
	root, private := filepath.Join(dir, "root.qcow2"), filepath.Join(dir, "private.img")
	base, err := filepath.EvalSymlinks(filepath.Join(b.template, "root.img"))
	if err != nil {
		b.t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", root).CombinedOutput(); err != nil {
		b.t.Fatalf("overlay: %v: %s", err, out)
	}
	f, err := os.OpenFile(private, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	f.Truncate(1 << 30)
	f.Close()
	uuid, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		b.t.Fatal(err)
	}
	mem := uint64(192)
	if init == "systemd" {
		mem = 512
	}
	return hypervisor.Spec{
		Name: name, UUID: strings.TrimSpace(string(uuid)), XID: xid, MemoryMiB: mem, VCPUs: 1,
		Kernel: filepath.Join(b.template, "vmlinuz"), Initrd: filepath.Join(b.template, "initramfs"),
		Cmdline:    "root=/dev/vda rw console=ttyS0 quiet panic=-1 qubist.name=" + string(name) + " qubist.user=user qubist.gui=0 qubist.init=" + init + " " + more,
		Disks:      []hypervisor.Disk{{Target: "vda", Path: root, Format: "qcow2", Discardable: true}, {Target: "vdb", Path: private, Format: "raw"}},
		PortSocket: b.paths.PortSocket(uint32(xid)), ConsoleLog: filepath.Join(b.paths.Log, string(name)+".console"),
		WindowRegion: 16 << 20,
	}
}

// console waits until the guest printed text.
func (b *bench) console(s hypervisor.Spec, text string, limit time.Duration) time.Duration {
	b.t.Helper()
	start := time.Now()
	for time.Since(start) < limit {
		log, _ := os.ReadFile(s.ConsoleLog)
		if strings.Contains(string(log), text) {
			return time.Since(start)
		}
		time.Sleep(20 * time.Millisecond)
	}
	log, _ := os.ReadFile(s.ConsoleLog)
	b.t.Fatalf("console of %s shows no %q after %v:\n%s", s.Name, text, limit, log)
	return 0
}

func waitState(t *testing.T, events <-chan hypervisor.Event, xid qube.DomID, want qube.State, limit time.Duration) hypervisor.Event {
	t.Helper()
	end := time.After(limit)
	for {
		select {
		case e := <-events:
			if e.XID == xid && e.State == want {
				return e
			}
			if e.XID == xid {
				t.Logf("on the way: %+v", e)
			}
		case <-end:
			t.Fatalf("no event %s for %d within %v", want, xid, limit)
		}
	}
}

func TestLifeOfADomain(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := b.drv.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.drv.Get(ctx, "life"); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	s := b.spec("life", 7, "service", "")
	dup := s
	dup.XID = 8
	if err := b.drv.Create(ctx, s); err != nil {
		t.Fatal(err)
	}
	if i, err := b.drv.Get(ctx, "life"); err != nil || i.State != qube.Paused || i.XID != 7 || i.UUID != s.UUID {
		t.Errorf("after Create: %+v, %v", i, err)
	}
	if err := b.drv.Create(ctx, dup); !errors.Is(err, hypervisor.ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	checkRegion(t, b.drv.WindowRegion(7), 16<<20)
	if err := b.drv.Resume(ctx, "life"); err != nil {
		t.Fatal(err)
	}
	waitState(t, events, 7, qube.Running, 10*time.Second)
	c, err := net.Dial("unix", s.PortSocket)
	if err != nil {
		t.Errorf("the port's socket: %v", err)
	} else {
		c.Close()
	}
	t.Logf("service flavour at its agents after %v", b.console(s, "qubes-init: ", time.Minute))
	b.console(s, "formatting the private volume", time.Minute)

	// Another process adopts the domain; this one's end does not end it.
	other := b.driver()
	list, err := other.List(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "life" || list[0].XID != 7 || list[0].State != qube.Running {
		t.Errorf("adopting: %+v, %v", list, err)
	}
	if other.WindowRegion(7) == "" {
		t.Error("a new driver swept the region of a running domain")
	}
	other.Close()

	if err := b.drv.Shutdown(ctx, "life"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	waitState(t, events, 7, qube.Halted, time.Minute)
	t.Logf("orderly end after %v", time.Since(start))
	b.console(s, "qubes-init: end", time.Second)
	if p := b.drv.WindowRegion(7); p != "" {
		t.Errorf("region %s stays after the end", p)
	}
	if _, err := b.drv.Get(ctx, "life"); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("Get after the end: %v", err)
	}
	if err := b.drv.Destroy(ctx, "life"); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("Destroy after the end: %v", err)
	}
}

func checkRegion(t *testing.T, path string, size int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Errorf("window region: %v", err)
		return
	}
	st := info.Sys().(*syscall.Stat_t)
	if info.Size() != size || info.Mode().Perm()&0o007 != 0 || st.Uid != uint32(os.Geteuid()) {
		t.Errorf("window region: %d bytes, mode %v, owner %d", info.Size(), info.Mode(), st.Uid)
	}
}

func TestSystemdFlavour(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, _ := b.drv.Events(ctx)
	s := b.spec("full", 9, "systemd", "systemd.journald.forward_to_console=1")
	if err := b.drv.Create(ctx, s); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := b.drv.Resume(ctx, "full"); err != nil {
		t.Fatal(err)
	}
	b.console(s, "multi-user.target", 2*time.Minute)
	t.Logf("multi-user.target after %v", time.Since(start))
	if err := b.drv.SetMemory(ctx, "full", 384); err != nil {
		t.Error(err)
	}
	b.memory("full", 384)
	b.console(s, "Watching system buttons", time.Minute)
	start = time.Now()
	if err := b.drv.Shutdown(ctx, "full"); err != nil {
		t.Fatal(err)
	}
	waitState(t, events, 9, qube.Halted, time.Minute)
	t.Logf("orderly end after %v", time.Since(start))
}

// memory waits until the balloon has brought the domain to mib.
func (b *bench) memory(n qube.Name, mib uint64) {
	b.t.Helper()
	var got hypervisor.Info
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var err error
		if got, err = b.drv.Get(context.Background(), n); err != nil {
			b.t.Fatal(err)
		}
		if got.MemKiB == mib<<10 {
			return
		}
	}
	b.t.Errorf("balloon of %s stays at %d KiB, want %d MiB", n, got.MemKiB, mib)
}
