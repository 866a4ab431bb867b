// Package vchan defines the transport between domains: a bidirectional byte stream named by
// (server domain, client domain, port), with no framing of its own. Drivers live in
// subpackages (mem, socket, virtio, xen) and pass the suite in vchantest.
//
// Words: the *server* offers a port to exactly one *client* domain; a *driver* speaks for one
// local domain, whose identity comes from the channel, never from a message.
package vchan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"qubist/core/qube"
)

// Port is a vchan port number.
type Port uint32

// The ports fixed by the protocols.
const (
	PortQubesDB Port = 111
	PortQrexec  Port = 512 // control; data uses PortData to PortDataEnd
	PortData    Port = 513
	PortDataEnd Port = 768
	PortGUI     Port = 6000
)

var (
	// ErrDenied: the peer's side refuses this (server, client, port), for example a VM to
	// VM channel that no qrexec daemon granted.
	ErrDenied = errors.New("vchan: connection not granted")
	// ErrGone: the server domain does not run any more; waiting would be in vain.
	ErrGone = errors.New("vchan: domain is gone")
	// ErrClosed: the local end was closed. It is also a net.ErrClosed.
	ErrClosed = fmt.Errorf("vchan: %w", net.ErrClosed)
)

// Conn is one connected vchan. Read returns io.EOF once the peer closed and everything it
// sent was read. There is no half close. Close flushes what was written, for at most the
// driver's close limit, and releases the port; it may be called twice. Read and Write after
// it return ErrClosed; Write to a peer that is gone fails. Deadlines work as for net.Conn
// (os.ErrDeadlineExceeded). Addresses are for logs only.
type Conn = net.Conn

// Listener offers one port to one client domain and accepts one peer in its life.
type Listener interface {
	// Accept waits for the peer. After it returned a Conn the listener is used up: the
	// rendezvous name is released at once and further calls return ErrClosed. A cancelled
	// ctx returns its error and leaves the listener usable.
	Accept(ctx context.Context) (Conn, error)
	// Close withdraws the offer; a waiting Accept returns ErrClosed. It does not touch an
	// accepted Conn and may be called twice.
	Close() error
}

// Driver is one domain's access to the transport. All methods may be called concurrently.
type Driver interface {
	// Local is the domain this driver speaks for.
	Local() qube.DomID
	// Listen offers port to client. An offer of the same (client, port) by this domain
	// that is not yet accepted is replaced.
	Listen(ctx context.Context, client qube.DomID, port Port) (Listener, error)
	// Dial connects to the port that server offers us. A server that is not there yet is
	// waited for until ctx ends (its error is returned); ErrDenied and ErrGone are final.
	Dial(ctx context.Context, server qube.DomID, port Port) (Conn, error)
}

// Granter is an optional ability of a Driver: transports through which a domain may dial
// another one only with dom0's leave have it, the others need no leave. Callers in dom0
// use type assertion on their Driver.
type Granter interface {
	// Grant lets vm dial (server, vm, port) once within the next GrantLife. It returns
	// when the grant is in force, ErrGone if vm does not run.
	Grant(ctx context.Context, vm, server qube.DomID, port Port) error
}

// GrantLife is how long a grant waits to be used.
const GrantLife = 120 * time.Second
