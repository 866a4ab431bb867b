package libvirt_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/internal/hypervisor/libvirt"
	"qubist/core/qube"
)

// A libvirtd of our own, in session mode, is killed and started again: domains, events and
// calls survive.
func TestLibvirtdRestart(t *testing.T) {
	run, err := os.MkdirTemp("/tmp", "q-ses-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	for _, v := range []string{"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"} {
		t.Setenv(v, run)
	}
	b := newBench(t)
	if err := b.drv.Close(); err != nil {
		t.Fatal(err)
	}
	b.drv, err = libvirt.New(context.Background(), libvirt.Options{Paths: b.paths, URI: "qemu:///session", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Skipf("no libvirtd in session mode: %v", err)
	}
	kill := func(sig syscall.Signal) {
		for _, name := range []string{"libvirtd.pid", "virtlogd.pid"} {
			text, err := os.ReadFile(filepath.Join(run, "libvirt", name))
			pid, perr := strconv.Atoi(strings.TrimSpace(string(text)))
			if err == nil && perr == nil {
				syscall.Kill(pid, sig)
			}
			if name == "libvirtd.pid" && sig == syscall.SIGKILL {
				return
			}
		}
	}
	t.Cleanup(func() { kill(syscall.SIGTERM) })
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	events, err := b.drv.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := b.spec("again", 5, "service", "")
	if err := b.drv.Create(ctx, s); err != nil {
		t.Fatal(err)
	}
	checkRegion(t, b.drv.WindowRegion(5), 16<<20)
	kill(syscall.SIGKILL)
	var info hypervisor.Info
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if info, err = b.drv.Get(ctx, "again"); err == nil || time.Now().After(end) {
			break
		}
		if !errors.Is(err, hypervisor.ErrUnavailable) && !errors.Is(err, hypervisor.ErrNotFound) {
			t.Logf("on the way: %v", err)
		}
	}
	if err != nil || info.XID != 5 || info.State != qube.Paused {
		t.Fatalf("after the restart: %+v, %v", info, err)
	}
	if err := b.drv.Resume(ctx, "again"); err != nil {
		t.Fatal(err)
	}
	waitState(t, events, 5, qube.Running, 20*time.Second)
	if err := b.drv.Destroy(ctx, "again"); err != nil {
		t.Fatal(err)
	}
	waitState(t, events, 5, qube.Halted, 20*time.Second)
}
