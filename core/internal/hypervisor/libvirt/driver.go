// Package libvirt is the hypervisor driver over libvirt and QEMU, and the only package that
// needs cgo. Domains are transient; what we must know of one to adopt it later is in its
// metadata. Networks and storage pools of libvirt are not used.
//
// Locks: connMu before knownMu; queueMu is taken alone.
package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"qubist/core/internal/hypervisor"
	"qubist/core/paths"
	"qubist/core/qube"
)

// Options say which domains a driver is for.
type Options struct {
	Paths paths.Paths // the instance
	URI   string      // "" for qemu:///system as root, qemu:///session otherwise
	Log   *slog.Logger
}

// Driver implements hypervisor.Driver.
type Driver struct {
	opt      Options
	system   bool // QEMU runs as a user of its own
	accel    hypervisor.Accel
	instance string
	hub      *hub

	connMu sync.Mutex
	link   *link
	closed bool

	knownMu sync.Mutex
	known   map[qube.DomID]known

	queueMu      sync.Mutex
	queue        []rawEvent
	lost, resync bool
	wake         chan struct{} // capacity 1

	cancel     context.CancelFunc
	workerDone chan struct{}
}

// known is an active domain of ours.
type known struct {
	name     qube.Name
	xid      qube.DomID
	uuid     string
	starting bool // Create is not done with it
}

var _ hypervisor.Driver = (*Driver)(nil)

// New connects to libvirt and removes what domains of this instance left behind.
func New(ctx context.Context, o Options) (*Driver, error) {
	root := os.Geteuid() == 0 // libvirt takes root to the system's daemon whatever the URI says
	if o.URI == "" {
		o.URI = "qemu:///session"
		if root {
			o.URI = "qemu:///system"
		}
	}
	d := &Driver{opt: o, system: root, accel: probeAccel("/dev/kvm", "/proc/cpuinfo"),
		instance: instanceOf(o.Paths), hub: newHub(), known: map[qube.DomID]known{},
		wake: make(chan struct{}, 1), workerDone: make(chan struct{})}
	if err := loop.acquire(); err != nil {
		return nil, err
	}
	wctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go d.work(wctx)
	infos, err := d.List(ctx)
	if err != nil {
		d.Close()
		return nil, err
	}
	active := map[qube.DomID]bool{}
	for _, i := range infos {
		active[i.XID] = true
	}
	d.sweepRegions(active)
	return d, nil
}

// Close ends all subscriptions and the connection. Domains go on.
func (d *Driver) Close() error {
	d.connMu.Lock()
	if d.closed {
		d.connMu.Unlock()
		return nil
	}
	d.closed = true
	d.connMu.Unlock()
	d.cancel()
	<-d.workerDone
	d.hub.close()
	d.connMu.Lock()
	d.dropLocked()
	d.connMu.Unlock()
	loop.release()
	return nil
}

// Accel tells how guests execute.
func (d *Driver) Accel() hypervisor.Accel { return d.accel }

// Events delivers changes; see hypervisor.Driver.
func (d *Driver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	return d.hub.subscribe(ctx), nil
}

// WindowRegion is the path of the region of an active domain.
func (d *Driver) WindowRegion(xid qube.DomID) string {
	path := d.regionPath(xid)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Create builds the domain paused.
func (d *Driver) Create(ctx context.Context, s hypervisor.Spec) (err error) {
	text, err := d.domainXML(s)
	if err != nil {
		return err
	}
	conn, done, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := d.prepare(conn, s); err != nil {
		return err
	}
	k := known{name: s.Name, xid: s.XID, uuid: s.UUID, starting: true}
	d.supersede(k)
	d.remember(k)
	defer func() {
		if err != nil {
			d.forget(k)
		}
	}()
	if s.WindowRegion != 0 {
		if err := d.createRegion(s.XID, s.WindowRegion); err != nil {
			return err
		}
	}
	dom, err := conn.DomainCreateXML(text, libvirt.DOMAIN_START_PAUSED)
	if err != nil {
		return fmt.Errorf("starting domain %s: %w", s.Name, translate(err))
	}
	defer dom.Free()
	if err := ctx.Err(); err != nil { // cancelled meanwhile: nothing remains
		dom.Destroy()
		return err
	}
	k.starting = false
	d.remember(k)
	if active, err := dom.IsActive(); err == nil && !active {
		return fmt.Errorf("starting domain %s: it ended at once; see %s", s.Name, s.ConsoleLog)
	}
	return nil
}

// prepare checks that the name is free and that QEMU can reach its files.
func (d *Driver) prepare(conn *libvirt.Connect, s hypervisor.Spec) error {
	if s.UUID == "" {
		return fmt.Errorf("domain %s: a UUID is needed", s.Name)
	}
	if dom, err := conn.LookupDomainByName(libvirtName(d.opt.Paths, s.Name)); err == nil {
		defer dom.Free()
		if _, ok := d.ours(dom); !ok {
			return fmt.Errorf("%w: libvirt has a domain named %s that is not ours", hypervisor.ErrExists, libvirtName(d.opt.Paths, s.Name))
		}
		return hypervisor.ErrExists
	}
	files := []string{s.Kernel, s.Initrd}
	for _, k := range s.Disks {
		files = append(files, k.Path)
	}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return fmt.Errorf("domain %s: %w", s.Name, err)
		}
		if d.system {
			if err := checkAccess(f); err != nil {
				return fmt.Errorf("domain %s: %w", s.Name, err)
			}
		}
	}
	// libvirt makes both files before it gives up its rights: QEMU's user, which all VMs
	// share, needs no way to another VM's.
	for f, mode := range map[string]fs.FileMode{s.PortSocket: 0o700, s.ConsoleLog: 0o750} {
		if err := os.MkdirAll(filepath.Dir(f), mode); err != nil {
			return fmt.Errorf("domain %s: %w", s.Name, err)
		}
	}
	if err := os.Remove(s.PortSocket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("domain %s: %w", s.Name, err)
	}
	return nil
}

// act runs f on the active domain of qube n.
func (d *Driver) act(ctx context.Context, n qube.Name, what string, f func(*libvirt.Domain) error) error {
	conn, done, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	dom, err := conn.LookupDomainByName(libvirtName(d.opt.Paths, n))
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, n, translate(err))
	}
	defer dom.Free()
	if _, ok := d.ours(dom); !ok {
		return fmt.Errorf("%s %s: %w", what, n, hypervisor.ErrNotFound)
	}
	if err := f(dom); err != nil {
		if active, aerr := dom.IsActive(); aerr == nil && !active || code(aerr) == libvirt.ERR_NO_DOMAIN {
			return fmt.Errorf("%s %s: %w", what, n, hypervisor.ErrNotFound) // it ended meanwhile
		}
		return fmt.Errorf("%s %s: %w", what, n, translate(err))
	}
	return nil
}

// Resume lets the domain run.
func (d *Driver) Resume(ctx context.Context, n qube.Name) error {
	return d.act(ctx, n, "resuming", (*libvirt.Domain).Resume)
}

// Pause stops its processors.
func (d *Driver) Pause(ctx context.Context, n qube.Name) error {
	return d.act(ctx, n, "pausing", (*libvirt.Domain).Suspend)
}

// Shutdown presses the power button.
func (d *Driver) Shutdown(ctx context.Context, n qube.Name) error {
	return d.act(ctx, n, "shutting down", func(dom *libvirt.Domain) error {
		return dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
	})
}

// Destroy ends the domain now.
func (d *Driver) Destroy(ctx context.Context, n qube.Name) error {
	return d.act(ctx, n, "destroying", func(dom *libvirt.Domain) error {
		k, _ := d.ours(dom)
		if err := dom.Destroy(); err != nil {
			return err
		}
		d.removeRegion(k.xid)
		return nil
	})
}

// SetMemory sets the balloon target.
func (d *Driver) SetMemory(ctx context.Context, n qube.Name, mib uint64) error {
	return d.act(ctx, n, "setting the memory of", func(dom *libvirt.Domain) error {
		return dom.SetMemoryFlags(mib<<10, libvirt.DOMAIN_MEM_LIVE)
	})
}

// Get describes one domain.
func (d *Driver) Get(ctx context.Context, n qube.Name) (hypervisor.Info, error) {
	var info hypervisor.Info
	err := d.act(ctx, n, "looking at", func(dom *libvirt.Domain) error {
		k, _ := d.ours(dom)
		var err error
		info, err = infoOf(dom, k)
		return err
	})
	return info, err
}

// List describes all domains of this instance.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Info, error) {
	conn, done, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	doms, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, fmt.Errorf("listing the domains: %w", translate(err))
	}
	var out []hypervisor.Info
	for i := range doms {
		dom := &doms[i]
		if k, ok := d.ours(dom); ok {
			if info, err := infoOf(dom, k); err == nil { // else it ended meanwhile
				out = append(out, info)
			}
		}
		dom.Free()
	}
	return out, nil
}

// infoOf asks libvirt about the domain that is k.
func infoOf(dom *libvirt.Domain, k known) (hypervisor.Info, error) {
	i, err := dom.GetInfo()
	if err != nil {
		return hypervisor.Info{}, err
	}
	info := hypervisor.Info{Name: k.name, UUID: k.uuid, XID: k.xid, MemKiB: i.Memory, CPU: time.Duration(i.CpuTime)}
	switch i.State {
	case libvirt.DOMAIN_PAUSED:
		info.State = qube.Paused
	case libvirt.DOMAIN_PMSUSPENDED:
		info.State = qube.Suspended
	case libvirt.DOMAIN_SHUTDOWN:
		info.State = qube.Halting
	case libvirt.DOMAIN_CRASHED:
		info.State = qube.Crashed
	case libvirt.DOMAIN_SHUTOFF:
		return info, libvirt.Error{Code: libvirt.ERR_NO_DOMAIN}
	default:
		info.State = qube.Running
	}
	return info, nil
}
