// Package blockdev reads what a qube says of the block devices it has (spec core.md §13,
// qubesdb /qubes-block-devices). The qube wrote it: names and numbers are checked, texts
// are cut to what can be shown. It is pure.
package blockdev

import (
	"cmp"
	"slices"
	"strings"

	"qubist/core/adminapi/device"
	"qubist/core/safetext"
)

// Prefix is where the entries are; a path is Prefix, port, and for details "/" and a key.
const Prefix = "/qubes-block-devices/"

const (
	// MaxDevices bounds the devices of one qube; more are not listed.
	MaxDevices = 256
	maxText    = 64
	maxPort    = 12
	maxDepth   = 8 // of devices that sit on others
	portChars  = "abcdefghijklmnopqrstuvwxyz0123456789-"
)

type entry struct{ desc, parent string }

// Parse lists the devices in entries (path → value) of a backend, by port.
func Parse(backend string, entries map[string]string) []device.Info {
	found := map[string]entry{}
	for path, value := range entries {
		rest, ok := strings.CutPrefix(path, Prefix)
		if !ok {
			continue
		}
		port, key, _ := strings.Cut(rest, "/")
		if port == "" || len(port) > maxPort || not(port, portChars) {
			continue
		}
		e := found[port]
		switch key {
		case "desc":
			e.desc = value
		case "parent":
			e.parent = value
		}
		found[port] = e
	}
	out := make([]device.Info, 0, len(found))
	for port, e := range found {
		out = append(out, info(backend, port, e, found))
	}
	slices.SortFunc(out, func(a, b device.Info) int { return cmp.Compare(a.Port, b.Port) })
	return out[:min(len(out), MaxDevices)]
}

func info(backend, port string, e entry, all map[string]entry) device.Info {
	i := device.Info{ID: device.ID{Backend: backend, Port: port, Device: identity(port, all, 0)}, Class: "block", Interfaces: []string{"b******"}, Manufacturer: "hosted by " + backend}
	model, label, labelled := strings.Cut(e.desc, " ")
	i.Serial = text(strings.ReplaceAll(model, "_", " "))
	if labelled {
		i.Name = text(strings.Trim(label, "()"))
	}
	if parent, class := e.on(); parent != "" {
		i.ParentPort, i.ParentClass = parent, class
		i.Manufacturer = "sub-device of " + backend + ":" + parent
	}
	return i
}

// on is the device that e sits on and its class, "" for none.
func (e entry) on() (port, class string) {
	port, iface, usb := strings.Cut(e.parent, ":")
	if port == "" || len(port) > maxText || not(port, portChars+".") || not(iface, "0123456789.") {
		return "", ""
	}
	if usb {
		return port, "usb"
	}
	return port, "block"
}

// identity tells devices apart wherever they are plugged in: the parent's identity and the
// partition's or interface's number.
func identity(port string, all map[string]entry, depth int) string {
	e := all[port]
	own := trailing(port)
	if _, iface, ok := strings.Cut(e.parent, ":"); ok && iface != "" {
		own = iface
	}
	switch parent, class := e.on(); {
	case class == "usb": // what is known of it is in another class
		return parent + ":0000:0000::" + device.UnknownInterface + ":" + own
	case class == "block" && depth < maxDepth:
		if _, ok := all[parent]; ok {
			return identity(parent, all, depth+1) + ":" + own
		}
	}
	return ":" + own
}

// trailing is the number a name ends with.
func trailing(s string) string {
	n := strings.TrimRight(s, "0123456789")
	d := strings.TrimLeft(s[len(n):], "0")
	switch {
	case len(n) == len(s):
		return "None"
	case d == "":
		return "0"
	}
	return d
}

func text(s string) string { return safetext.Name(strings.TrimSpace(s), maxText) }

func not(s, set string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(set, c) })
}
