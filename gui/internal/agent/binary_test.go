package agent_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/gui/internal/xconn"
	"qubist/gui/internal/xvfb"
	"qubist/gui/wire"

	"github.com/BurntSushi/xgb/xproto"
	"golang.org/x/sys/unix"
)

// program is the real agent with an X server of its own.
type program struct {
	bench
	bin, status string
	args        []string
	cmd         *exec.Cmd
}

func newProgram(t *testing.T, kind string) *program {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "q-guiagent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &program{bin: filepath.Join(dir, "qubes-gui-agent"), status: filepath.Join(dir, "status")}
	p.bench = bench{t: t, vchan: dir, region: filepath.Join(dir, "region")}
	build := exec.Command("go", "build", "-o", p.bin, "qubist/gui/cmd/qubes-gui-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(p.region, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(p.region, 64<<20); err != nil {
		t.Fatal(err)
	}
	p.server = &xvfb.Server{Display: freeDisplay(t), Authority: filepath.Join(dir, "xauth")}
	conf, err := filepath.Abs("../../../assets/guest/xorg/qubes.conf")
	if err != nil {
		t.Fatal(err)
	}
	p.args = []string{
		"--server", kind, "--start-display", p.server.Display, "--xauthority", p.server.Authority, "--region", p.region,
		"--status-file", p.status, "--user", "root", "--xorg-config", conf, "--xorg-log", filepath.Join(dir, "Xorg.log"),
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		if pid := p.serverPID(); pid > 1 {
			syscall.Kill(pid, syscall.SIGTERM)
			await(t, "the X server's end", func() bool { return !running(pid) })
		}
	})
	p.start()
	return p
}

func freeDisplay(t *testing.T) string {
	t.Helper()
	for range 100 {
		n := 400 + rand.IntN(5000)
		_, err1 := os.Lstat(fmt.Sprintf("/tmp/.X11-unix/X%d", n))
		_, err2 := os.Lstat(fmt.Sprintf("/tmp/.X%d-lock", n))
		if err1 != nil && err2 != nil {
			return ":" + strconv.Itoa(n)
		}
	}
	t.Fatal("no free display")
	return ""
}

func (p *program) start() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.vchan, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(p.bin, p.args...)
	p.cmd.Stderr = log
	p.cmd.Env = append(os.Environ(), "QUBIST_VCHAN=socket", "VCHAN_SOCKET_DIR="+p.vchan, "VCHAN_DOMAIN="+strconv.Itoa(domain))
	// In the VM it is PID 1 that keeps the X server when its starter ends.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) state() string {
	b, _ := os.ReadFile(p.status)
	return strings.TrimSpace(string(b))
}

func (p *program) awaitState(want string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); p.state() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(p.vchan, "log"))
			p.t.Fatalf("state %q, want %q\n%s", p.state(), want, log)
		}
	}
}

// serverPID reads the X server's lock file.
func (p *program) serverPID() int {
	b, err := os.ReadFile("/tmp/.X" + p.server.Display[1:] + "-lock")
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

// running reports whether a process exists; it reaps it if it is an orphan of ours.
func running(pid int) bool {
	var ws syscall.WaitStatus
	if got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil); err == nil && got == pid {
		return false
	}
	return syscall.Kill(pid, 0) == nil
}

func eachServer(t *testing.T, f func(t *testing.T, kind string)) {
	t.Run("xvfb", func(t *testing.T) {
		if _, err := os.Stat("/usr/bin/Xvfb"); err != nil {
			t.Skip("Xvfb is not installed")
		}
		f(t, "xvfb")
	})
	t.Run("xorg", func(t *testing.T) {
		if _, err := os.Stat("/usr/lib/xorg/modules/drivers/dummy_drv.so"); err != nil || os.Geteuid() != 0 {
			t.Skip("needs root and Xorg with its dummy driver")
		}
		f(t, "xorg")
	})
}

func TestProgramKeepsApplicationsOverItsDeath(t *testing.T) {
	eachServer(t, func(t *testing.T, kind string) {
		p := newProgram(t, kind)
		d := connect(t, p.vchan, wire.NewXConf(1600, 1200, 24))
		c := p.client()
		a := newApp(t, c, 30, 40, 300, 200, appOptions{})
		_, dump := expectBody[wire.WindowDump](d, a.remote(), nil)
		a.draw(1)
		a.awaitPixels(&p.bench, dump)
		p.awaitState("connected")
		g, err := xproto.GetGeometry(c.X, xproto.Drawable(c.Screen.Root)).Reply()
		if err != nil {
			t.Fatal(err)
		}
		if want := uint16(1600); kind == "xorg" && (g.Width != want || g.Height != 1200) {
			t.Errorf("screen is %d×%d, dom0's 1600×1200", g.Width, g.Height)
		}
		if st, err := os.Stat(p.server.Authority); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("cookie file: %v, %v", st.Mode(), err)
		}
		if x, err := xconn.Dial(t.Context(), p.server.Display, ""); err == nil {
			x.Close()
			t.Error("the X server wants no cookie")
		}

		pid := p.serverPID()
		if pid <= 1 {
			t.Fatalf("no X server in the lock file: %d", pid)
		}
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.start()
		d = connect(t, p.vchan, wire.NewXConf(1600, 1200, 24))
		_, dump = expectBody[wire.WindowDump](d, a.remote(), nil)
		a.draw(2)
		a.awaitPixels(&p.bench, dump)
		if got := p.serverPID(); got != pid {
			t.Errorf("the X server changed from %d to %d", pid, got)
		}

		// The X server dies: another is started and the daemon connects anew.
		syscall.Kill(pid, syscall.SIGKILL)
		await(t, "the X server's death", func() bool { return !running(pid) })
		<-c.Lost()
		await(t, "the end of the old link", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.err != nil })
		d = connect(t, p.vchan, wire.NewXConf(1600, 1200, 24))
		if got := p.serverPID(); got == pid || got == 0 {
			t.Errorf("X server %d after the death of %d", got, pid)
		}
		b := newApp(t, p.client(), 0, 0, 64, 64, appOptions{})
		_, dump = expectBody[wire.WindowDump](d, b.remote(), nil)
		b.draw(3)
		b.awaitPixels(&p.bench, dump)

		p.cmd.Process.Signal(syscall.SIGTERM)
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
		if p.state() != "" {
			t.Errorf("state %q after the end", p.state())
		}
		if err := b.c.Sync(); err != nil {
			t.Errorf("the X server ended with the agent: %v", err)
		}
	})
}

func TestProgramShowsXterm(t *testing.T) {
	if _, err := exec.LookPath("xterm"); err != nil {
		t.Skip("xterm is not installed")
	}
	eachServer(t, func(t *testing.T, kind string) {
		p := newProgram(t, kind)
		d := connect(t, p.vchan, screen)
		out := filepath.Join(p.vchan, "typed")
		xterm := exec.Command("xterm", "-fn", "fixed", "-geometry", "80x24", "-T", "Hällo", "-e", "sh", "-c", "read line; echo \"$line\" >"+out)
		xterm.Env = append(os.Environ(), "DISPLAY="+p.server.Display, "XAUTHORITY="+p.server.Authority, "LC_ALL=C.UTF-8")
		if err := xterm.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- xterm.Wait() }()
		defer xterm.Process.Kill()
		id, _ := expectBody[wire.WMName](d, 0, func(n wire.WMName) bool { return n == "Hällo" })
		_, dump := expectBody[wire.WindowDump](d, id, nil)
		expectBody[wire.ShmImage](d, id, nil)
		white := 0
		for px := p.pixels(dump); len(px) > 0; px = px[4:] {
			if px[0] == 255 && px[1] == 255 && px[2] == 255 {
				white++
			}
		}
		if white == 0 {
			t.Error("no xterm in the picture")
		}
		tell(d, id, wire.Focus{Event: wire.FocusIn})
		for _, k := range []uint32{43, 31, 36} { // h i Return
			tell(d, id, wire.Keypress{Event: wire.KeyPress, Keycode: k})
			tell(d, id, wire.Keypress{Event: wire.KeyRelease, Keycode: k})
		}
		select {
		case <-done:
		case <-time.After(patient):
			t.Fatal("xterm does not see the keys")
		}
		if b, err := os.ReadFile(out); err != nil || string(b) != "hi\n" {
			t.Errorf("typed %q, %v", b, err)
		}
		expectBody[wire.Destroy](d, id, nil)
	})
}
