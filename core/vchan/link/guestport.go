package link

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"qubist/core/vchan/internal/usock"
)

// PortName is the name of the virtio-serial port that carries a VM's vchans.
const PortName = "org.qubist.vchan"

const (
	// findPause is the pause between looks for a port that is not there yet.
	findPause = 20 * time.Millisecond
	// hostPause is the pause between looks whether the host has its end open. There is
	// no event to wait for (spec qemu-backend.md §3).
	hostPause = 100 * time.Millisecond
)

// GuestPort returns an Open for the VM: it finds the virtio-serial port of that name below
// root (normally "/"), opens it and waits until the host has its end open. It never gives
// up before ctx ends.
func GuestPort(root, name string) func(context.Context) (Port, error) {
	return func(ctx context.Context) (Port, error) {
		for {
			f, err := openPort(root, name)
			if err == nil {
				if err = waitHost(ctx, f); err == nil {
					return f, nil
				}
				f.Close()
			}
			if err := usock.Sleep(ctx, findPause); err != nil {
				return nil, err
			}
		}
	}
}

// openPort opens the port of that name; os.ErrNotExist if there is none.
func openPort(root, name string) (*os.File, error) {
	names, err := filepath.Glob(filepath.Join(root, "sys/class/virtio-ports/*/name"))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == name {
			device := filepath.Base(filepath.Dir(n))
			return os.OpenFile(filepath.Join(root, "dev", device), os.O_RDWR, 0)
		}
	}
	return nil, fmt.Errorf("looking for virtio port %s: %w", name, os.ErrNotExist)
}

// waitHost waits while poll says that the host's end is closed.
func waitHost(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var closed bool
		var pollErr error
		err := raw.Control(func(fd uintptr) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			_, pollErr = unix.Poll(p, 0)
			closed = p[0].Revents&unix.POLLHUP != 0
		})
		if err != nil {
			return err
		}
		if pollErr == nil && !closed {
			return nil
		}
		if err := usock.Sleep(ctx, hostPause); err != nil {
			return err
		}
	}
}
