package promptd

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// reopenDelay keeps a terminal that ends at once from being opened over and over.
const reopenDelay = 2 * time.Second

// open calls cfg.Open whenever a question is open and nobody shows it: at once, or after
// the grace time when a front end watches and may attach.
func (a *Agent) open(ctx context.Context) {
	if a.cfg.Open == nil {
		<-ctx.Done()
		return
	}
	for ctx.Err() == nil {
		s := a.queue.State()
		if s.Waiting == 0 || s.Attached {
			wait(ctx, s.Changed, nil)
			continue
		}
		if a.watched() && a.attachedWithin(ctx, a.cfg.Grace) {
			continue
		}
		if s = a.queue.State(); s.Waiting == 0 || s.Attached {
			continue
		}
		if err := a.cfg.Open(ctx); err != nil && ctx.Err() == nil {
			a.cfg.Log.Error("no window for the question", "error", err)
		}
		wait(ctx, nil, time.After(reopenDelay))
	}
}

// attachedWithin waits until a front end attaches or nothing is open any more.
func (a *Agent) attachedWithin(ctx context.Context, d time.Duration) bool {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		s := a.queue.State()
		if s.Attached || s.Waiting == 0 {
			return true
		}
		select {
		case <-s.Changed:
		case <-end.C:
			return false
		case <-ctx.Done():
			return true
		}
	}
}

func wait(ctx context.Context, changed <-chan struct{}, timer <-chan time.Time) {
	select {
	case <-changed:
	case <-timer:
	case <-ctx.Done():
	}
}

// Terminal opens a terminal window on an X display and runs a command in it.
type Terminal struct {
	Program     string   // "xterm", or a program that takes -e COMMAND
	Command     []string // what runs inside
	DisplayFile string   // names DISPLAY and XAUTHORITY; the environment's are used without it
}

// xtermOptions make a window of its own look: a plain 80×24, nothing that lets another X
// client send keys to it or the text inside command it.
var xtermOptions = []string{
	"-tn", "xterm-256color",
	"-name", "qubist-question", "-title", "Qubist: a question", "-geometry", "80x24", "+sb", "-b", "12",
	"-bg", "#16181d", "-fg", "#e4e6eb", "-fa", "Monospace", "-fs", "12",
	"-xrm", "*allowSendEvents: false", "-xrm", "*allowWindowOps: false", "-xrm", "*allowTitleOps: false",
	"-xrm", "*allowFontOps: false", "-xrm", "*allowTcapOps: false", "-xrm", "*allowColorOps: false",
}

// Open runs the terminal until it ends. Without a display it is an error.
func (t Terminal) Open(ctx context.Context) error {
	env, err := t.environment()
	if err != nil {
		return err
	}
	var args []string
	if t.Program == "xterm" || strings.HasSuffix(t.Program, "/xterm") {
		args = append(args, xtermOptions...)
	}
	args = append(append(args, "-e"), t.Command...)
	cmd := exec.CommandContext(ctx, t.Program, args...)
	cmd.Env = append(env, "COLORTERM=truecolor")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w", t.Program, err)
	}
	return nil
}

// environment is ours with the instance's display.
func (t Terminal) environment() ([]string, error) {
	env := os.Environ()
	f, err := os.Open(t.DisplayFile)
	if err != nil {
		if os.Getenv("DISPLAY") == "" {
			return nil, fmt.Errorf("finding a display: %w", err)
		}
		return env, nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for _, name := range []string{"DISPLAY", "XAUTHORITY"} {
		if lines.Scan() && lines.Text() != "" {
			env = append(env, name+"="+lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the display's name: %w", err)
	}
	return env, nil
}
