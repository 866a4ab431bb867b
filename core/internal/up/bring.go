package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"qubist/assets"
	"qubist/core/adminclient"
	"qubist/core/qube"
)

// Options of Bring.
type Options struct {
	Hypervisor      string // libvirt or fake
	RefreshTemplate bool
}

// Bring makes the instance serve. A second Bring at the same time waits for the first.
func (e *Env) Bring(ctx context.Context, o Options) error {
	if err := e.Directories(); err != nil {
		return err
	}
	lock, err := e.waitLock(ctx, "up.lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if o.Hypervisor == "libvirt" {
		if err := e.Libvirt(ctx); err != nil {
			return err
		}
	}
	if err := e.Display(ctx); err != nil {
		return err
	}
	if err := e.InstallFiles(assets.PolicyFS(), e.Paths.PolicyDir(), 0o664); err != nil {
		return fmt.Errorf("installing the default policy: %w", err)
	}
	if err := e.StartSupervisor(ctx, o.Hypervisor); err != nil {
		return err
	}
	if o.Hypervisor == "libvirt" {
		if err := e.StarterSet(ctx, o.RefreshTemplate); err != nil {
			return err
		}
	}
	e.Say("ready: %s", e.accel(ctx))
	return nil
}

// accel is one line about how guests run.
func (e *Env) accel(ctx context.Context) string {
	s, err := adminclient.New(e.Paths.QubesdSocket()).Status(ctx)
	if err != nil {
		return "qubesd does not tell how guests run"
	}
	if s["accel_reason"] != "" {
		return "guests run under " + s["accel"] + ": " + s["accel_reason"]
	}
	return "guests run under " + s["accel"]
}

// waitLock takes a lock, telling the user when another process holds it.
func (e *Env) waitLock(ctx context.Context, name string) (*os.File, error) {
	told := false
	for {
		f, err := e.lockFile(name)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		if !told {
			holder, _ := os.ReadFile(filepath.Join(e.Paths.Run, name))
			e.Say("another run is bringing this instance up (process %s): waiting for it", strings.TrimSpace(string(holder)))
			told = true
		}
		sleep(ctx, 200*time.Millisecond)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// Console replaces this process by the console.
func (e *Env) Console() error {
	path := e.bin("qubist")
	err := syscall.Exec(path, append([]string{"qubist"}, e.rootArgs()...), os.Environ())
	return fmt.Errorf("starting the console %s: %w", path, err)
}

// Down shuts the qubes down, kills those that do not go, and ends the daemons.
func (e *Env) Down(ctx context.Context) error {
	var problems []error
	if answers(e.Paths.QubesdSocket()) {
		if err := e.haltAll(ctx, adminclient.New(e.Paths.QubesdSocket())); err != nil {
			problems = append(problems, err)
		}
	}
	err := e.endSupervisor(ctx)
	if err == nil { // else it would start the display again
		err = e.endXvfb()
	}
	problems = append(problems, err)
	return errors.Join(problems...)
}

const haltLimit = 60 * time.Second

func (e *Env) haltAll(ctx context.Context, c *adminclient.Client) error {
	began := e.Now()
	for killed := false; ; {
		vms, err := c.List(ctx, string(qube.Dom0))
		if err != nil {
			return fmt.Errorf("listing qubes: %w", err)
		}
		var up []string
		for _, vm := range vms {
			if vm.Class != qube.AdminVM && vm.State != qube.Halted {
				up = append(up, string(vm.Name))
			}
		}
		over := e.Now().Sub(began) > haltLimit
		switch {
		case len(up) == 0:
			return nil
		case over && killed:
			return fmt.Errorf("these qubes neither shut down nor could be killed: %s", strings.Join(up, " "))
		}
		for _, vm := range up {
			if over {
				e.Say("killing %s: it did not shut down within %v", vm, haltLimit)
				err = c.Kill(ctx, vm)
			} else if e.Now().Sub(began) < time.Second {
				e.Say("shutting down %s", vm)
				err = c.Shutdown(ctx, vm, true, false)
			}
			if err != nil && !over {
				e.Say("shutting down %s: %v; killing it", vm, err)
				_ = c.Kill(ctx, vm)
			}
		}
		killed = over
		sleep(ctx, time.Second)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// endSupervisor ends the supervisor and with it the instance's daemons.
func (e *Env) endSupervisor(ctx context.Context) error {
	lock, err := e.lockFile("supervisor.lock")
	if err == nil {
		return lock.Close() // nobody there
	}
	if !errors.Is(err, errLocked) {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	pid, err := e.supervisorPID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending the supervisor (process %d): %w", pid, err)
	}
	return waitFor(ctx, 20*time.Second, nil, func() bool {
		l, err := e.lockFile("supervisor.lock")
		if err != nil {
			return false
		}
		l.Close()
		return true
	})
}

func (e *Env) supervisorPID() (int, error) {
	b, err := os.ReadFile(filepath.Join(e.Paths.Run, "supervisor.lock"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("the supervisor's lock holds no process number: %q", b)
	}
	return pid, nil
}

// outdated says whether the supervisor or one of its daemons runs a program file that has
// been replaced since. What cannot be found out counts as no.
func (e *Env) outdated() bool {
	pid, err := e.supervisorPID()
	if err != nil {
		return false
	}
	pids := []string{strconv.Itoa(pid)}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		pids = append(pids, strings.Fields(string(b))...)
	}
	for _, p := range pids {
		exe, err := os.Readlink("/proc/" + p + "/exe")
		if err == nil && strings.HasSuffix(exe, " (deleted)") && exists(strings.TrimSuffix(exe, " (deleted)")) {
			return true
		}
	}
	return false
}
