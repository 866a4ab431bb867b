package libvirt_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// TestLibvirtdRestart kills an ordinary user's libvirtd: domains, events and calls survive.
// As root it runs itself as the user nobody, since root has the system's libvirtd only.
func TestLibvirtdRestart(t *testing.T) {
	run := os.Getenv("QUBIST_TEST_RUNTIME")
	if os.Geteuid() == 0 {
		asNobody(t)
		return
	}
	if run == "" {
		t.Skip("this kills the libvirtd of the session: it runs as another user, from root's tests")
	}
	kill := func(sig syscall.Signal, names ...string) {
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(run, "libvirt", name+".pid"))
			pid, perr := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil || perr != nil {
				t.Errorf("process of %s: %v, %v", name, err, perr)
				continue
			}
			if err := syscall.Kill(pid, sig); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() { kill(syscall.SIGTERM, "libvirtd", "virtlogd") })
	b := newBench(t)
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
	kill(syscall.SIGKILL, "libvirtd")
	var info hypervisor.Info
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if info, err = b.drv.Get(ctx, "again"); err == nil || time.Now().After(end) {
			break
		}
		if !errors.Is(err, hypervisor.ErrUnavailable) {
			t.Errorf("while libvirtd is away: %v", err)
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

// asNobody runs the calling test in a process of an ordinary user.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Getenv("QUBIST_TEMPLATE") == "" {
		t.Skip("QUBIST_TEMPLATE names no template set: nothing to boot")
	}
	for dir := os.Getenv("QUBIST_TEMPLATE"); dir != "/"; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err != nil || st.Mode()&0o001 == 0 {
			t.Skipf("an ordinary user cannot read the template: no way through %s", dir)
		}
	}
	const nobody = 65534
	run, err := os.MkdirTemp("/tmp", "q-ses-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(run)
	exe := filepath.Join(run, "test")
	body, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(exe, body, 0o755)
	}
	if err == nil {
		err = os.Chown(run, nobody, nobody)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Dir = run
	cmd.Env = append(os.Environ(), "QUBIST_TEST_RUNTIME="+run, "HOME="+run, "XDG_RUNTIME_DIR="+run, "XDG_CONFIG_HOME="+run, "XDG_CACHE_HOME="+run, "XDG_DATA_HOME="+run)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
