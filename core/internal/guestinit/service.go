package guestinit

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// agents are the programs of a service VM.
func agents(o Options) []program {
	p := []program{
		{path: "/usr/lib/qubes/qubes-vchan-agent"},
		{path: "/usr/lib/qubes/qubesdb-daemon", args: []string{"0"}},
		{path: "/usr/lib/qubes/qrexec-agent"},
	}
	if o.GUI {
		p = append(p, program{path: "/usr/lib/qubes/qubes-gui-agent"})
	}
	return p
}

// stopGrace is how long programs have to end before they are killed.
const stopGrace = 3 * time.Second

// serve is the life of PID 1 in a service VM: it returns only when it cannot start.
func serve(o Options, buttons []*os.File, say func(string, ...any)) error {
	if err := serviceMounts(); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		say("loopback interface: %v", err)
	}
	s := newSupervisor(agents(o), say)
	end := make(chan int, 8) // reboot(2) command that ends the VM
	for _, f := range buttons {
		go watchPower(f, end)
	}
	sig := make(chan os.Signal, 16)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2, syscall.SIGCHLD)
	unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) // ctrl-alt-del comes as SIGINT
	s.startDue(time.Now())
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.reap(now) // also what a lost SIGCHLD would have told
			s.startDue(now)
		case got := <-sig:
			switch got {
			case syscall.SIGTERM, syscall.SIGUSR2:
				end <- unix.LINUX_REBOOT_CMD_POWER_OFF
			case syscall.SIGINT:
				end <- unix.LINUX_REBOOT_CMD_RESTART
			default:
				s.reap(time.Now())
			}
		case how := <-end:
			shutdown(s, how, say)
			return fmt.Errorf("the kernel refused to end the VM")
		}
	}
}

func serviceMounts() error {
	if err := mountAll(
		mount{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=50%"},
		mount{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
		mount{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	); err != nil {
		return err
	}
	for link, to := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, link); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

// loopbackUp does what `ip link set lo up` does.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// Layout of struct input_event on 64-bit machines (linux/input.h).
const (
	inputEventSize = 24
	evKey          = 1
	keyPower       = 116
)

// powerPressed reports whether the buffer of input events holds a press of the power button.
func powerPressed(b []byte) bool {
	for ; len(b) >= inputEventSize; b = b[inputEventSize:] {
		if binary.LittleEndian.Uint16(b[16:]) == evKey && binary.LittleEndian.Uint16(b[18:]) == keyPower && binary.LittleEndian.Uint32(b[20:]) == 1 {
			return true
		}
	}
	return false
}

// openButtons opens the input devices, one of which is the ACPI power button.
func openButtons(dir string, say func(string, ...any)) []*os.File {
	var out []*os.File
	names, _ := filepath.Glob(filepath.Join(dir, "event*"))
	for _, n := range names {
		f, err := os.Open(n)
		if err != nil {
			say("power button: %v", err)
			continue
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		say("no power button: only a call or dom0's force stops this VM")
	}
	return out
}

// watchPower asks for the end when the power button is pressed. It ends with the VM.
func watchPower(f *os.File, end chan<- int) {
	defer f.Close()
	buf := make([]byte, 64*inputEventSize)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		if powerPressed(buf[:n]) {
			end <- unix.LINUX_REBOOT_CMD_POWER_OFF
		}
	}
}

// shutdown ends all programs, writes everything to the disks and ends the VM.
func shutdown(s *supervisor, how int, say func(string, ...any)) {
	say("stopping")
	s.stopping = true
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		syscall.Kill(-1, sig)
		for limit := time.Now().Add(stopGrace); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
			if s.reap(time.Now()) {
				break
			}
		}
	}
	unix.Sync()
	for _, m := range []string{"/home", "/rw", "/tmp"} {
		if err := unix.Unmount(m, 0); err != nil {
			unix.Unmount(m, unix.MNT_DETACH)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		say("root stays writable: %v", err)
	}
	unix.Sync()
	say("end")
	unix.Reboot(how)
}
