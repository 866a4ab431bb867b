// Package demo makes a throw-away system to look at: a real qubesd with the fake hypervisor
// in a directory of its own, filled with qubes as a person might have them. No guest runs,
// nothing outside the directory is touched, and Close leaves nothing behind.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/paths"
	"qubist/core/qube"
)

// readyLimit is how long qubesd may take to serve, endLimit to end.
const (
	readyLimit = 20 * time.Second
	endLimit   = 5 * time.Second
)

// Demo is a running throw-away system.
type Demo struct {
	Root string // for --root
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs the program qubesd in a new directory and returns when it serves.
func Start(ctx context.Context, qubesd string) (*Demo, error) {
	dir, err := os.MkdirTemp("", "qubist-")
	if err != nil {
		return nil, err
	}
	d := &Demo{Root: filepath.Join(dir, "demo"), dir: dir, done: make(chan struct{})}
	if err := d.start(ctx, qubesd); err != nil {
		d.Close()
		return nil, fmt.Errorf("starting the demonstration: %w", err)
	}
	return d, nil
}

func (d *Demo) start(ctx context.Context, qubesd string) error {
	logs := filepath.Join(d.Root, "log")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return err
	}
	if err := d.kernel(); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(logs, "qubesd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	ready, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	d.cmd = exec.Command(qubesd, "--root", d.Root, "--hypervisor", "fake", "--no-daemons", "--ready-fd", "3")
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.ExtraFiles = log, log, []*os.File{write}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ctrl-C on the terminal is not for it
	err = d.cmd.Start()
	write.Close()
	if err != nil {
		d.cmd = nil
		return err
	}
	go func() {
		defer close(d.done)
		_ = d.cmd.Wait()
	}()
	_ = ready.SetReadDeadline(time.Now().Add(readyLimit))
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })()
	if b, _ := io.ReadAll(ready); string(b) != "READY\n" {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("qubesd did not become ready: %s", lastLine(string(said)))
	}
	return nil
}

// kernelName is the demonstration's kernel: empty files, since nothing boots.
const kernelName = "demo"

func (d *Demo) kernel() error {
	p, err := paths.New(d.Root)
	if err != nil {
		return err
	}
	dir := p.KernelDir(kernelName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, f := range []string{"vmlinuz", "initramfs"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// Close ends qubesd and removes the directory.
func (d *Demo) Close() {
	if d.cmd != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(endLimit):
			_ = d.cmd.Process.Kill()
			<-d.done
		}
	}
	_ = os.RemoveAll(d.dir)
}

// Socket is the Admin API's.
func (d *Demo) Socket() (string, error) {
	p, err := paths.New(d.Root)
	return p.QubesdSocket(), err
}

// resident is a qube of the demonstration, in the order of creation.
type resident struct {
	class                        qube.Class
	name, label, template, netvm string
	props                        map[string]string
	features                     map[string]string
	tags                         []string
	up                           bool
}

var residents = []resident{
	{class: qube.TemplateVM, name: "debian-12", label: "black"},
	{class: qube.TemplateVM, name: "debian-12-office", label: "black"},
	{class: qube.AppVM, name: "sys-net", label: "red", template: "debian-12", props: map[string]string{"provides_network": "True", "memory": "256"}, features: map[string]string{"servicevm": "1"}, up: true},
	{class: qube.AppVM, name: "sys-firewall", label: "green", template: "debian-12", netvm: "sys-net", props: map[string]string{"provides_network": "True", "memory": "256"}, features: map[string]string{"servicevm": "1"}, up: true},
	{class: qube.AppVM, name: "sys-vpn", label: "green", template: "debian-12", netvm: "sys-firewall", props: map[string]string{"provides_network": "True", "memory": "256"}, features: map[string]string{"servicevm": "1"}},
	{class: qube.AppVM, name: "default-dvm", label: "red", template: "debian-12", netvm: "sys-firewall", props: map[string]string{"template_for_dispvms": "True"}},
	{class: qube.AppVM, name: "personal", label: "yellow", template: "debian-12", netvm: "sys-firewall", props: map[string]string{"memory": "1200"}, up: true},
	{class: qube.AppVM, name: "work", label: "blue", template: "debian-12-office", netvm: "sys-vpn", props: map[string]string{"memory": "2000", "maxmem": "4000"}, features: map[string]string{"service.cups": "1"}, tags: []string{"office"}},
	{class: qube.AppVM, name: "work-mail", label: "blue", template: "debian-12-office", netvm: "sys-vpn", tags: []string{"office"}},
	{class: qube.AppVM, name: "banking", label: "green", template: "debian-12", netvm: "sys-firewall"},
	{class: qube.AppVM, name: "shopping", label: "purple", template: "debian-12", netvm: "sys-firewall"},
	{class: qube.AppVM, name: "untrusted", label: "orange", template: "debian-12", netvm: "sys-firewall", up: true},
	{class: qube.AppVM, name: "vault", label: "gray", template: "debian-12", props: map[string]string{"memory": "300"}},
	{class: qube.DispVM, name: "disp-browser", label: "red", template: "default-dvm", netvm: "sys-firewall", up: true},
}

// Fill makes the qubes and starts some. It stops at the first error.
func Fill(ctx context.Context, c *adminclient.Client) error {
	if err := c.SetProperty(ctx, "", "default_kernel", kernelName); err != nil {
		return fmt.Errorf("setting default_kernel: %w", err)
	}
	for _, r := range residents {
		if err := r.make(ctx, c); err != nil {
			return fmt.Errorf("making %s: %w", r.name, err)
		}
	}
	if err := c.SetProperty(ctx, "", "default_dispvm", "default-dvm"); err != nil {
		return fmt.Errorf("setting default_dispvm: %w", err)
	}
	for _, r := range residents {
		if r.up {
			if err := c.Start(ctx, r.name); err != nil {
				return fmt.Errorf("starting %s: %w", r.name, err)
			}
		}
	}
	return nil
}

func (r resident) make(ctx context.Context, c *adminclient.Client) error {
	if err := c.Create(ctx, r.class, qube.Name(r.name), r.label, r.template); err != nil && !errors.Is(err, &adminapi.Error{Kind: adminapi.VMAlreadyExists}) {
		return err
	}
	for k, v := range r.props {
		if err := c.SetProperty(ctx, r.name, k, v); err != nil {
			return err
		}
	}
	if r.class != qube.TemplateVM {
		if err := c.SetProperty(ctx, r.name, "netvm", r.netvm); err != nil {
			return err
		}
	}
	for k, v := range r.features {
		if err := c.SetFeature(ctx, r.name, k, v); err != nil {
			return err
		}
	}
	for _, t := range r.tags {
		if _, err := c.Call(ctx, "admin.vm.tag.Set", r.name, t, nil); err != nil {
			return err
		}
	}
	return nil
}
