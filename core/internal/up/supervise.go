package up

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Daemon is one program that runs once per instance.
type Daemon struct {
	Name   string
	Args   []string
	Socket string // answers while the daemon lives
}

// Daemons are the programs of an instance beside those that qubesd starts for each VM.
func (e *Env) Daemons(hypervisor string) []Daemon {
	qubesd := e.rootArgs()
	if hypervisor != "" {
		qubesd = append(qubesd, "--hypervisor", hypervisor)
	}
	return []Daemon{
		{"qubesd", qubesd, e.Paths.QubesdSocket()},
		{"qrexec-policy-daemon", e.rootArgs(), e.Paths.PolicySocket()},
		{"qrexec-policy-agent", e.rootArgs(), e.Paths.PolicyAgentSocket()},
	}
}

const (
	readyLimit = 60 * time.Second // from a daemon's start to its READY
	minBackoff = 500 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// StartSupervisor makes sure that the instance's daemons run: it starts a supervisor in a
// session of its own, which outlives this process, and waits until all of them serve.
func (e *Env) StartSupervisor(ctx context.Context, hypervisor string) error {
	daemons := e.Daemons(hypervisor)
	lock, err := e.lockFile("supervisor.lock")
	if errors.Is(err, errLocked) && e.outdated() {
		e.Say("the programs were built anew: starting the daemons again; running qubes are not touched")
		if err := e.endSupervisor(ctx); err != nil {
			return err
		}
		lock, err = e.lockFile("supervisor.lock")
	}
	switch {
	case errors.Is(err, errLocked): // one is there: wait for what it starts
	case err != nil:
		return err
	default:
		lock.Close()
		self, err := os.Executable()
		if err != nil {
			return err
		}
		e.Say("starting qubesd and the policy daemons")
		args := append([]string{"supervise", "--hypervisor", hypervisor}, e.rootArgs()...)
		if err := startDetached(self, args, e.logFile("supervisor")); err != nil {
			return fmt.Errorf("starting the supervisor: %w", err)
		}
	}
	for _, d := range daemons {
		if err := waitFor(ctx, readyLimit, nil, func() bool { return answers(d.Socket) }); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &Hint{fmt.Errorf("%s does not serve %s: %w%s", d.Name, d.Socket, err, tailFile(e.logFile(d.Name), 6)),
				"read " + e.logFile(d.Name) + ", then run again"}
		}
	}
	return nil
}

func (e *Env) logFile(name string) string { return filepath.Join(e.Paths.Log, name+".log") }

func tailFile(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return lastLines(string(b), n)
}

var errLocked = errors.New("locked by another process")

// lockFile takes an exclusive lock below the run directory without waiting. The holder's
// pid is in the file. Closing the file releases it.
func (e *Env) lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(e.Paths.Run, name), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func startDetached(path string, args []string, logPath string) error {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// Supervise keeps the instance's daemons running until ctx ends, then ends them. VMs and
// their daemons are not touched. Only one supervisor of an instance runs.
func (e *Env) Supervise(ctx context.Context, hypervisor string, log *slog.Logger) error {
	lock, err := e.lockFile("supervisor.lock")
	if err != nil {
		return fmt.Errorf("supervising this instance: %w", err)
	}
	defer lock.Close()
	var wg sync.WaitGroup
	for _, d := range e.Daemons(hypervisor) {
		wg.Go(func() { e.keep(ctx, d, log.With("daemon", d.Name)) })
	}
	wg.Go(func() { e.watchDisplay(ctx) })
	if hypervisor == "libvirt" {
		wg.Go(func() { e.watchLibvirt(ctx) })
	}
	wg.Wait()
	return nil
}

// keep runs one daemon again and again. One that survived an earlier supervisor is left
// alone until its socket falls silent.
func (e *Env) keep(ctx context.Context, d Daemon, log *slog.Logger) {
	backoff := minBackoff
	for ctx.Err() == nil {
		if answers(d.Socket) {
			sleep(ctx, 2*time.Second)
			continue
		}
		began := time.Now()
		err := e.runOnce(ctx, d, log)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			backoff = minBackoff
		}
		log.Warn("ended, starting it again", "after", time.Since(began).Round(time.Millisecond), "in", backoff, "err", err)
		sleep(ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// runOnce runs a daemon to its end. Its stderr goes to its own log.
func (e *Env) runOnce(ctx context.Context, d Daemon, log *slog.Logger) error {
	out, err := os.OpenFile(e.logFile(d.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, e.bin(d.Name), append([]string{"--ready-fd", "3"}, d.Args...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	line, _ := bufio.NewReader(r).ReadString('\n')
	if strings.TrimSpace(line) == "READY" {
		log.Info("ready", "after", time.Since(began).Round(time.Millisecond))
	}
	return cmd.Wait()
}
