package replay

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pause lies between two looks at whether everybody is idle.
	pause = time.Millisecond
	// calm is how many looks in a row must find nobody at work.
	calm = 3
	// patience bounds the wait for everybody to become idle.
	patience = 3 * time.Second
)

// settle waits until what was started has run its course: the daemon has read all that was
// written, and it, the X server and the window manager use no processor time any more.
func (s *stage) settle() {
	deadline := time.Now().Add(patience)
	var before uint64
	for still := 0; still < calm && time.Now().Before(deadline); {
		_ = s.c.Sync()
		used := s.used()
		switch {
		case s.unread() > 0:
			still = 0
		case used == before:
			still++
		default:
			still, before = 0, used
		}
		time.Sleep(pause)
	}
}

// used is the processor time of all programs of the stage but the X server's, which our
// own looking costs some; it has answered when Sync returns.
func (s *stage) used() (sum uint64) {
	if s.daemon != nil && s.daemon.Process != nil {
		sum += cpuTime(s.daemon.Process.Pid)
		sum += helpers(s.daemon.Process.Pid)
	}
	if s.wm != nil {
		sum += cpuTime(s.wm.Process.Pid)
	}
	return sum
}

// cpuTime is the time a process has run, in nanoseconds, all threads together.
func cpuTime(pid int) (sum uint64) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		first, _, _ := bytes.Cut(b, []byte(" "))
		n, _ := strconv.ParseUint(string(first), 10, 64)
		sum += n
	}
	return sum
}

// helpers is never the same twice while a child of the process runs: nothing is settled
// then.
func helpers(pid int) uint64 {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		if b, _ := os.ReadFile(t); len(bytes.TrimSpace(b)) > 0 {
			return uint64(time.Now().UnixNano())
		}
	}
	return 0
}

// unread is how many bytes of ours the daemon has not read yet.
func (s *stage) unread() (n int) {
	if s.agent == nil || s.agent.conn == nil {
		return 0
	}
	sc, ok := s.agent.conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil {
			n = 0
		}
	})
	return n
}
