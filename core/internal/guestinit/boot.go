package guestinit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The first user of a template (recipe, customize.sh).
const (
	userID      = 1000
	userRuntime = "/run/user/1000"
)

// diskWait is how long the root device may take to appear; a loaded host is slow.
const diskWait = 120 * time.Second

// Run does everything. It does not return in normal operation: it becomes systemd or ends
// the VM. log is the console.
func Run(log io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(log, "qubes-init: "+format+"\n", args...) }
	if err := kernelFilesystems(); err != nil {
		return err
	}
	raw, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	o, err := ParseCmdline(string(raw))
	if err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	var buttons []*os.File
	if o.Service { // from here on a press is remembered
		buttons = openButtons("/dev/input", say)
	}
	if err := waitFor(o.Root, diskWait); err != nil {
		return fmt.Errorf("root device: %w", err)
	}
	if err := switchRoot(o.Root); err != nil {
		return err
	}
	os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if o.Name != "" {
		if err := unix.Sethostname([]byte(o.Name)); err != nil {
			return fmt.Errorf("setting the host name: %w", err)
		}
	}
	if o.Rescue {
		say("rescue start: the private volume is left alone")
	} else if err := mountPrivate("/dev/vdb", say); err != nil {
		return fmt.Errorf("private volume: %w (qubist.rescue=1 starts without it)", err)
	}
	if err := swapOn("/dev/vdc"); err != nil {
		say("no swap: %v", err)
	}
	if err := runtimeDirs(); err != nil {
		return err
	}
	if o.Service {
		return serve(o, buttons, say)
	}
	err = unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=" + os.Getenv("PATH"), "TERM=linux"})
	return fmt.Errorf("starting systemd: %w", err)
}

type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

func (m mount) do() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mounting %s on %s: %w", m.source, m.target, err)
	}
	return nil
}

func mountAll(ms ...mount) error {
	for _, m := range ms {
		if err := m.do(); err != nil {
			return err
		}
	}
	return nil
}

const noExec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

func kernelFilesystems() error {
	return mountAll(
		mount{"proc", "/proc", "proc", noExec, ""},
		mount{"sysfs", "/sys", "sysfs", noExec, ""},
		mount{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	)
}

// runtimeDirs mounts /run and makes what the agents expect there. systemd takes it over.
// Agents run programs without a login session, whose runtime directory somebody must make.
func runtimeDirs() error {
	if err := (mount{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=20%"}).do(); err != nil {
		return err
	}
	for _, d := range []string{"/run/lock", "/run/qubes", "/run/user", userRuntime} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(userRuntime, 0o700); err != nil {
		return err
	}
	return os.Chown(userRuntime, userID, userID)
}

// loadModules loads the modules that dir/order names, in that order.
func loadModules(dir string) error {
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		return fmt.Errorf("list of modules: %w", err)
	}
	for _, name := range strings.Fields(string(order)) {
		f, err := os.Open(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("loading module %s: %w", name, err)
		}
	}
	return nil
}

// waitFor waits until path exists.
func waitFor(path string, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		} else if time.Now().After(end) {
			return fmt.Errorf("%s did not appear within %v", path, limit)
		}
	}
}

// switchRoot mounts dev, frees the initrd and makes dev the root.
func switchRoot(dev string) error {
	const root = "/sysroot"
	if err := (mount{dev, root, "ext4", unix.MS_NOATIME, ""}).do(); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	if _, err := os.Stat(root + "/usr"); err != nil {
		return fmt.Errorf("%s holds no system: %w", dev, err)
	}
	for _, d := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mount(d, root+d, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s: %w", d, err)
		}
	}
	os.RemoveAll("/modules") // memory; /init itself stays while it runs
	os.Remove("/init")
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(root, "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	return unix.Chdir("/")
}
