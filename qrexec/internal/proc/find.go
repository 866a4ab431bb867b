// Package proc finds services on disk and runs them: as a child process with its own
// sockets for input and output, or as a connection to a socket that serves. It knows
// nothing of vchans; package data moves the bytes (spec qrexec.md §8).
package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

// The original's directories, used in a VM and with the original's paths.
const (
	DefaultServicePath = "/run/qubes-rpc:/usr/local/etc/qubes-rpc:/etc/qubes-rpc"
	DefaultConfigPath  = "/run/qubes/rpc-config:/usr/local/etc/qubes/rpc-config:/etc/qubes/rpc-config"
)

// ErrNotFound means that no directory holds the service.
var ErrNotFound = errors.New("service not found")

// ExitCode is what a caller is told about an error of this package.
func ExitCode(err error) int {
	if errors.Is(err, ErrNotFound) {
		return wire.ExitNotFound
	}
	return wire.ExitProblem
}

// Dirs are the places services and their configuration are looked for, in order.
type Dirs struct {
	Services []string
	Configs  []string
}

// EnvDirs are the directories named by QREXEC_SERVICE_PATH and QUBES_RPC_CONFIG_PATH as
// getenv gives them, or the fallbacks where a variable is empty.
func EnvDirs(getenv func(string) string, services, configs []string) Dirs {
	d := Dirs{services, configs}
	if p := getenv("QREXEC_SERVICE_PATH"); p != "" {
		d.Services = strings.Split(p, ":")
	}
	if p := getenv("QUBES_RPC_CONFIG_PATH"); p != "" {
		d.Configs = strings.Split(p, ":")
	}
	return d
}

// Found is a service as it lies on disk. Exactly one field is set.
type Found struct {
	Exec string // path of an executable
	Unix string // path of a socket
	TCP  netip.AddrPort
}

// IsSocket says whether the service is connected to, not run.
func (f Found) IsSocket() bool { return f.Exec == "" }

// Find looks for the file of a call's service. Errors wrap ErrNotFound when there is none.
func (d Dirs) Find(c rpcname.Call) (Found, error) {
	names, err := c.FileNames()
	if err != nil {
		return Found{}, err
	}
	for _, n := range names {
		for _, dir := range d.Services {
			f, err := look(filepath.Join(dir, n), c.Arg)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
	}
	return Found{}, fmt.Errorf("%w: %q", ErrNotFound, c.Descriptor)
}

// look examines one path. An error that is fs.ErrNotExist means "look further".
func look(path, arg string) (Found, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return Found{}, err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(path)
		if err != nil {
			return Found{}, fmt.Errorf("reading service link: %w", noLook(err))
		}
		if link == rpcname.TCPPrefix || strings.HasPrefix(link, rpcname.TCPPrefix+"/") {
			a, err := rpcname.ParseTCP(link, arg)
			return Found{TCP: a}, err
		}
		if st, err = os.Stat(path); err != nil {
			return Found{}, err
		}
	}
	switch {
	case st.Mode()&fs.ModeSocket != 0:
		return Found{Unix: path}, nil
	case !st.Mode().IsRegular():
		return Found{}, fmt.Errorf("service %q is neither file nor socket", path)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return Found{}, fmt.Errorf("service %q: %w", path, noLook(err))
	}
	return Found{Exec: path}, nil
}

// noLook hides that a file vanished in between, so that the search ends there.
func noLook(err error) error { return fmt.Errorf("%v", err) }

// Config reads the configuration of a call's service; a missing file gives the zero value.
func (d Dirs) Config(c rpcname.Call) (rpcname.Config, error) {
	names, err := c.FileNames()
	if err != nil {
		return rpcname.Config{}, err
	}
	for _, n := range names {
		for _, dir := range d.Configs {
			b, err := readBounded(filepath.Join(dir, n))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return rpcname.Config{}, fmt.Errorf("reading configuration of %q: %w", c.Name, err)
			}
			return rpcname.ParseConfig(b)
		}
	}
	return rpcname.Config{}, nil
}

// readBounded reads a regular file of at most rpcname.MaxConfig+1 bytes, which ParseConfig
// then refuses.
func readBounded(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > rpcname.MaxConfig {
		return nil, fmt.Errorf("%q is no file of at most %d bytes", path, rpcname.MaxConfig)
	}
	return os.ReadFile(path)
}
