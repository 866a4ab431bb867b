package guestinit

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

// Restart delays of a program that ends: doubled each time, from the first again after it
// ran for steady.
const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 10 * time.Second
	steady     = 20 * time.Second
)

type program struct {
	path string
	args []string

	pid     int
	started time.Time
	next    time.Time // when it may start again
	delay   time.Duration
}

// ended computes when the program starts again.
func (p *program) ended(now time.Time) {
	if p.delay == 0 || now.Sub(p.started) >= steady {
		p.delay = firstDelay
	} else {
		p.delay = min(2*p.delay, maxDelay)
	}
	p.pid, p.next = 0, now.Add(p.delay)
}

// supervisor keeps programs running and collects every ended process of the VM. One
// goroutine uses it.
type supervisor struct {
	programs []program
	say      func(string, ...any)
	stopping bool
}

func newSupervisor(p []program, say func(string, ...any)) *supervisor {
	return &supervisor{programs: p, say: say}
}

// startDue starts the programs whose time has come.
func (s *supervisor) startDue(now time.Time) {
	for i := range s.programs {
		p := &s.programs[i]
		if p.pid != 0 || now.Before(p.next) || s.stopping {
			continue
		}
		p.started = now
		pid, err := syscall.ForkExec(p.path, append([]string{p.path}, p.args...), &syscall.ProcAttr{
			Env:   []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LANG=C.UTF-8"},
			Files: []uintptr{0, 1, 2},
			Dir:   "/",
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		if err != nil {
			p.ended(now)
			s.say("starting %s: %v (again in %v)", p.path, err, p.delay)
			continue
		}
		p.pid = pid
	}
}

// reap collects ended processes and reports whether none is left.
func (s *supervisor) reap(now time.Time) (none bool) {
	for {
		var st syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &st, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return err == syscall.ECHILD
		case pid == 0:
			return false
		}
		for i := range s.programs {
			if p := &s.programs[i]; p.pid == pid {
				p.ended(now)
				if !s.stopping {
					s.say("%s ended (%s), again in %v", p.path, describe(st), p.delay)
				}
			}
		}
	}
}

func describe(st syscall.WaitStatus) string {
	if st.Signaled() {
		return "signal " + st.Signal().String()
	}
	return "status " + strconv.Itoa(st.ExitStatus())
}
