// Package state is what the console knows and what the user has chosen to see of it: the
// system as last reported, the filter language, sorting, the table with its cursor and
// marks, running tasks and messages. It has no terminal, no clock and does no I/O: the same
// calls give the same result. All text in it is safe to show (core/safetext was applied
// where it came in).
package state

import "time"

// Phase is a qube's condition in the console's words.
type Phase string

// The phases, from the Admin API's power states.
const (
	Running   Phase = "running"
	Starting  Phase = "starting" // active, its agent not heard yet
	Paused    Phase = "paused"
	Suspended Phase = "suspended"
	Halting   Phase = "halting"
	Halted    Phase = "halted"
	Crashed   Phase = "crashed"
	Unknown   Phase = "unknown"
)

// rank orders phases as the eye wants them: what runs first.
var rank = map[Phase]int{Running: 0, Starting: 1, Halting: 2, Paused: 3, Suspended: 4, Crashed: 5, Unknown: 6, Halted: 7}

// Active reports whether a qube in this phase occupies the hypervisor.
func (p Phase) Active() bool { return p != Halted && p != Unknown }

// Label is a named colour, 0xRRGGBB.
type Label struct {
	Name  string
	Color uint32
}

// Property is a property's value; Default when it is not the qube's own.
type Property struct {
	Name, Value, Type string
	Default           bool
}

// Feature is one name and value.
type Feature struct{ Name, Value string }

// Qube is one row of the system.
type Qube struct {
	Name     string
	Class    string
	Phase    Phase
	Label    Label
	Template string // "" for none
	NetVM    string // "" for none
	MemKiB   uint64 // in use; 0 unknown
	CPU      int    // percent; -1 unknown
	Since    time.Time
	Fault    string // why its description could not be read; "" normally

	Properties []Property // by name
	Features   []Feature  // by name
	Tags       []string
}

// Dom0 reports whether q is the administrative domain.
func (q Qube) Dom0() bool { return q.Class == "AdminVM" }

// Prop is the value of a property, "" when absent.
func (q Qube) Prop(name string) string {
	for _, p := range q.Properties {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// True reports whether a boolean property is set.
func (q Qube) True(name string) bool { return q.Prop(name) == "True" }

// System is one picture of everything, never changed once made.
type System struct {
	Connected bool   // events flow; otherwise the rest is stale
	Ever      bool   // there was a connection before
	Why       string // why not connected
	Qubes     []Qube
	Labels    []Label
	Globals   []Property
	Status    map[string]string // admin.qubist.Status; nil when the server lacks it
}

// Find is the qube of that name.
func (s System) Find(name string) (Qube, bool) {
	for _, q := range s.Qubes {
		if q.Name == name {
			return q, true
		}
	}
	return Qube{}, false
}

// Global is the value of a system property, "" when absent.
func (s System) Global(name string) string {
	for _, p := range s.Globals {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Counts are the qubes without dom0: how many, and how many of them are active.
func (s System) Counts() (active, all int) {
	for _, q := range s.Qubes {
		if q.Dom0() {
			continue
		}
		all++
		if q.Phase.Active() {
			active++
		}
	}
	return active, all
}

// Memory is what active qubes have now, without dom0.
func (s System) Memory() (kib uint64) {
	for _, q := range s.Qubes {
		if !q.Dom0() {
			kib += q.MemKiB
		}
	}
	return kib
}

// Chain is the way of q's packets: its netvm, that one's netvm, and so on.
func (s System) Chain(q Qube) []string {
	var chain []string
	for q.NetVM != "" && len(chain) < 16 {
		chain = append(chain, q.NetVM)
		next, ok := s.Find(q.NetVM)
		if !ok {
			break
		}
		q = next
	}
	return chain
}

// Clients are the qubes that use name as their netvm, BasedOn those that use it as template.
func (s System) Clients(name string) (names []string) {
	return s.where(func(q Qube) bool { return q.NetVM == name })
}

// BasedOn are the qubes whose template is name.
func (s System) BasedOn(name string) (names []string) {
	return s.where(func(q Qube) bool { return q.Template == name })
}

func (s System) where(keep func(Qube) bool) (names []string) {
	for _, q := range s.Qubes {
		if keep(q) {
			names = append(names, q.Name)
		}
	}
	return names
}
