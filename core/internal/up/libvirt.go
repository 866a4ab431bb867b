package up

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

const libvirtSocket = "/run/libvirt/libvirt-sock"

// Libvirt makes sure that the hypervisor daemon answers. As an ordinary user libvirt's
// client library starts a session daemon by itself, so there is nothing to do.
func (e *Env) Libvirt(ctx context.Context) error {
	if os.Geteuid() != 0 || answers(libvirtSocket) {
		return nil
	}
	e.Say("starting libvirtd")
	var err error
	if _, statErr := os.Stat("/run/systemd/system"); statErr == nil {
		_, err = e.Run(ctx, "systemctl", "start", "libvirtd")
	} else {
		if err = os.MkdirAll("/run/libvirt", 0o755); err == nil {
			if !answers("/run/libvirt/virtlogd-sock") {
				_, err = e.Run(ctx, "virtlogd", "-d")
			}
			if err == nil {
				_, err = e.Run(ctx, "libvirtd", "-d")
			}
		}
	}
	if err != nil {
		return &Hint{fmt.Errorf("starting libvirtd: %w", err), "run `libvirtd -v` as root and read what it says"}
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if answers(libvirtSocket) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return &Hint{fmt.Errorf("libvirtd was started, but %s does not answer", libvirtSocket), "run `libvirtd -v` as root and read what it says"}
}

// watchLibvirt starts the hypervisor daemon again where no service manager does. Qubes run on
// while it is away, and qubesd connects again by itself.
func (e *Env) watchLibvirt(ctx context.Context) {
	if _, err := os.Stat("/run/systemd/system"); err == nil || os.Geteuid() != 0 {
		return
	}
	const often = 5 * time.Second
	for silent := 0; ctx.Err() == nil; sleep(ctx, often) {
		if answers(libvirtSocket) {
			silent = 0
		} else if silent++; silent > 1 { // twice: it may be in the middle of a restart
			if err := e.Libvirt(ctx); err != nil && ctx.Err() == nil {
				e.Say("%v", err)
			}
		}
	}
}

// answers says whether somebody accepts connections on a Unix socket.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}
