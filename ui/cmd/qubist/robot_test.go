package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/adminapi"
	"qubist/ui/internal/uitest"
)

// binary is the console, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "qubist-robot-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "qubist")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// console starts the console on w × h cells against s.
func console(t *testing.T, s *uitest.Server, w, h int, args ...string) *uitest.Robot {
	t.Helper()
	c := exec.Command(binary, append([]string{"--root", filepath.Join(t.TempDir(), "robot"), "--socket", s.Socket}, args...)...)
	c.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor", "NO_COLOR=")
	return uitest.Run(t, w, h, c)
}

// leave quits and checks that nothing is left behind.
func leave(t *testing.T, r *uitest.Robot, key string) {
	t.Helper()
	r.Press(key)
	if err := r.End(); err != nil {
		t.Fatalf("the console ended with %v", err)
	}
	if !r.Term.Restored() {
		t.Error("the terminal is not as it was")
	}
	if s := r.Term.Strange(); len(s) > 0 {
		t.Errorf("strange sequences on the terminal: %q", s)
	}
}

func TestStartByKey(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	s.Delay = 300 * time.Millisecond
	r := console(t, s, 120, 40)
	r.See("● live", "untrusted", "TCG: software emulation", "6 of 11 running")
	r.Press(":", "open untrusted", "enter")
	r.See("Qube untrusted", "qrexec_timeout")
	r.Press("esc")
	r.Gone("qrexec_timeout")
	r.Press("s")
	r.See("starting")
	r.See("started untrusted", "qvm-start untrusted", "7 of 11 running")
	if c := s.Calls(); !slices.Contains(c, "admin.vm.Start untrusted") {
		t.Errorf("the server was asked for %q", c)
	}
	leave(t, r, "q")
	r.Gone("● live")
}

func TestFilterHelpAndRefusal(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 80, 24)
	r.See("vault", "work")
	r.Press("/", "label:blue")
	r.Gone("vault")
	r.See("1 of 12")
	r.Press("enter", "s")
	r.See("work is running already.")
	r.Press("?")
	r.See("not now: work is running already.", "This qube, or the marked ones")
	r.Press("esc")
	r.Gone("This qube, or the marked ones")
	r.Press("esc", "esc")
	r.See("vault")
	leave(t, r, "ctrl+c")
	if len(s.Calls()) > 0 {
		t.Errorf("something was changed: %q", s.Calls())
	}
}

func TestBulkIsPreviewed(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 120, 40)
	r.See("vault")
	r.Press("/", "work,vault", "enter", "*")
	r.See("2 marked")
	r.Press("S")
	r.See("Shut down 1 of 2 qubes", "refused: vault is halted already.")
	r.Press("enter")
	r.See("shut down work")
	leave(t, r, "q")
	if c := s.Calls(); !slices.Equal(c, []string{"admin.vm.Shutdown+wait work"}) {
		t.Errorf("the server was asked for %q", c)
	}
}

func TestRemoveNamesItsObject(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 80, 24)
	r.See("vault")
	r.Press("/", "name:vault", "enter", "d")
	r.See("Remove vault?", "cannot be undone")
	r.Press("esc")
	r.Gone("cannot be undone")
	r.Press("d", "enter")
	r.See("removed vault")
	r.Press("esc")
	leave(t, r, "q")
	if c := s.Calls(); !slices.Equal(c, []string{"admin.vm.Remove vault"}) {
		t.Errorf("the server was asked for %q", c)
	}
}

func TestFailureIsTold(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	s.StartError = map[string]*adminapi.Error{"vault": adminapi.Errorf(adminapi.MemoryError, "Not enough memory to start domain \x1b]0;x\x07vault")}
	r := console(t, s, 80, 24)
	r.See("vault")
	r.Press("/", "name:vault", "enter", "s")
	r.See("vault did not start.", "Not enough memory to start domain _]0;x_vault.", "Shut down a qube that is not needed", "halted ✗")
	leave(t, r, "q")
	if titles := r.Term.Titles(); slices.ContainsFunc(titles, func(s string) bool { return s == "x" }) {
		t.Errorf("window titles %q", titles)
	}
}

func TestConnectionLostAndHealed(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 80, 24)
	r.See("● live", "work")
	s.Close()
	r.See("○ lost", "work")
	r.Press("s")
	r.See("There is no connection to qubesd")
	s.Listen(t)
	r.See("● live")
	leave(t, r, "q")
}

// A server that no longer answers is said to be silent; the console's keys go on working.
func TestHungServer(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 80, 24)
	r.See("● live", "untrusted")
	end := s.Hang()
	r.Press("/", "name:untrusted", "enter", "s")
	r.See("starting untrusted")
	r.See("○ no answer")
	r.Press("?")
	r.See("This qube, or the marked ones")
	r.Press("esc")
	end()
	r.See("● live")
	leave(t, r, "q")
}

func TestNoServerYet(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	s.Close()
	r := console(t, s, 80, 24)
	r.See("qubesd does not answer at", "keeps trying")
	s.Listen(t)
	r.See("● live", "work")
	leave(t, r, "q")
}

func TestSmallTerminalAndResize(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 50, 12)
	r.See("needs 60 × 16 cells")
	r.Resize(100, 30)
	r.See("work", "sys-firewall")
	leave(t, r, "q")
}

func TestSignalsRestoreTheTerminal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		s := uitest.Serve(t, uitest.Typical())
		r := console(t, s, 80, 24)
		r.See("● live")
		r.Signal(sig)
		if err := r.End(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
		if !r.Term.Restored() {
			t.Errorf("%v: the terminal is not as it was", sig)
		}
	}
}

func TestReadOnly(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 80, 24, "--read-only")
	r.See("read only", "work")
	r.Press("G", "S")
	r.See("This console was started with --read-only.")
	leave(t, r, "q")
	if len(s.Calls()) > 0 {
		t.Errorf("something was changed: %q", s.Calls())
	}
}

func TestNotATerminal(t *testing.T) {
	out, err := exec.Command(binary).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "not a terminal") {
		t.Errorf("%v: %s", err, out)
	}
}

// qubesd builds the real daemon beside the console; the demonstration and a true Admin API
// need it.
func qubesd(t *testing.T) {
	t.Helper()
	build := exec.Command("go", "build", "-tags", "libvirt_dlopen", "-o", filepath.Join(filepath.Dir(binary), "qubesd"), "qubist/core/cmd/qubesd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("qubesd, which needs a C compiler, cannot be built here: %s", out)
	}
}

// The console against the real qubesd: the demonstration fills, a qube starts and is shut
// down by keys, and at the end nothing is left.
func TestDemo(t *testing.T) {
	qubesd(t)
	tmp := t.TempDir()
	c := exec.Command(binary, "--demo")
	c.Env = append(os.Environ(), "TERM=xterm-256color", "TMPDIR="+tmp)
	r := uitest.Run(t, 120, 40, c)
	r.See("● live", "5 of 14 running")
	r.Press("/", "name:vault", "enter", "s")
	r.See("started vault", "6 of 14 running")
	r.Press("S")
	r.See("shut down vault", "5 of 14 running")
	r.Press("d", "enter")
	r.See("removed vault", "5 of 13 running")
	r.Press("esc", "n", "music", "enter")
	r.See("created music", "5 of 14 running")
	leave(t, r, "q")
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A change is undone and redone by keys, also by the next console.
func TestUndoSurvivesTheConsole(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	root := filepath.Join(t.TempDir(), "robot")
	again := func() *uitest.Robot {
		c := exec.Command(binary, "--root", root, "--socket", s.Socket)
		c.Env = append(os.Environ(), "TERM=xterm-256color")
		return uitest.Run(t, 120, 40, c)
	}
	r := again()
	r.See("● live", "work")
	r.Press(":", "open work", "enter")
	r.See("qrexec_timeout")
	r.Press(":", "set vcpus 4", "enter")
	r.See("set vcpus of work to 4", "qvm-prefs work vcpus 4", "u undo")
	r.Press("u")
	r.See("undid: vcpus of work is its default again", "qvm-prefs --default work vcpus", "ctrl+r redo")
	r.Press("\x12")
	r.See("redid: vcpus of work is 4 again")
	r.Press(":", "set memory 900", "enter")
	r.See("set memory of work to 900")
	leave(t, r, "ctrl+c")
	r = again()
	r.See("● live", "work")
	r.Press("u")
	r.See("undid: memory of work is its default again")
	r.Press("u")
	r.See("undid: vcpus of work is its default again")
	r.Press("u")
	r.See("No change has been made that could be undone.")
	leave(t, r, "ctrl+c")
	want := []string{"Set+vcpus", "Reset+vcpus", "Set+vcpus", "Set+memory", "Reset+memory", "Reset+vcpus"}
	for i, c := range s.Calls() {
		if i >= len(want) || c != "admin.vm.property."+want[i]+" work" {
			t.Fatalf("the server was asked for %q", s.Calls())
		}
	}
}

// The screens behind the digits, on real data of the demonstration's qubesd.
func TestScreensOnDigits(t *testing.T) {
	qubesd(t)
	c := exec.Command(binary, "--demo")
	c.Env = append(os.Environ(), "TERM=xterm-256color", "TMPDIR="+t.TempDir())
	r := uitest.Run(t, 120, 40, c)
	r.See("● live", "5 of 14 running", "1 Qubes", "disp-browser")
	r.Press("5")
	r.See("WAY OUT", "└ ■ sys-firewall", "10.137.0.4", "Not connected")
	r.Press("7")
	r.See("POOL", "varlibqubes", "banking            private", "no, empty at each start")
	r.Press("/", "vault private", "enter")
	r.See("vault              private")
	r.Gone("banking")
	r.Press("0")
	r.See("Connection", "None of 14 qubes is in trouble; 5 run.", "These serve: qubesd.", "are free where the qubes, the logs")
	r.Press("9")
	r.See("Nothing has been written yet.")
	r.Press(",")
	r.See("default_qrexec_timeout")
	r.Press(":", "home", "enter", "/", "name:vault", "enter", "L")
	r.See("No line matches qube:vault. esc shows all again.")
	r.Press("esc", "esc", "1")
	r.See("NAME")
	leave(t, r, "q")
}

// Editors by type, and one change of many qubes that is previewed, made, and undone as one.
func TestEditors(t *testing.T) {
	s := uitest.Serve(t, uitest.Typical())
	r := console(t, s, 120, 40)
	r.See("● live", "work")
	r.Press("/", "name:work", "enter", "e", "vcpus", "enter")
	r.See("vcpus of work:")
	r.Press("x")
	r.See("vcpus is a whole number")
	r.Press("enter")
	r.See("vcpus is a whole number")
	r.Press("\x15", "3", "enter")
	r.See("set vcpus of work to 3")
	r.Press("e", "label", "enter")
	r.See("orange")
	r.Press("ora", "enter")
	r.See("set label of work to orange")
	r.Press("esc", "/", "work,vault,personal", "enter", "*", "e", "default_user", "enter", "\x15", "alice", "enter")
	r.See("Set default_user of 3 qubes to alice", "default (user) → alice", "enter change 3")
	r.Press("enter")
	r.See("set default_user of", "u undo")
	r.Press("u")
	r.See("undid: default_user of")
	leave(t, r, "ctrl+c")
	set, reset := 0, 0
	for _, c := range s.Calls() {
		switch {
		case strings.HasPrefix(c, "admin.vm.property.Set+default_user"):
			set++
		case strings.HasPrefix(c, "admin.vm.property.Reset+default_user"):
			reset++
		}
	}
	if set != 3 || reset != 3 {
		t.Errorf("%d set, %d reset: %q", set, reset, s.Calls())
	}
}
