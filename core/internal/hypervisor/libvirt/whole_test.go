package libvirt_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// host runs dom0's programs of one domain. QUBIST_BIN names their directory.
type host struct {
	b   *bench
	bin string
}

func newHost(b *bench) *host {
	b.t.Helper()
	bin := os.Getenv("QUBIST_BIN")
	if bin == "" {
		b.t.Skip("QUBIST_BIN names no directory of dom0's programs: nobody can talk to the guest")
	}
	return &host{b, bin}
}

// daemon starts a program and waits until it says READY.
func (h *host) daemon(limit time.Duration, name string, args ...string) {
	t := h.b.t
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log, err := os.Create(filepath.Join(h.b.paths.Log, name+"."+fmt.Sprint(time.Now().UnixNano())+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(h.bin, name), append([]string{"--root", filepath.Dir(h.b.paths.Lib), "--ready-fd", "3"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	r.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 16)
	if n, err := r.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "READY") {
		text, _ := os.ReadFile(log.Name())
		t.Errorf("%s is not ready: %v\n%s", name, err, text)
	}
}

// boot starts a guest with its daemons and returns how long the agent took.
func (h *host) boot(s hypervisor.Spec) time.Duration {
	t := h.b.t
	t.Helper()
	ctx := context.Background()
	s.Cmdline += fmt.Sprintf(" qubist.domid=%d", s.XID)
	start := time.Now()
	if err := h.b.drv.Create(ctx, s); err != nil {
		t.Fatal(err)
	}
	h.daemon(10*time.Second, "qubes-vchand", fmt.Sprint(s.XID), string(s.Name))
	if err := h.b.drv.Resume(ctx, s.Name); err != nil {
		t.Fatal(err)
	}
	h.daemon(time.Minute, "qrexec-daemon", "-q", "-u", s.UUID, "--", fmt.Sprint(s.XID), string(s.Name), "user")
	took := time.Since(start)
	if t.Failed() {
		log, _ := os.ReadFile(s.ConsoleLog)
		t.Fatalf("console:\n%s", log)
	}
	return took
}

// call runs a command in the guest.
func (h *host) call(n qube.Name, command string) string {
	h.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(h.bin, "qrexec-client"), "--root", filepath.Dir(h.b.paths.Lib), "-d", string(n), command)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.b.t.Errorf("%s in %s: %v %s%s", command, n, err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func (h *host) expect(n qube.Name, command, want string) {
	h.b.t.Helper()
	if got := h.call(n, command); got != want {
		h.b.t.Errorf("%s in %s: %q, want %q", command, n, got, want)
	}
}

// TestGuest boots both flavours and looks at the result through qrexec.
func TestGuest(t *testing.T) {
	for _, init := range []string{"service", "systemd"} {
		t.Run(init, func(t *testing.T) {
			b := newBench(t)
			h := newHost(b)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			events, err := b.drv.Events(ctx)
			if err != nil {
				t.Fatal(err)
			}
			s := b.spec("work", 3, init, "qubist.gui=1 "+os.Getenv("QUBIST_TEST_CMDLINE"))
			s.MemoryMiB = 512 // for the X server
			t.Logf("agent answers after %v", h.boot(s))
			h.expect("work", "root:hostname", "work")
			h.expect("work", "root:id -u", "0")
			h.expect("work", "user:id -un; sudo -n id -u", "user\n0")
			h.expect("work", "user:pwd; stat -c %U /home/user; touch ~/kept && echo ok", "/home/user\nuser\nok")
			h.expect("work", "root:findmnt -nro SOURCE /rw; stat -f -c %T /run /dev/shm", "/dev/vdb\ntmpfs\ntmpfs")
			h.expect("work", "root:stat -c '%a %U' /run/user/1000 /run/qubes", "700 user\n755 root")
			start := time.Now()
			h.expect("work", "user:for i in $(seq 150); do . /etc/profile.d/qubes-gui.sh; xdpyinfo >/dev/null 2>&1 && break; sleep .2; done; xwininfo -root | grep -c Depth:", "1")
			t.Logf("the user reaches the display %v later", time.Since(start))
			start = time.Now()
			if err := b.drv.Shutdown(ctx, "work"); err != nil {
				t.Fatal(err)
			}
			waitState(t, events, 3, qube.Halted, time.Minute)
			t.Logf("orderly end after %v", time.Since(start))
			s.XID, s.PortSocket = 4, b.paths.PortSocket(4)
			t.Logf("second start: agent answers after %v", h.boot(s))
			h.expect("work", "user:test -f ~/kept && echo kept", "kept")
			h.reboot(events, s)
		})
	}
}

// reboot restarts the guest from within; its daemons find it again.
func (h *host) reboot(events <-chan hypervisor.Event, s hypervisor.Spec) {
	h.b.t.Helper()
	const bootID = "user:cat /proc/sys/kernel/random/boot_id; test -f ~/kept && echo kept"
	before := h.call(s.Name, bootID)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	exec.CommandContext(ctx, filepath.Join(h.bin, "qrexec-client"), "--root", filepath.Dir(h.b.paths.Lib), "-d", string(s.Name), "root:sync; kill -INT 1").Run()
	start := time.Now()
	for e := range events {
		if e.Rebooted && e.XID == s.XID {
			break
		}
	}
	h.b.t.Logf("reboot seen after %v", time.Since(start))
	for time.Since(start) < 2*time.Minute {
		cmd := exec.Command(filepath.Join(h.bin, "qrexec-client"), "--root", filepath.Dir(h.b.paths.Lib), "-d", string(s.Name), bootID)
		if out, err := cmd.Output(); err == nil && strings.Contains(string(out), "kept") && strings.TrimSpace(string(out)) != before {
			h.b.t.Logf("after a reboot the agent answers after %v", time.Since(start))
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	h.b.t.Error("the guest does not answer after its reboot")
}

// TestManyGuests starts several guests at once.
func TestManyGuests(t *testing.T) {
	if testing.Short() {
		t.Skip("short: this needs the whole machine for a while")
	}
	b := newBench(t)
	h := newHost(b)
	const n = 8
	specs := make([]hypervisor.Spec, n)
	for i := range specs {
		specs[i] = b.spec(qube.Name(fmt.Sprintf("many%d", i)), qube.DomID(20+i), "service", "")
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, s := range specs {
		wg.Go(func() { h.boot(s) })
	}
	wg.Wait()
	t.Logf("%d guests answer after %v", n, time.Since(start))
	for _, s := range specs {
		h.expect(s.Name, "root:hostname", string(s.Name))
	}
	list, err := b.drv.List(context.Background())
	if err != nil || len(list) != n {
		t.Errorf("%d domains, %v", len(list), err)
	}
}
