package main_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qubist/core/paths"
	"qubist/core/vchan"
	"qubist/core/vchan/link"
	"qubist/core/vchan/open"
)

const patience = 30 * time.Second

// bin builds both programs once.
var bin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vchand")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "qubist/core/cmd/qubes-vchand", "qubist/core/cmd/qubes-vchan-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	return dir, errors.Join(err, errorOf(out))
})

func errorOf(out []byte) error {
	if len(out) == 0 {
		return nil
	}
	return errors.New(string(out))
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := bin(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// machine is one VM without a VM: a socket as QEMU makes it, a pseudo-terminal as the
// virtio-serial port, and a relay in between.
type machine struct {
	t     testing.TB
	dir   string
	paths paths.Paths
	qemu  *net.UnixListener
	port  *os.File // the host's side of the pseudo-terminal
}

func newMachine(t testing.TB) *machine {
	dir, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p, err := paths.New(filepath.Join(dir, "0"))
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, paths: p}
	m.must(os.MkdirAll(filepath.Dir(p.PortSocket(7)), 0o700))
	for _, d := range []string{"sys/class/virtio-ports/vport0p1", "sys/class/virtio-ports/vport0p2", "dev", "vm"} {
		m.must(os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	m.must(os.WriteFile(filepath.Join(dir, "sys/class/virtio-ports/vport0p1/name"), []byte("org.example.other\n"), 0o600))
	m.must(os.WriteFile(filepath.Join(dir, "sys/class/virtio-ports/vport0p2/name"), []byte(link.PortName+"\n"), 0o600))
	m.port, err = rawTerminal(t, filepath.Join(dir, "dev/vport0p2"))
	m.must(err)
	m.qemu, err = net.ListenUnix("unix", &net.UnixAddr{Name: p.PortSocket(7), Net: "unix"})
	m.must(err)
	var relays sync.WaitGroup
	relays.Go(m.relay)
	t.Cleanup(func() { m.qemu.Close(); m.port.Close(); relays.Wait() })
	return m
}

// rawTerminal returns the master of a pseudo-terminal that changes no byte, whose slave is
// at path. The slave stays open until the test ends, so that the master never hangs up.
func rawTerminal(t testing.TB, path string) (*os.File, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	master := os.NewFile(uintptr(fd), "ptmx") // non-blocking: deadlines work
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	name := "/dev/pts/" + strconv.Itoa(number)
	slave, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { unix.Close(slave) })
	raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.B38400}
	raw.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(slave, unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	return master, os.Symlink(name, path)
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// relay serves one host connection at a time, as QEMU does.
func (m *machine) relay() {
	for {
		c, err := m.qemu.Accept()
		if err != nil {
			return
		}
		var up sync.WaitGroup
		up.Go(func() {
			io.Copy(c, m.port)
			c.Close()
		})
		io.Copy(m.port, c)
		c.Close()
		m.port.SetReadDeadline(time.Unix(1, 0))
		up.Wait()
		m.port.SetReadDeadline(time.Time{})
	}
}

// start runs a program until the test ends or stop is called, which checks its status.
func (m *machine) start(env []string, args ...string) (pid int, stop func()) {
	m.t.Helper()
	dir, err := bin()
	m.must(err)
	r, w, err := os.Pipe()
	m.must(err)
	defer r.Close()
	cmd := exec.Command(filepath.Join(dir, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = &testLog{t: m.t}
	m.must(cmd.Start())
	w.Close()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				m.t.Errorf("%s: %v", args[0], err)
			}
		})
	}
	m.t.Cleanup(stop)
	r.SetReadDeadline(time.Now().Add(patience))
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "READY\n" {
		m.t.Fatalf("%s: ready line %q, %v", args[0], line, err)
	}
	return cmd.Process.Pid, stop
}

// testLog passes a program's stderr to the test's log.
type testLog struct{ t testing.TB }

func (l *testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

func (m *machine) startHost() (pid int, stop func()) {
	return m.start(nil, "qubes-vchand", "--root", filepath.Join(m.dir, "0"), "--ready-fd", "3", "7", "work")
}

func (m *machine) startGuest() (pid int, stop func()) {
	return m.start([]string{open.EnvDomain + "=7"},
		"qubes-vchan-agent", "--dir", filepath.Join(m.dir, "vm"), "--devices", m.dir, "--ready-fd", "3")
}

// drivers are those that programs on both sides would get.
func (m *machine) drivers() (dom0, vm vchan.Driver) {
	m.t.Helper()
	dom0, err := open.Dom0(m.paths, func(string) string { return "" })
	m.must(err)
	vm, err = open.Guest(7, func(k string) string {
		return map[string]string{open.EnvSocketDir: filepath.Join(m.dir, "vm")}[k]
	})
	m.must(err)
	return dom0, vm
}

func call(t testing.TB, server, client vchan.Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := server.Listen(ctx, client.Local(), 512)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type result struct {
		c   vchan.Conn
		err error
	}
	dialed := make(chan result, 1)
	go func() {
		c, err := client.Dial(ctx, server.Local(), 512)
		dialed <- result{c, err}
	}()
	s, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := <-dialed
	if d.err != nil {
		t.Fatal(d.err)
	}
	defer d.c.Close()
	want := strings.Repeat("all 8 bits \x00\x03\x04\x11\x13\x1a\x7f\xff\r\n", 1000)
	go io.WriteString(s, want)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(d.c, got); err != nil || string(got) != want {
		t.Fatalf("transfer differs: %v", err)
	}
}

// TestPrograms runs a VM's vchans through both real programs, and replaces each of them.
func TestPrograms(t *testing.T) {
	m := newMachine(t)
	dom0, vm := m.drivers()
	_, stopHost := m.startHost()
	_, stopGuest := m.startGuest()
	call(t, vm, dom0)
	call(t, dom0, vm)
	stopGuest()
	m.startGuest()
	call(t, vm, dom0)
	stopHost()
	m.startHost()
	call(t, vm, dom0)
	call(t, dom0, vm)
}

// TestConfined: the daemon runs as it promises to.
func TestConfined(t *testing.T) {
	m := newMachine(t)
	pid, _ := m.startHost()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(b), want+"\n") {
			t.Errorf("no %q in the status of qubes-vchand", want)
		}
	}
	for line := range strings.Lines(string(b)) {
		if caps, ok := strings.CutPrefix(line, "CapEff:\t"); ok && os.Geteuid() == 0 && caps != "0000000000000002\n" {
			t.Errorf("capabilities %s, want CAP_DAC_OVERRIDE alone", caps)
		}
	}
}

// TestCheckConfinement: the real program tries what must fail, and it does.
func TestCheckConfinement(t *testing.T) {
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, "qubes-vchand"), "--root", t.TempDir(), "--check-confinement", "7", "work").CombinedOutput()
	if strings.Contains(string(out), "NOT CONFINED TO ITS FILES") {
		t.Skip("this kernel has no Landlock")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestVMGone: the daemon ends with status 0 some seconds after QEMU.
func TestVMGone(t *testing.T) {
	m := newMachine(t)
	dom0, vm := m.drivers()
	_, stop := m.startHost()
	m.startGuest()
	call(t, vm, dom0)
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := dom0.Dial(ctx, 7, 600)
		result <- err
	}()
	time.Sleep(50 * time.Millisecond)
	m.qemu.Close()
	m.port.Close()
	if err := <-result; !errors.Is(err, vchan.ErrGone) {
		t.Errorf("Dial when QEMU ends: %v, want ErrGone", err)
	}
	stop()
	if _, err := os.Stat(m.paths.MuxSocket(7)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mux socket of a VM that is gone: %v", err)
	}
}

// TestBadArguments: no READY, a status and one line that says why.
func TestBadArguments(t *testing.T) {
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"7"}, {"0", "work"}, {"32752", "work"}, {"-1", "work"}, {"7", "a/b"}, {"7", "work", "x"}} {
		cmd := exec.Command(filepath.Join(dir, "qubes-vchand"), append([]string{"--root", t.TempDir(), "--"}, args...)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) == 0 {
			t.Errorf("%q: %v, %q", args, err, out)
		}
	}
}
