// Package transport picks the vchan driver of the qrexec programs from their surroundings.
package transport

import (
	"fmt"
	"os"
	"strconv"

	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/socket"
)

// Dom0 is the driver of an instance's administrative domain.
func Dom0(p paths.Paths) (vchan.Driver, error) { return fromEnv(p.VchanDir()) }

// VM is the driver inside a VM.
func VM() (vchan.Driver, error) { return fromEnv("/run/vchan") }

func fromEnv(dir string) (vchan.Driver, error) {
	if d := os.Getenv("VCHAN_SOCKET_DIR"); d != "" {
		dir = d
	}
	id := uint64(0)
	if s := os.Getenv("VCHAN_DOMAIN"); s != "" {
		var err error
		if id, err = strconv.ParseUint(s, 10, 32); err != nil || qube.DomID(id) > qube.MaxDomID {
			return nil, fmt.Errorf("VCHAN_DOMAIN %q is no domain number", s)
		}
	}
	return socket.New(dir, qube.DomID(id)), nil
}
