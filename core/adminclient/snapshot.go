package adminclient

import (
	"slices"
	"strconv"

	"qubist/core/qube"
)

// VM is one qube in a Snapshot. It is never changed after it was published.
type VM struct {
	Name       qube.Name
	Class      qube.Class
	State      qube.State
	UUID       string
	Label      qube.Label // Index 0 when the label is unknown
	Properties map[string]Property
	Features   map[string]string
	Tags       []string
	MemKiB     uint64 // in use now; 0 when unknown or halted
	CPUPercent int    // of all its processors, over the last statistics interval
	SwapKiB    uint64 // swap used inside, when the qube reports it
	Err        string // why the properties could not be read, "" normally
}

// Template is the name of its template, "" for none.
func (v *VM) Template() string { return v.Properties["template"].Value }

// NetVM is the name of its network qube, "" for none.
func (v *VM) NetVM() string { return v.Properties["netvm"].Value }

// XID is its domain number, -1 when it does not run.
func (v *VM) XID() int {
	n, err := strconv.Atoi(v.Properties["xid"].Value)
	if err != nil {
		return -1
	}
	return n
}

// MemoryMiB is its configured memory.
func (v *VM) MemoryMiB() uint64 {
	n, _ := strconv.ParseUint(v.Properties["memory"].Value, 10, 64)
	return n
}

// Active reports whether it occupies a hypervisor domain.
func (v *VM) Active() bool { return v.State != qube.Halted && v.State != "" }

// Snapshot is an immutable picture of the system.
type Snapshot struct {
	Serial    uint64 // grows by one with each change
	Connected bool   // events flow; when false everything else is stale
	Ever      bool   // a connection succeeded at least once
	Err       string // why not connected
	VMs       []*VM  // dom0 first, then by name
	Labels    []qube.Label
	Globals   map[string]Property
	Status    map[string]string // admin.qubist.Status; nil with another qubesd
}

// VM finds a qube, nil when there is none of that name.
func (s *Snapshot) VM(n qube.Name) *VM {
	i := slices.IndexFunc(s.VMs, func(v *VM) bool { return v.Name == n })
	if i < 0 {
		return nil
	}
	return s.VMs[i]
}
