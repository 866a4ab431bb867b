// Package up brings one instance from a bare machine to running daemons and a starter set
// of qubes. Every step is idempotent: a run that was interrupted is continued by the next,
// and nothing half-made is taken for whole. It is not a supervisor of qubes (qubesd is).
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"qubist/core/paths"
)

// Env is what the steps need from outside. The zero value is not usable; see New.
type Env struct {
	Paths  paths.Paths
	Root   string // as given by --root, "" for the system's instance
	BinDir string // where our programs are
	Cache  string // template cache: root.img, vmlinuz, initramfs, manifest.json
	Out    io.Writer
	Now    func() time.Time
	// Run executes a program to its end and gives its combined output.
	Run func(ctx context.Context, name string, args ...string) (string, error)

	began time.Time
}

// New fills the parts that do not depend on flags.
func New(p paths.Paths, root, binDir, cache string, out io.Writer) *Env {
	return &Env{Paths: p, Root: root, BinDir: binDir, Cache: cache, Out: out, Now: time.Now, Run: run, began: time.Now()}
}

// Hint is an error with the next step for the user on a line of its own.
type Hint struct {
	Err  error
	Next string
}

func (h *Hint) Error() string { return h.Err.Error() }
func (h *Hint) Unwrap() error { return h.Err }

// Explain renders err for a terminal: what failed, then what to do about it.
func Explain(err error) string {
	s := "qubist: " + err.Error() + "\n"
	if h := (*Hint)(nil); errors.As(err, &h) {
		s += "   next: " + h.Next + "\n"
	}
	return s
}

// Say prints one progress line with the seconds since the beginning.
func (e *Env) Say(format string, args ...any) {
	fmt.Fprintf(e.Out, "[%4.0f s] %s\n", e.Now().Sub(e.began).Seconds(), fmt.Sprintf(format, args...))
}

// bin is the path of one of our own programs.
func (e *Env) bin(name string) string { return filepath.Join(e.BinDir, name) }

// rootArgs are the arguments that select this instance.
func (e *Env) rootArgs() []string {
	if e.Root == "" {
		return nil
	}
	return []string{"--root", e.Root}
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w%s", filepath.Base(name), err, lastLines(string(out), 6))
	}
	return string(out), err
}

// lastLines gives the end of a program's output as the evidence below an error.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	if len(lines) == 1 && lines[0] == "" {
		return ""
	}
	return "\n      " + strings.Join(lines, "\n      ")
}
