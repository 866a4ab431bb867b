// Package grant turns references to pages that a qube granted into memory an X server can
// attach. Whoever holds the right to map them is a Mapper; a daemon without that right asks
// a broker for it over a Unix socket (Client), which keeps it free of hypervisor devices.
// The package reads no page.
package grant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"qubist/gui/wire"
)

// ErrRefused: the pages cannot be mapped: one of them was never granted, or there is none.
var ErrRefused = errors.New("grant references refused")

// Mapper maps pages of one qube.
type Mapper interface {
	// Map returns memory whose page i is refs[i], for reading. The caller closes it; an X
	// server that attached it keeps it. ErrRefused is wrapped when the pages are to blame.
	Map(refs []uint32) (*os.File, error)
}

// The broker's protocol: a request is a count and that many references, each 4 bytes little
// endian; the answer is one of these bytes, the first with a descriptor.
const (
	answerMapped  = 0
	answerRefused = 1
)

// Client is a Mapper that asks a broker. It is used by one goroutine.
type Client struct {
	conn *net.UnixConn
}

var _ Mapper = (*Client)(nil)

// Dial connects to the broker at path.
func Dial(path string) (*Client, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("connecting to the grant broker: %w", err)
	}
	return &Client{conn}, nil
}

// Close hangs up.
func (c *Client) Close() error { return c.conn.Close() }

// Map asks the broker.
func (c *Client) Map(refs []uint32) (*os.File, error) {
	if len(refs) == 0 || len(refs) > wire.MaxRefs {
		return nil, fmt.Errorf("%w: %d of them", ErrRefused, len(refs))
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+4*len(refs)), uint32(len(refs)))
	for _, r := range refs {
		b = binary.LittleEndian.AppendUint32(b, r)
	}
	if _, err := c.conn.Write(b); err != nil {
		return nil, fmt.Errorf("asking the grant broker: %w", err)
	}
	var answer [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, noob, _, _, err := c.conn.ReadMsgUnix(answer[:], oob)
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("reading the grant broker's answer: %w", err)
	}
	f, err := received(oob[:noob])
	switch {
	case err != nil:
		return nil, err
	case answer[0] == answerMapped && f != nil:
		return f, nil
	case f != nil:
		f.Close()
	}
	return nil, fmt.Errorf("%w by the broker", ErrRefused)
}

// received takes the descriptor out of a control message; nil when there is none.
func received(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("reading the grant broker's answer: %w", err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds[1:] {
			unix.Close(fd)
		}
		unix.CloseOnExec(fds[0])
		return os.NewFile(uintptr(fds[0]), "granted pages"), nil
	}
	return nil, nil
}

// Serve answers one client of a broker until it hangs up.
func Serve(conn *net.UnixConn, m Mapper) error {
	for {
		refs, err := request(conn)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := answer(conn, m, refs); err != nil {
			return fmt.Errorf("answering a client of the grant broker: %w", err)
		}
	}
}

func request(conn *net.UnixConn) ([]uint32, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > wire.MaxRefs {
		return nil, fmt.Errorf("grant broker: a request for %d pages", n)
	}
	b := make([]byte, 4*n)
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, fmt.Errorf("grant broker: reading a request: %w", err)
	}
	refs := make([]uint32, n)
	for i := range refs {
		refs[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return refs, nil
}

func answer(conn *net.UnixConn, m Mapper, refs []uint32) error {
	f, err := m.Map(refs)
	if err != nil {
		_, err = conn.Write([]byte{answerRefused})
		return err
	}
	defer f.Close()
	_, _, err = conn.WriteMsgUnix([]byte{answerMapped}, unix.UnixRights(int(f.Fd())), nil)
	return err
}
