// Package open chooses the vchan driver a program uses, from its environment
// (architecture.md "Transport"). It is the only place that knows all drivers; programs
// below cmd call it, everything else takes a vchan.Driver.
package open

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/socket"
	"qubist/core/vchan/virtio"
)

// The environment.
const (
	// EnvDriver is "socket" or "virtio" (the default).
	EnvDriver = "QUBIST_VCHAN"
	// EnvSocketDir is the directory of vchan sockets, as upstream names it.
	EnvSocketDir = "VCHAN_SOCKET_DIR"
	// EnvDomain is the own domain number, as upstream names it.
	EnvDomain = "VCHAN_DOMAIN"
)

// The directories of vchan sockets where the environment names none.
const (
	// GuestDir is a VM's with the virtio driver.
	GuestDir = "/run/vchan"
	// UpstreamDir is upstream's, of its socket vchan.
	UpstreamDir = "/var/run/vchan"
)

// domidOption is the kernel command line option that tells a VM its number.
const domidOption = "qubist.domid="

// Dom0 returns the driver of dom0's programs. getenv is normally os.Getenv. With the virtio
// driver the sockets are below p.VchanDir() unless EnvSocketDir says otherwise; with the
// socket driver EnvSocketDir, else p.VchanDir().
func Dom0(p paths.Paths, getenv func(string) string) (vchan.Driver, error) {
	dir := getenv(EnvSocketDir)
	if dir == "" {
		dir = p.VchanDir()
	}
	switch name := getenv(EnvDriver); name {
	case "", "virtio":
		return virtio.New(dir, 0, func(vm qube.DomID) string {
			return filepath.Join(dir, filepath.Base(p.MuxSocket(uint32(vm))))
		}), nil
	case "socket":
		return socket.New(dir, 0), nil
	default:
		return nil, unknown(name)
	}
}

// Guest returns the driver of a VM's programs.
func Guest(local qube.DomID, getenv func(string) string) (vchan.Driver, error) {
	dir := getenv(EnvSocketDir)
	switch name := getenv(EnvDriver); name {
	case "", "virtio":
		if dir == "" {
			dir = GuestDir
		}
		mux := GuestMux(dir)
		return virtio.New(dir, local, func(qube.DomID) string { return mux }), nil
	case "socket":
		if dir == "" {
			dir = UpstreamDir
		}
		return socket.New(dir, local), nil
	default:
		return nil, unknown(name)
	}
}

// GuestMux is the one mux socket inside a VM whose vchan directory is dir.
func GuestMux(dir string) string { return filepath.Join(dir, "mux.sock") }

func unknown(name string) error {
	return fmt.Errorf("%s=%q: want socket or virtio", EnvDriver, name)
}

// GuestDomID finds the number of the VM that the program runs in: EnvDomain, else the
// kernel command line.
func GuestDomID(getenv func(string) string) (qube.DomID, error) {
	if s := getenv(EnvDomain); s != "" {
		id, err := parseDomID(s)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", EnvDomain, err)
		}
		return id, nil
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return 0, fmt.Errorf("finding the own domain number: %w", err)
	}
	return domidOf(string(cmdline))
}

// domidOf finds the own domain number on a kernel command line; the last one counts.
func domidOf(cmdline string) (qube.DomID, error) {
	value, found := "", false
	for _, word := range strings.Fields(cmdline) {
		if s, ok := strings.CutPrefix(word, domidOption); ok {
			value, found = s, true
		}
	}
	if !found {
		return 0, fmt.Errorf("no %s on the kernel command line and no %s", domidOption, EnvDomain)
	}
	id, err := parseDomID(value)
	if err != nil {
		return 0, fmt.Errorf("kernel command line: %s%w", domidOption, err)
	}
	return id, nil
}

// parseDomID takes 0 to qube.MaxDomID in decimal; 0 is for tests that play dom0.
func parseDomID(s string) (qube.DomID, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || qube.DomID(n) > qube.MaxDomID {
		return 0, fmt.Errorf("domain number %q: want 0 to %d", s, qube.MaxDomID)
	}
	return qube.DomID(n), nil
}
