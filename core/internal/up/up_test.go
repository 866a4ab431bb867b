package up

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"qubist/core/paths"
)

// TestMain doubles as the daemon that Supervise starts in the tests: it serves the socket
// named by UP_TEST_SOCKET until it is killed.
func TestMain(m *testing.M) {
	if socket := os.Getenv("UP_TEST_SOCKET"); socket != "" {
		os.Remove(socket)
		l, err := net.Listen("unix", socket)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.NewFile(3, "ready"), "READY")
		for {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}
	}
	os.Exit(m.Run())
}

func testEnv(t *testing.T) (*Env, *bytes.Buffer) {
	t.Helper()
	root, err := os.MkdirTemp("", "up") // t.TempDir is too long for socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	p, err := paths.New(root)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := New(p, root, t.TempDir(), t.TempDir(), &out)
	if err := e.Directories(); err != nil {
		t.Fatal(err)
	}
	return e, &out
}

func TestDisplayNumber(t *testing.T) {
	for in, want := range map[string]int{":0": 0, ":12.1": 12, "unix:3": 3, "": -1, "host:0": -1, ":": -1, ":x": -1, ":-1": -1, ":99999": -1} {
		n, ok := displayNumber(in)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("displayNumber(%q) = %d, %v; want %d", in, n, ok, want)
		}
	}
}

// TestMissingPackages: what dpkg does not call installed is missing, whatever else it says.
func TestMissingPackages(t *testing.T) {
	e, _ := testEnv(t)
	e.Run = func(_ context.Context, name string, args ...string) (string, error) {
		return "gcc installed\nxvfb config-files\ndpkg-query: no packages found matching xterm\n", errors.New("exit status 1")
	}
	got := e.missing(t.Context(), []string{"gcc", "xvfb", "xterm"})
	if strings.Join(got, " ") != "xvfb xterm" {
		t.Errorf("missing = %v", got)
	}
}

// TestSetupIsQuietWhenAllIsThere: nothing is installed and nothing is said.
func TestSetupIsQuietWhenAllIsThere(t *testing.T) {
	e, out := testEnv(t)
	e.Run = func(_ context.Context, name string, args ...string) (string, error) {
		if name != "dpkg-query" {
			t.Errorf("ran %s", name)
		}
		return strings.Join(args[2:], " installed\n") + " installed\n", nil
	}
	if err := e.Setup(t.Context(), true); err != nil || out.Len() > 0 {
		t.Errorf("Setup: %v, said %q", err, out)
	}
}

func TestExplainShowsTheNextStep(t *testing.T) {
	err := fmt.Errorf("template: %w", &Hint{errors.New("disk full"), "free 4 GiB"})
	if got := Explain(err); got != "qubist: template: disk full\n   next: free 4 GiB\n" {
		t.Errorf("Explain = %q", got)
	}
}

func TestInstallFilesKeepsTheUsersFiles(t *testing.T) {
	dst := t.TempDir()
	e, _ := testEnv(t)
	mine := filepath.Join(dst, "30-user.policy")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := fstest.MapFS{"30-user.policy": {Data: []byte("ours")}, "include/x": {Data: []byte("new")}}
	for range 2 {
		if err := e.InstallFiles(src, dst, 0o664); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"30-user.policy": "mine", "include/x": "new"} {
		if got, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestLongRootIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	p, err := paths.New(root)
	if err != nil {
		t.Fatal(err)
	}
	var h *Hint
	if err := New(p, root, "", "", &bytes.Buffer{}).Directories(); !errors.As(err, &h) || !strings.Contains(h.Next, "--root") {
		t.Errorf("Directories = %v, want a hint about --root", err)
	}
}

// TestSecondRunWaits: the second of two runs says whom it waits for, and goes on when the first is done.
func TestSecondRunWaits(t *testing.T) {
	e, out := testEnv(t)
	first, err := e.lockFile("up.lock")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := e.waitLock(short, "up.lock"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waitLock beside a holder: %v", err)
	}
	if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(out.String(), want) {
		t.Errorf("said %q, want it to name %s", out, want)
	}
	first.Close()
	second, err := e.waitLock(t.Context(), "up.lock")
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

// TestSuperviseRestarts: a killed daemon comes back; the end of the supervisor ends it.
func TestSuperviseRestarts(t *testing.T) {
	e, _ := testEnv(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, e.bin("testd")); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(e.Paths.Run, "testd.sock")
	t.Setenv("UP_TEST_SOCKET", socket)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		e.keep(ctx, Daemon{Name: "testd", Socket: socket}, slog.New(slog.DiscardHandler))
		close(done)
	}()
	up := func() bool { return answers(socket) }
	for range 2 {
		if err := waitFor(t.Context(), 20*time.Second, nil, up); err != nil {
			t.Fatal("the daemon does not serve: ", err)
		}
		if out, err := exec.Command("pkill", "-KILL", "-f", e.bin("testd")).CombinedOutput(); err != nil {
			t.Fatalf("pkill: %v %s", err, out)
		}
		if err := waitFor(t.Context(), 20*time.Second, nil, func() bool { return !up() }); err != nil {
			t.Fatal("the daemon did not die: ", err)
		}
	}
	if err := waitFor(t.Context(), 20*time.Second, nil, up); err != nil {
		t.Fatal("the daemon did not come back: ", err)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("keep did not end")
	}
	if up() {
		t.Error("the daemon outlived its supervisor")
	}
}

// TestCookieFile: the Xauthority file has two well-formed entries for the display.
func TestCookieFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth")
	if err := writeCookie(path, 27); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for len(b) > 0 {
		b = b[2:] // family
		var fields []string
		for range 4 {
			n := int(b[0])<<8 | int(b[1])
			fields, b = append(fields, string(b[2:2+n])), b[2+n:]
		}
		if fields[1] != "27" || fields[2] != "MIT-MAGIC-COOKIE-1" || len(fields[3]) != 16 {
			t.Errorf("entry %d: %q", entries, fields)
		}
		entries++
	}
	if entries != 2 {
		t.Errorf("%d entries, want 2", entries)
	}
}

// TestOutdated: a daemon whose program file was replaced is noticed, an untouched one is not.
func TestOutdated(t *testing.T) {
	e, _ := testEnv(t)
	program := filepath.Join(e.BinDir, "sleeper")
	install := func() {
		t.Helper()
		b, err := os.ReadFile("/bin/sleep")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program+".new", b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	install()
	cmd := exec.Command(program, "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if e.outdated() {
		t.Error("outdated without a supervisor")
	}
	pid := fmt.Sprintln(os.Getpid()) // the test is the supervisor, the sleeper its child
	if err := os.WriteFile(filepath.Join(e.Paths.Run, "supervisor.lock"), []byte(pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if e.outdated() {
		t.Error("outdated although nothing was replaced")
	}
	install()
	if !e.outdated() {
		t.Error("a replaced program was not noticed")
	}
}

// TestVirtualDisplay: a lost display of ours is replaced and recorded anew; the end of the
// instance ends it, and a display of somebody else is left alone.
func TestVirtualDisplay(t *testing.T) {
	for _, p := range []string{"Xvfb", "xset"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is missing", p)
		}
	}
	t.Setenv("DISPLAY", "")
	e, _ := testEnv(t)
	if err := e.Display(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, auth, ok := e.recordedDisplay()
	if !ok || !displayAnswers(first) {
		t.Fatalf("recorded %q, which does not answer", first)
	}
	defer e.endXvfb()
	if err := e.usable(t.Context(), first, auth); err != nil {
		t.Errorf("our own display: %v", err)
	}
	if err := e.usable(t.Context(), first, "/dev/null"); err == nil || !strings.Contains(err.Error(), "does not let") {
		t.Errorf("without the cookie: %v", err)
	}
	server := func(display string) int {
		n, _ := displayNumber(display)
		return serverPID(n)
	}
	before := server(first)
	e.Out = io.Discard // the watcher speaks from its own goroutine
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { e.watchDisplay(ctx); close(done) }()
	if err := e.endXvfb(); err != nil {
		t.Fatal(err)
	}
	if err := e.recordDisplay(first, auth); err != nil { // as if it had crashed
		t.Fatal(err)
	}
	if err := waitFor(t.Context(), 20*time.Second, nil, func() bool {
		d, a, ok := e.recordedDisplay()
		return ok && server(d) != before && displayAnswers(d) && e.usable(t.Context(), d, a) == nil
	}); err != nil {
		t.Fatal("no new display: ", err)
	}
	cancel()
	<-done
	second, _, _ := e.recordedDisplay()
	other, _ := testEnv(t)
	if err := other.recordDisplay(second, auth); err != nil {
		t.Fatal(err)
	}
	if err := other.endXvfb(); err != nil || !displayAnswers(second) {
		t.Errorf("another instance ended our display (%v)", err)
	}
	if err := e.endXvfb(); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(t.Context(), 20*time.Second, nil, func() bool { return !displayAnswers(second) }); err != nil {
		t.Error("the display outlives its instance: ", err)
	}
}
