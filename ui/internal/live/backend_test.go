package live_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qubist/ui/internal/live"
)

// program puts a shell script named name first in PATH.
func program(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestPrograms(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	record := `echo "$QUBIST_ROOT|$*" > ` + out + "\n"
	for _, c := range []struct {
		name, script string
		do           func(b live.Backend) error
		want         string // recorded
		err          string
	}{
		{"qubist-screenshot", record, func(b live.Backend) error { return b.Screenshot(t.Context(), "/x.png") }, "/r|--root /r /x.png", ""},
		{"qubist-screenshot", `printf 'first\nno display\033[2J\n' >&2; exit 1`, func(b live.Backend) error { return b.Screenshot(t.Context(), "/x.png") }, "", "no display_[2J"},
		{"qubist-screenshot", "exit 3", func(b live.Backend) error { return b.Screenshot(t.Context(), "/x.png") }, "", "exit status 3"},
		{"qvm", record, func(b live.Backend) error { return b.Disposable(t.Context(), "dvm", "xterm -e top") }, "/r|run --dispvm=dvm -- xterm -e top", ""},
		{"qvm", "exit 4", func(b live.Backend) error { return b.Disposable(t.Context(), "dvm", "false") }, "", ""},
		{"qvm", "exit 125", func(b live.Backend) error { return b.Disposable(t.Context(), "dvm", "x") }, "", "could not be reached"},
		{"qrexec-client", record, func(b live.Backend) error { return b.Run(t.Context(), "work", "xterm") }, "|--root /r -e -d work DEFAULT:xterm", ""},
		{"qrexec-client", "exit 127", func(b live.Backend) error { return b.Run(t.Context(), "work", "xterm") }, "", "no such command"},
		{"qrexec-client", "echo 'qrexec-client: no socket' >&2; exit 1", func(b live.Backend) error { return b.Run(t.Context(), "work", "xterm") }, "", "qrexec-client: no socket"},
	} {
		program(t, c.name, c.script)
		_ = os.Remove(out)
		err := c.do(live.Backend{Root: "/r"})
		if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %q: %v, want %q", c.name, c.script, err, c.err)
		}
		got, _ := os.ReadFile(out)
		if s := strings.TrimSpace(string(got)); s != c.want {
			t.Errorf("%s was called with %q, want %q", c.name, s, c.want)
		}
	}
}

// A disposable's keeper outlives the console that started it.
func TestDisposableOutlivesUs(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	signal := filepath.Join(t.TempDir(), "go")
	program(t, "qvm", "while [ ! -e "+signal+" ]; do sleep 0.05; done; echo done > "+out)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- live.Backend{}.Disposable(ctx, "dvm", "xterm") }()
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := <-ended; err == nil {
		t.Fatal("ended before the command")
	}
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(out); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the keeper was ended with us")
		}
	}
}
