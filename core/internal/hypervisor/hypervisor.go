// Package hypervisor is the driver family that builds, runs and watches domains. The
// interface is defined here, beside its conformance suite hvtest; drivers: libvirt (the one
// place with cgo) and fake.
package hypervisor

import (
	"context"
	"errors"
	"time"

	"qubist/core/qube"
)

var (
	// ErrNotFound: no domain of that name is active.
	ErrNotFound = errors.New("hypervisor: no such domain")
	// ErrExists: a domain of that name is already active.
	ErrExists = errors.New("hypervisor: domain exists")
	// ErrUnavailable: the hypervisor's service cannot be reached; it may come back.
	ErrUnavailable = errors.New("hypervisor: not reachable")
)

// Disk is one block device of a domain.
type Disk struct {
	Target   string // vda, vdb, …
	Path     string // absolute path of the image
	Format   string // qcow2 or raw
	ReadOnly bool
	// Discardable content is worth nothing after the domain ends, so that the guest's
	// flushes need not reach the host's disk.
	Discardable bool
}

// Spec is everything needed to build one domain. It never carries text of a VM.
type Spec struct {
	Name      qube.Name
	UUID      string
	XID       qube.DomID // chosen by the caller, recorded in the domain's metadata
	MemoryMiB uint64     // at boot
	MaxMemMiB uint64     // balloon limit; 0 means MemoryMiB
	VCPUs     uint
	Kernel    string
	Initrd    string
	Cmdline   string
	Disks     []Disk

	PortSocket   string // host Unix socket of the virtio-serial port "org.qubist.vchan"
	ConsoleLog   string // file that receives the serial console
	WindowRegion uint64 // bytes of the shared window region, a power of two; 0 for none
	Debug        bool
}

// Info is what the hypervisor knows of an active domain.
type Info struct {
	Name   qube.Name
	UUID   string
	XID    qube.DomID
	State  qube.State // Running, Paused, Halting, Dying, Crashed; never Halted
	MemKiB uint64
	CPU    time.Duration
}

// Event says that a domain changed state. Gone domains are Halted (or Crashed when the
// hypervisor says so). Rebooted domains arrive as Running with Rebooted set.
type Event struct {
	Name     qube.Name
	XID      qube.DomID
	State    qube.State
	Rebooted bool
}

// Accel tells how guests execute.
type Accel struct {
	KVM    bool
	Reason string // for the user when KVM is false: a clause without a full stop
}

// Consoler is a Driver whose domains have a terminal.
type Consoler interface {
	// Console is the path of the terminal device of an active domain's first console.
	Console(ctx context.Context, n qube.Name) (string, error)
}

// Driver builds and watches domains of one instance. Methods may be called concurrently;
// those that take a name return ErrNotFound for a domain that is not active.
type Driver interface {
	Accel() Accel
	// Create builds the domain paused. Nothing remains when it fails. Domains are transient:
	// they vanish from the hypervisor when they stop, and survive this process.
	Create(ctx context.Context, s Spec) error
	Resume(ctx context.Context, n qube.Name) error
	Pause(ctx context.Context, n qube.Name) error
	// Shutdown asks the guest (ACPI power button) and returns without waiting.
	Shutdown(ctx context.Context, n qube.Name) error
	// Destroy ends the domain now and returns when it is gone.
	Destroy(ctx context.Context, n qube.Name) error
	Get(ctx context.Context, n qube.Name) (Info, error)
	List(ctx context.Context) ([]Info, error)
	// SetMemory sets the balloon target in MiB.
	SetMemory(ctx context.Context, n qube.Name, mib uint64) error
	// Events delivers changes until ctx ends, then closes the channel. A reader that is
	// slow loses nothing it could not learn from List: the driver coalesces per domain.
	Events(ctx context.Context) (<-chan Event, error)
	// WindowRegion is the path of an active domain's shared window region, "" for none.
	WindowRegion(xid qube.DomID) string
	Close() error
}
