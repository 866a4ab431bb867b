// Package qube holds the checked value types of the whole project: names, classes, power
// states, labels and domain ids. A value of these types has passed its checks; raw text
// from a peer becomes one of them through a Parse function or not at all. It imports
// nothing of ours and performs no I/O.
package qube

import (
	"errors"
	"fmt"
	"strings"
)

// MaxName is the longest qube name in bytes (spec core.md §1, upstream validate_name).
const MaxName = 31

// ErrName is wrapped by every error of ParseName.
var ErrName = errors.New("invalid qube name")

// Name is a valid qube name: 1 to MaxName bytes, first an ASCII letter, then letters,
// digits, '_', '.', '-'; not reserved; not ending in "-dm".
type Name string

// Dom0 is the name of the administrative domain.
const Dom0 Name = "dom0"

// ParseName checks s by the rules of upstream's validate_name, in upstream's order.
func ParseName(s string) (Name, error) {
	if len(s) == 0 || len(s) > MaxName {
		return "", fmt.Errorf("%w: length %d, want 1 to %d", ErrName, len(s), MaxName)
	}
	if !isLetter(s[0]) {
		return "", fmt.Errorf("%w %q: must start with a letter", ErrName, s)
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return "", fmt.Errorf("%w %q: byte %d is not a letter, digit, '_', '.' or '-'", ErrName, s, i)
		}
	}
	switch {
	case s == "Domain-0", s == "none", s == "default":
		return "", fmt.Errorf("%w %q: reserved", ErrName, s)
	case strings.HasSuffix(s, "-dm"):
		return "", fmt.Errorf("%w %q: must not end in -dm", ErrName, s)
	}
	return Name(s), nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// DomID is a hypervisor domain number: 0 is dom0, running qubes have 1 to MaxDomID.
type DomID uint32

// MaxDomID is the largest number a running qube may have (Xen's DOMID_FIRST_RESERVED-1).
const MaxDomID DomID = 0x7FEF

// Class is the kind of a qube as the Admin API spells it.
type Class string

// The classes of spec core.md §1.
const (
	AdminVM      Class = "AdminVM"
	AppVM        Class = "AppVM"
	TemplateVM   Class = "TemplateVM"
	StandaloneVM Class = "StandaloneVM"
	DispVM       Class = "DispVM"
	RemoteVM     Class = "RemoteVM"
)

// State is a power state as the Admin API spells it (spec admin-api.md §7).
type State string

// The power states. Transient means active with the qrexec agent not yet heard.
const (
	Halted    State = "Halted"
	Transient State = "Transient"
	Running   State = "Running"
	Paused    State = "Paused"
	Suspended State = "Suspended"
	Halting   State = "Halting"
	Dying     State = "Dying"
	Crashed   State = "Crashed"
)

// Label is a named colour. Index 1 to 8 are built in.
type Label struct {
	Index int
	Name  string
	Color uint32 // 0x00RRGGBB
}

// BuiltinLabels are the eight labels every system has (spec core.md §5).
var BuiltinLabels = [...]Label{
	{1, "red", 0xcc0000}, {2, "orange", 0xf57900}, {3, "yellow", 0xedd400}, {4, "green", 0x73d216},
	{5, "gray", 0x555555}, {6, "blue", 0x3465a4}, {7, "purple", 0x75507b}, {8, "black", 0x000000},
}
