// Package runfile keeps the files by which the original shows that a qube's window daemon
// starts or runs: guid-booting.<domain> and guid-running.<domain> (spec gui-protocol.md
// §12.1).
package runfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrRunning: another daemon serves the domain already.
var ErrRunning = errors.New("another window daemon serves the qube")

// Files are the files of one daemon.
type Files struct {
	booting, running string
	boot             *os.File // locked while the daemon starts
}

// Start makes the boot file, or fails with ErrRunning.
func Start(dir string, domain uint32) (*Files, error) {
	f := &Files{booting: filepath.Join(dir, fmt.Sprintf("guid-booting.%d", domain)), running: filepath.Join(dir, fmt.Sprintf("guid-running.%d", domain))}
	boot, err := os.OpenFile(f.booting, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	f.boot = boot
	if err := unix.Flock(int(boot.Fd()), unix.LOCK_EX); err != nil {
		f.booted()
		return nil, fmt.Errorf("locking %s: %w", f.booting, err)
	}
	if alive(f.running) {
		f.booted()
		return nil, ErrRunning
	}
	return f, nil
}

// alive reports whether the process that a running file names exists. The original asks only
// for the file, and does not start any more after a crash.
func alive(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return err != nil || pid <= 0 || !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// Connected says that the agent is there: the boot file goes, the running file comes.
func (f *Files) Connected() error {
	if err := os.WriteFile(f.running, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		return fmt.Errorf("noting that the agent is connected: %w", err)
	}
	f.booted()
	return nil
}

// Disconnected says that the agent has gone.
func (f *Files) Disconnected() { _ = os.Remove(f.running) }

// End removes what is left.
func (f *Files) End() {
	f.Disconnected()
	f.booted()
}

func (f *Files) booted() {
	if f.boot != nil {
		_ = os.Remove(f.booting)
		f.boot.Close()
		f.boot = nil
	}
}
