// Package domain is the model of the whole system: labels, pools, qubes, their properties,
// features, tags and volumes, with the rules between them and the events each change fires
// (spec core.md). It is pure: no goroutines, no locks, no files, no hypervisor. Who uses it
// serialises access, keeps what it describes durable, and runs qubes (package life).
//
// The words: a property Def is one row of a table and says everything about a property; a
// value is explicit (set) or default (computed by the Def); hooks are what else happens.
package domain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminapi/device"
	"qubist/core/qube"
	"qubist/netvm/rule"
	"qubist/storage/volume"
)

// Host is what the model must know of the machine.
type Host struct {
	MemoryMiB  int64 // of the whole machine
	CPUs       int64
	Dom0MaxMiB int64
	HasKernel  func(name string) bool
	Kernels    func() []string                        // names of the installed kernels, sorted
	KernelText func(name, file string) (string, bool) // small text file of a kernel directory
	NewUUID    func() string
	NewDispID  func() int    // 0 to 9999
	Timezone   func() string // name of the local zone, "" when unknown; may be nil
}

// Model is one system. The zero value is not usable; see New and Load.
type Model struct {
	Host   Host
	Labels []qube.Label // in table order
	Pools  []Pool       // in insertion order
	// Emit receives every event, in order. It must not call the model.
	Emit func(adminapi.Event)

	table table
	props map[string]Value
	vms   map[qube.Name]*VM
	dirty bool
}

// Pool is a storage pool's configuration.
type Pool struct {
	Name, Driver string
	Options      []KV // all but name and driver, in order
}

// KV is an ordered key and value.
type KV struct{ Key, Value string }

// Option is the value of one driver option.
func (p *Pool) Option(key string) string {
	for _, o := range p.Options {
		if o.Key == key {
			return o.Value
		}
	}
	return ""
}

// SetOption gives a driver option a value.
func (p *Pool) SetOption(key, value string) {
	for i := range p.Options {
		if p.Options[i].Key == key {
			p.Options[i].Value = value
			return
		}
	}
	p.Options = append(p.Options, KV{key, value})
}

// Volume is a qube's volume and what only the model keeps of it.
type Volume struct {
	volume.Config
	Ephemeral *bool // nil when not set explicitly
}

// VM is one qube.
type VM struct {
	Name    qube.Name
	Class   qube.Class
	QID     int
	UUID    string
	DispID  int // DispVM only
	Volumes []Volume
	Run     Run
	// Pending marks a qube whose volumes are still being made: it is not saved.
	Pending bool
	// Firewall are the rules for the qube's traffic; nil stands for accepting all. They are
	// kept in a file of their own.
	Firewall []rule.Rule

	props    map[string]Value
	features []KV
	tags     []string
	assigned []device.Assignment
}

// Run is what is known of a qube's domain. The model only reads it.
type Run struct {
	State  qube.State // Halted when there is no domain
	XID    qube.DomID // 0 when there is no domain
	Since  time.Time  // start of the domain
	MemKiB uint64
	CPU    time.Duration
	// Attached are the devices the domain has now.
	Attached []device.Assignment
}

// DomUUID is dom0's UUID.
const DomUUID = "00000000-0000-0000-0000-000000000000"

// New makes an empty system: eight labels and dom0, as upstream's first start.
func New(h Host) *Model {
	m := &Model{Host: h, Labels: slices.Clone(qube.BuiltinLabels[:]), table: newTable(), props: map[string]Value{}, vms: map[qube.Name]*VM{}}
	m.Emit = func(adminapi.Event) {}
	m.addDom0()
	m.dirty = true
	return m
}

func (m *Model) addDom0() *VM {
	vm := &VM{Name: qube.Dom0, Class: qube.AdminVM, UUID: DomUUID, props: map[string]Value{"label": LabelValue("black")}, Run: Run{State: qube.Running}}
	m.vms[qube.Dom0] = vm
	return vm
}

// VM finds a qube by name, nil when there is none.
func (m *Model) VM(n qube.Name) *VM { return m.vms[n] }

// ByUUID finds a qube by its UUID, nil when there is none.
func (m *Model) ByUUID(u string) *VM {
	for _, vm := range m.vms {
		if vm.UUID == u {
			return vm
		}
	}
	return nil
}

// ByXID finds the qube that runs as a domain, nil when there is none.
func (m *Model) ByXID(x qube.DomID) *VM {
	if x == 0 {
		return m.vms[qube.Dom0]
	}
	for _, vm := range m.vms {
		if vm.Run.XID == x {
			return vm
		}
	}
	return nil
}

// VMs lists all qubes, dom0 first, then by name.
func (m *Model) VMs() []*VM {
	out := make([]*VM, 0, len(m.vms))
	for _, vm := range m.vms {
		out = append(out, vm)
	}
	slices.SortFunc(out, func(a, b *VM) int {
		if a.Class == qube.AdminVM || b.Class == qube.AdminVM {
			if a == b {
				return 0
			} else if a.Class == qube.AdminVM {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return out
}

// Dom0 is the administrative domain.
func (m *Model) Dom0() *VM { return m.vms[qube.Dom0] }

// Pool finds a pool's configuration, nil when there is none.
func (m *Model) Pool(name string) *Pool {
	for i := range m.Pools {
		if m.Pools[i].Name == name {
			return &m.Pools[i]
		}
	}
	return nil
}

// TakeDirty reports whether something durable changed since it was last called.
func (m *Model) TakeDirty() bool {
	d := m.dirty
	m.dirty = false
	return d
}

// Touch says that something durable was changed from outside.
func (m *Model) Touch() { m.dirty = true }

// Halted reports whether vm occupies no domain.
func (vm *VM) Halted() bool { return vm.Run.State == qube.Halted }

// Local reports whether vm is anything but a RemoteVM.
func (vm *VM) Local() bool { return vm.Class != qube.RemoteVM }

// Volume finds a volume by name, nil when there is none.
func (vm *VM) Volume(name string) *Volume {
	for i := range vm.Volumes {
		if vm.Volumes[i].Name == name {
			return &vm.Volumes[i]
		}
	}
	return nil
}

// event is a shorthand: args are alternating keys and values.
func event(subject qube.Name, name string, args ...string) adminapi.Event {
	e := adminapi.Event{Subject: string(subject), Name: name}
	for i := 0; i+1 < len(args); i += 2 {
		e.Args = append(e.Args, adminapi.Arg{Key: args[i], Value: args[i+1]})
	}
	return e
}

// Fire emits an event about vm, or about the system when vm is nil.
func (m *Model) Fire(vm *VM, name string, args ...string) {
	var subject qube.Name
	if vm != nil {
		subject = vm.Name
	}
	m.Emit(event(subject, name, args...))
}

// CheckName applies upstream's rules in upstream's order, with its messages.
func CheckName(s string) (qube.Name, error) {
	bad := func(text string) (qube.Name, error) {
		return "", &adminapi.Error{Kind: adminapi.ValueError, Message: text}
	}
	n, err := qube.ParseName(s)
	if err == nil {
		return n, nil
	}
	letters := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	switch {
	case len(s) > qube.MaxName:
		return bad("VM name must be shorter than 32 characters")
	case s == "":
		return bad("VM name cannot be empty")
	case strings.IndexByte("0123456789_.-", s[0]) >= 0:
		return bad("VM name cannot start with hyphen, underscore, dot or numbers")
	case !letters(s[0]):
		return bad("VM name contains illegal characters")
	case s == "Domain-0":
		return bad("VM name cannot be 'Domain-0'")
	case s == "none" || s == "default":
		return bad("VM name cannot be 'none' nor 'default'")
	case strings.HasSuffix(s, "-dm") && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	}):
		return bad("VM name cannot end with -dm")
	}
	return bad("VM name contains illegal characters")
}
