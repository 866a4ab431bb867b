package logs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/ui/internal/logs"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func poll(t *testing.T, r *logs.Reader) []string {
	t.Helper()
	lines, err := r.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%s %s %s %s", l.Program, l.Qube, l.Level, l.Text))
	}
	return out
}

func TestMergedAndFollowed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "qubesd.log", "time=2026-11-21T12:00:03.000Z level=INFO msg=started vm=work\ntime=2026-11-21T12:00:01.000Z level=WARN msg=\"late one\"\n")
	write(t, dir, "qubes-guid.my.work.log", "time=2026-11-21T12:00:02.000Z level=ERROR msg=lost\n  continued\n")
	write(t, dir, "guest-work.log", "\x1b[0;32mBooting\x1b[0m\r\nprogress 1\rprogress 2\r\nhalf")
	write(t, dir, "guest-work.log.0", "rotated\n")
	r := logs.New(dir)
	old := time.Date(2026, 11, 21, 12, 0, 4, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "guest-work.log"), old, old); err != nil {
		t.Fatal(err)
	}
	want := []string{"qubesd  WARN \"late one\"", "qubes-guid my.work ERROR lost", "qubes-guid my.work   continued", "qubesd  INFO started vm=work",
		"console work  Booting", "console work  progress 2"}
	got := poll(t, r)
	for i := range got {
		got[i] = strings.Replace(got[i], "ERROR   continued", "ERROR continued", 1)
	}
	if !slices.Equal(got, append(want[:2:2], append([]string{"qubes-guid my.work    continued"}, want[3:]...)...)) {
		t.Errorf("%q", got)
	}
	write(t, dir, "guest-work.log", " line\nnext\n")
	if got := poll(t, r); !slices.Equal(got, []string{"console work  half line", "console work  next"}) {
		t.Errorf("then %q", got)
	}
	if got := poll(t, r); len(got) > 0 {
		t.Errorf("again %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "guest-work.log")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "guest-work.log", "new boot\n")
	if got := poll(t, r); !slices.Equal(got, []string{"console work  new boot"}) {
		t.Errorf("after rotation %q", got)
	}
}

func TestHostileLogs(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "guest-fifo.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "guest-link.log")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "guest-a.log", strings.Repeat("A", 3<<20)+"\n\x1b]0;title\x07\u202eevil\x9b2J\n"+strings.Repeat("B", 1<<20))
	write(t, dir, "guest-\x1b[2J.log", "x\n")
	r := logs.New(dir)
	for range 5 {
		lines, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			all := l.Program + l.Qube + l.Level + l.Text
			if len(all) > 5000 || strings.ContainsFunc(all, func(c rune) bool { return c < ' ' || c == 0x202e || c >= 0x7f && c < 0xa0 }) || strings.Contains(all, "root:") {
				t.Errorf("%q", all)
			}
		}
	}
	if _, err := r.Tail("../qubesd", 3); err == nil {
		t.Error("a path was taken for a qube")
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	r := logs.New(dir)
	if l, err := r.Tail("work", 3); err != nil || len(l) > 0 {
		t.Errorf("%q %v", l, err)
	}
	write(t, dir, "guest-work.log", strings.Repeat("noise\n", 100000)+"one\ntwo\nKernel panic - not syncing: VFS")
	if l, err := r.Tail("work", 2); err != nil || !slices.Equal(l, []string{"two", "Kernel panic - not syncing: VFS"}) {
		t.Errorf("%q %v", l, err)
	}
}

func TestOrigin(t *testing.T) {
	for name, want := range map[string][2]string{
		"qubesd.log": {"qubesd", ""}, "guest-sys-net.log": {"console", "sys-net"}, "qrexec-daemon.a.b.log": {"qrexec-daemon", "a.b"},
		"guest-1.log": {"guest-1", ""}, "xvfb.log": {"xvfb", ""}, "qubist.log": {"qubist", ""},
	} {
		if p, q := logs.Origin(name); p != want[0] || q != want[1] {
			t.Errorf("%s: %q %q", name, p, q)
		}
	}
}
