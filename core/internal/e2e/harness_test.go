// Package e2e drives the built programs as a user would: real guests under QEMU, windows on
// a virtual X server, questions on a pseudo-terminal. It runs when QUBIST_E2E=1 (task e2e);
// QUBIST_BIN names the programs' folder, QUBIST_TEMPLATE the template cache. Times it prints
// are a report, never an assertion.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// desk is one instance under test.
type desk struct {
	t       *testing.T
	root    string
	bin     string
	cache   string
	figures []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	if os.Getenv("QUBIST_E2E") != "1" {
		t.Skip("needs libvirt, a template and about ten minutes without KVM: run `task e2e`")
	}
	d := &desk{t: t, bin: os.Getenv("QUBIST_BIN"), cache: os.Getenv("QUBIST_TEMPLATE")}
	for name, dir := range map[string]string{"QUBIST_BIN": d.bin, "QUBIST_TEMPLATE": d.cache} {
		if !filepath.IsAbs(dir) {
			t.Fatalf("%s must be an absolute path, is %q", name, dir)
		}
	}
	root, err := os.MkdirTemp("", "qe") // short: socket paths end at 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil { // QEMU's user must get to the disks
		t.Fatal(err)
	}
	d.root = root
	t.Cleanup(d.end)
	return d
}

// end takes the instance down and keeps its logs when the test failed.
func (d *desk) end() {
	if out, err := d.try(3*time.Minute, "qubist-up", "down", "--root", d.root); err != nil {
		d.t.Errorf("down: %v\n%s", err, out)
	}
	if display, _ := d.display(); display != "" {
		pid, err := os.ReadFile(fmt.Sprintf("/tmp/.X%s-lock", strings.TrimPrefix(display, ":")))
		if err == nil {
			_ = exec.Command("kill", strings.TrimSpace(string(pid))).Run()
		}
	}
	if d.t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(d.root, "log", "*.log"))
		for _, l := range logs {
			d.t.Logf("== %s\n%s", filepath.Base(l), tail(l, 3000))
		}
	}
	if err := os.RemoveAll(d.root); err != nil {
		d.t.Errorf("removing the instance: %v", err)
	}
	for _, f := range d.figures {
		d.t.Log("FIGURE " + f)
	}
}

func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}

// env is the environment of the programs under test: no display but the instance's.
func (d *desk) env(extra ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DISPLAY=") && !strings.HasPrefix(v, "XAUTHORITY=") {
			env = append(env, v)
		}
	}
	return append(append(env, "QUBIST_ROOT="+d.root, "TERM=xterm-256color"), extra...)
}

// command is one of our programs, or a system program when bin has none of that name.
func (d *desk) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if p := filepath.Join(d.bin, name); exists(p) {
		name = p
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = d.env()
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// try runs a program and gives what it printed.
func (d *desk) try(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := d.command(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("not finished after %v", limit)
	}
	return string(out), err
}

// do runs a program that must succeed.
func (d *desk) do(limit time.Duration, name string, args ...string) string {
	d.t.Helper()
	out, err := d.try(limit, name, args...)
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// inside runs a shell command in a qube as its user and gives its output.
func (d *desk) inside(vm, command string) string {
	d.t.Helper()
	return d.do(2*time.Minute, "qvm-run", "--pass-io", vm, command)
}

// figure reports a measured time.
func (d *desk) figure(what string, took time.Duration) {
	d.figures = append(d.figures, fmt.Sprintf("%-46s %6.1f s", what, took.Seconds()))
	d.t.Logf("%s: %.1f s", what, took.Seconds())
}

// until polls cond; the last error it gave is the failure's evidence.
func (d *desk) until(limit time.Duration, what string, cond func() error) {
	d.t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	d.t.Fatalf("%s: not within %v: %v", what, limit, err)
}

// display is the instance's X display.
func (d *desk) display() (name, auth string) {
	b, err := os.ReadFile(filepath.Join(d.root, "run", "display"))
	if err != nil {
		return "", ""
	}
	lines := strings.Split(string(b)+"\n\n", "\n")
	return lines[0], lines[1]
}

// x runs an X client on the instance's display.
func (d *desk) x(name string, args ...string) (string, error) {
	display, auth := d.display()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = d.env("DISPLAY="+display, "XAUTHORITY="+auth)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %v: %w: %s", name, args, err, errs.String())
	}
	return strings.TrimSpace(string(out)), err
}

// screenshot is what the desktop shows now. A copy is kept in $QUBIST_SHOTS when set.
func (d *desk) screenshot(name string) image.Image {
	d.t.Helper()
	file := filepath.Join(d.root, name+".png")
	d.do(20*time.Second, "qubist-screenshot", "--root", d.root, file)
	f, err := os.Open(file)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	img, _, err := image.Decode(f)
	if err != nil {
		d.t.Fatal(err)
	}
	if dir := os.Getenv("QUBIST_SHOTS"); dir != "" {
		if b, err := os.ReadFile(file); err == nil {
			_ = os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644)
		}
	}
	return img
}

// state is a qube's power state as qvm-ls shows it.
func (d *desk) state(vm string) string {
	out, err := d.try(20*time.Second, "qvm-ls", "--raw-data", "--fields", "name,state", vm)
	if err != nil {
		return "unknown: " + err.Error() + out
	}
	for _, line := range strings.Split(out, "\n") {
		if name, state, ok := strings.Cut(line, "|"); ok && name == vm {
			return state
		}
	}
	return "absent"
}
