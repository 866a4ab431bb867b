// Package outside is the half of qrexec-daemon that stays out of its confinement. The
// daemon reads a VM's bytes and may neither run programs nor touch files; what its duty
// needs of that it asks of this small process, which never hears the VM: run or connect to
// a service of dom0 that is on disk, make the local socket, run the policy program of the
// command line. Requests are checked as if they came from the VM, because they could.
//
// Words: the *client* is the confined daemon, the *server* the process outside. They share
// one SOCK_SEQPACKET pair; a packet is one JSON object, with descriptors where it says so.
package outside

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxPacket bounds a packet in bytes: a command of wire.MaxCommand and what JSON adds.
const maxPacket = 160 << 10

// maxFiles is the number of descriptors that one packet carries at most.
const maxFiles = 2

// op is what a request asks for.
type op string

const (
	opListen   op = "listen"   // make the local socket; its descriptor comes with the answer
	opWithdraw op = "withdraw" // remove it
	opCall     op = "call"     // a service of dom0
	opPolicy   op = "policy"   // the policy program
)

// request is a packet of the client.
type request struct {
	ID      uint64   `json:"id"`
	Op      op       `json:"op"`
	Command string   `json:"command,omitempty"` // opCall: "QUBESRPC …"
	Args    []string `json:"args,omitempty"`    // opPolicy: source, target, service
}

// answer is a packet of the server. A process service is answered twice: with its input
// and output, and when it has ended.
type answer struct {
	ID     uint64 `json:"id"`
	Error  string `json:"error,omitempty"`
	Code   int    `json:"code,omitempty"` // with Error: what the caller is told; with Exited: the exit code
	Socket bool   `json:"socket,omitempty"`
	Exited bool   `json:"exited,omitempty"`
	Output string `json:"output,omitempty"` // of the policy program

	SkipDescriptor   bool `json:"skip_descriptor,omitempty"`
	ExitOnClientEOF  bool `json:"exit_on_client_eof,omitempty"`
	ExitOnServiceEOF bool `json:"exit_on_service_eof,omitempty"`
}

// Pair makes the connection: ours, and a file for the other process.
func Pair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "outside")
	conn, err := Conn(os.NewFile(uintptr(fds[0]), "outside"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// Conn is an inherited end of a Pair. It closes f.
func Conn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("using the inherited socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("using the inherited socket: it is no Unix socket")
	}
	return u, nil
}

// link sends and receives packets.
type link struct {
	conn *net.UnixConn
	mu   sync.Mutex // of writes
	buf  [maxPacket + 1]byte
}

// send writes one packet with descriptors, which stay the caller's.
func (l *link) send(v any, files ...syscall.RawConn) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxPacket {
		return fmt.Errorf("packet of %d bytes, limit %d", len(b), maxPacket)
	}
	return withFds(nil, files, func(fds []int) error {
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		_, _, err := l.conn.WriteMsgUnix(b, oob, nil)
		return err
	})
}

// withFds calls f with the descriptors of files, none of which can be closed meanwhile.
func withFds(fds []int, files []syscall.RawConn, f func([]int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	var err error
	cerr := files[0].Control(func(fd uintptr) { err = withFds(append(fds, int(fd)), files[1:], f) })
	return errors.Join(cerr, err)
}

// receive reads one packet into v. Its descriptors are the caller's, also with an error.
func (l *link) receive(v any) ([]*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, flags, _, err := l.conn.ReadMsgUnix(l.buf[:], oob)
	if err != nil {
		return nil, err
	}
	files := received(oob[:oobn])
	if n == 0 {
		return files, io.EOF
	}
	if n > maxPacket || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return files, errors.New("packet too long")
	}
	d := json.NewDecoder(bytes.NewReader(l.buf[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return files, fmt.Errorf("malformed packet: %w", err)
	}
	return files, nil
}

func received(oob []byte) []*os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
