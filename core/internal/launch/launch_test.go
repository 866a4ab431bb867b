package launch_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/internal/launch"
)

// TestMain lets the test binary play a daemon.
func TestMain(m *testing.M) {
	if mode := os.Getenv("QUBIST_TEST_DAEMON"); mode != "" {
		play(mode)
		return
	}
	os.Exit(m.Run())
}

// play writes its environment to a file, says READY, and waits for its end.
func play(mode string) {
	if mode == "fail" {
		fmt.Fprintln(os.Stderr, "cannot")
		os.Exit(3)
	}
	out := os.Getenv("QUBIST_TEST_OUT")
	f, err := os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(9)
	}
	fmt.Fprintf(f, "%d %s DISPLAY=%s\n", os.Getpid(), strings.Join(os.Args[1:], " "), os.Getenv("DISPLAY"))
	f.Close()
	ready := os.NewFile(3, "ready")
	fmt.Fprintln(ready, "READY")
	ready.Close()
	time.Sleep(time.Minute)
}

type place struct {
	dir string
	os  *launch.OS
	out string
}

func setup(t *testing.T, mode string) *place {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "prog")); err != nil {
		t.Fatal(err)
	}
	p := &place{dir: dir, out: filepath.Join(dir, "out")}
	t.Setenv("QUBIST_TEST_DAEMON", mode)
	t.Setenv("QUBIST_TEST_OUT", p.out)
	t.Setenv("DISPLAY", "")
	p.os = &launch.OS{Bin: dir, Root: "/r", PidDir: dir + "/pids", LogDir: dir + "/log", DisplayFile: dir + "/display", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	return p
}

func (p *place) group(t *testing.T) *launch.Group {
	return launch.New(p.os, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// runs are the starts so far: pid and the rest of the line.
func (p *place) runs() (pids []int, lines []string) {
	b, _ := os.ReadFile(p.out)
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		n, rest, _ := strings.Cut(l, " ")
		if pid, err := strconv.Atoi(n); err == nil {
			pids, lines = append(pids, pid), append(lines, rest)
		}
	}
	return pids, lines
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func daemon(display bool) launch.Daemon {
	return launch.Daemon{Program: "prog", XID: 7, Name: "work", Args: []string{"7", "work"}, Display: display}
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestStartWatchStop(t *testing.T) {
	p := setup(t, "serve")
	g := p.group(t)
	if err := g.Start(limit(t), daemon(false)); err != nil {
		t.Fatal(err)
	}
	if err := g.Start(limit(t), daemon(false)); err != nil {
		t.Fatal("starting what runs:", err)
	}
	pids, lines := p.runs()
	if len(pids) != 1 || lines[0] != "--root /r --ready-fd 3 7 work DISPLAY=" {
		t.Fatalf("ran %v %q", pids, lines)
	}
	if sid, err := syscall.Getpgid(pids[0]); err != nil || sid != pids[0] {
		t.Errorf("it is not in a session of its own: %d %v", sid, err)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the second start", func() bool { pids, _ = p.runs(); return len(pids) == 2 })
	g.Stop(7)
	if alive(pids[1]) {
		t.Error("it runs on after Stop")
	}
	if left := p.os.Leftovers(); len(left) != 0 {
		t.Errorf("pid files remain: %v", left)
	}
}

func TestFailureIsReported(t *testing.T) {
	p := setup(t, "fail")
	g := p.group(t)
	defer g.Stop(7)
	err := g.Start(limit(t), daemon(false))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	b, err := os.ReadFile(p.dir + "/log/prog.work.log")
	if err != nil || !strings.Contains(string(b), "cannot") {
		t.Errorf("log %q %v", b, err)
	}
}

func TestDaemonsOutliveUsAndAreAdopted(t *testing.T) {
	p := setup(t, "serve")
	g := p.group(t)
	if err := g.Start(limit(t), daemon(false)); err != nil {
		t.Fatal(err)
	}
	g.Close()
	pids, _ := p.runs()
	if !alive(pids[0]) {
		t.Fatal("Close ended it")
	}
	g = p.group(t)
	if err := g.Start(limit(t), daemon(false)); err != nil {
		t.Fatal(err)
	}
	if again, _ := p.runs(); len(again) != 1 {
		t.Errorf("started again instead of adopted: %v", again)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the adopted one to be replaced", func() bool { pids, _ = p.runs(); return len(pids) == 2 })
	g.Close()
	g = p.group(t)
	g.Keep(nil)
	until(t, "the leftover to end", func() bool { return !alive(pids[1]) })
}

func TestPidOfAnotherProcessIsLeftAlone(t *testing.T) {
	p := setup(t, "serve")
	if err := os.MkdirAll(p.os.PidDir, 0o700); err != nil {
		t.Fatal(err)
	}
	rec := fmt.Sprintf(`{"pid":%d,"started":"1","ready":true,"daemon":{"Program":"prog","XID":7,"Name":"work"}}`, os.Getpid())
	if err := os.WriteFile(p.os.PidDir+"/7.prog.pid", []byte(rec), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.os.Adopt(daemon(false)); got != nil {
		t.Fatal("adopted ourselves")
	}
	p.group(t).Keep(nil) // must not end us
}

func TestDisplayIsAwaited(t *testing.T) {
	p := setup(t, "serve")
	g := p.group(t)
	defer g.Stop(7)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := g.Start(ctx, daemon(true)); err == nil {
		t.Fatal("started without a display")
	}
	write := func(display string) {
		if err := os.WriteFile(p.dir+"/display", []byte(display+"\n/x/auth\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(":31999") // recorded, but nobody serves it
	again, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := g.Start(again, daemon(true)); err == nil {
		t.Fatal("started on a display that is gone")
	}
	write("far:42")
	if err := g.Start(limit(t), daemon(true)); err != nil {
		t.Fatal(err)
	}
	if _, lines := p.runs(); len(lines) != 1 || !strings.HasSuffix(lines[0], "DISPLAY=far:42") {
		t.Errorf("ran %q", lines)
	}
}
