// Package confine takes away from a process what its duty does not need, once and for
// good: new privileges, capabilities, files, network, dangerous system calls, resources.
// Daemons that read hostile bytes call Apply after they opened what they need and before
// they read the first byte. It is a second line: it does not replace running as the right
// user, and it does not judge arguments of the calls it leaves.
package confine

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Profile is what a process keeps. The zero value keeps the least: no files beyond the
// open ones, no network, no capabilities, no execution of programs.
type Profile struct {
	// Read are files and directories (with all below them) that may be read, Write those
	// that may also be written, created and removed. Missing ones are left out. Sockets
	// may be connected wherever their permissions allow it.
	Read, Write []string
	// Exec allows running programs, which inherit the confinement: they need their own
	// and their libraries' paths in Read.
	Exec bool
	// Network allows sockets other than Unix ones, and abstract Unix ones.
	Network bool
	// Caps are the capabilities kept, of those the process has (unix.CAP_…).
	Caps []int
	// Files is the limit of open descriptors, Data that of writable memory in bytes;
	// 0 leaves a limit as it is, and so does a number above what is allowed already.
	Files, Data uint64
}

// Apply confines the process, all its threads and all that it will start. An error means
// that something the kernel should support failed; the caller must not go on. A kernel
// without Landlock cannot restrict files and network: that is logged as a warning, once,
// and is no error.
func Apply(log *slog.Logger, p Profile) error {
	_, _ = time.Now().Zone() // logs need the time zone, which is read from a file at its first use
	if err := applyLimits(p); err != nil {
		return fmt.Errorf("confining: %w", err)
	}
	// Landlock first: its own calls must still be allowed.
	abi, err := applyLandlock(p)
	if err != nil {
		return fmt.Errorf("confining files: %w", err)
	}
	if abi == 0 {
		log.Warn("NOT CONFINED TO ITS FILES: this kernel has no Landlock")
	}
	if err := dropCapabilities(p.Caps); err != nil {
		return fmt.Errorf("confining: %w", err)
	}
	if err := applySeccomp(p); err != nil {
		return fmt.Errorf("confining system calls: %w", err)
	}
	log.Debug("confined", "landlock", abi, "exec", p.Exec, "network", p.Network)
	return nil
}

// applyLimits sets what belongs to the process, not to a thread.
func applyLimits(p Profile) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding memory dumps: %w", err)
	}
	for _, l := range []struct {
		what  string
		which int
		limit uint64
		set   bool
	}{
		{"core files", unix.RLIMIT_CORE, 0, true},
		{"descriptors", unix.RLIMIT_NOFILE, p.Files, p.Files > 0},
		{"memory", unix.RLIMIT_DATA, p.Data, p.Data > 0},
	} {
		if !l.set {
			continue
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(l.which, &now); err == nil {
			l.limit = min(l.limit, now.Max)
		}
		if err := unix.Setrlimit(l.which, &unix.Rlimit{Cur: l.limit, Max: l.limit}); err != nil {
			return fmt.Errorf("limiting %s to %d: %w", l.what, l.limit, err)
		}
	}
	return nil
}

// applySeccomp forbids new privileges and the calls on the list, for all threads.
func applySeccomp(p Profile) error {
	// The filter's installation copies no_new_privs to the other threads too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	return installFilter(filter(p.Exec, p.Network))
}
