package xconn

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	packetSize = 32 // every event, error, and the head of every reply
	setupHead  = 8
	// keepBuffer is the largest reply whose buffer is kept for the next one.
	keepBuffer = 64 << 10
	// attachFdMinor is MIT-SHM's minor opcode of AttachFd.
	attachFdMinor = 6
	// badImplementation is the X error that stands for a request the server never answers.
	badImplementation = 17
)

// stream is the net.Conn that xgb works on. xgb writes each request with one Write and
// reads whole packets in order; stream relies on the first and hands out only complete
// packets. After the connection is lost it accepts every request and answers each one
// that is still open with an error, in order, which lets xgb wind up by itself.
type stream struct {
	*net.UnixConn
	in    *bufio.Reader
	setup []byte // replaces the first write; nil after it
	began bool   // the server's set-up block was read

	packet []byte // being handed out by Read
	rest   []byte // what of packet is left

	lost chan struct{} // closed once err is set
	err  error

	mu       sync.Mutex
	changed  sync.Cond // of sent, closed, idle
	sent     uint64    // requests written
	answered uint64    // the last request known to have an answer
	closed   bool
	idle     bool // lost, every request is answered, and the reader waits for another
	opcode   byte // of MIT-SHM
	fds      []int
}

func newStream(u *net.UnixConn, setup []byte) *stream {
	s := &stream{UnixConn: u, in: bufio.NewReaderSize(u, 16<<10), setup: setup, lost: make(chan struct{})}
	s.changed.L = &s.mu
	return s
}

// queueFd sends fd along with the next AttachFd request.
func (s *stream) queueFd(opcode byte, fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opcode = opcode
	s.fds = append(s.fds[:0], fd)
}

// Write sends one request. It fails only for the set-up; later losses are reported
// through lost.
func (s *stream) Write(b []byte) (int, error) {
	if s.setup != nil {
		request := s.setup
		s.setup = nil
		if _, err := s.UnixConn.Write(request); err != nil {
			return 0, fmt.Errorf("writing the set-up request: %w", err)
		}
		return len(b), nil
	}
	s.mu.Lock()
	s.sent++
	s.changed.Broadcast()
	fd := -1
	if len(s.fds) > 0 && len(b) >= 2 && b[0] == s.opcode && b[1] == attachFdMinor {
		fd = s.fds[0]
		s.fds = s.fds[:0]
	}
	s.mu.Unlock()
	if s.isLost() {
		return len(b), nil
	}
	var err error
	if fd >= 0 {
		_, _, err = s.UnixConn.WriteMsgUnix(b, unix.UnixRights(fd), nil)
	} else {
		_, err = s.UnixConn.Write(b)
	}
	if err != nil {
		s.UnixConn.Close() // the reader notices and reports
	}
	return len(b), nil
}

// Read hands out the server's packets, and made-up errors after the loss.
func (s *stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		if !s.began {
			if err := s.readSetup(); err != nil {
				return 0, err
			}
		} else if s.isLost() {
			if err := s.invent(); err != nil {
				return 0, err
			}
		} else if err := s.readPacket(); err != nil {
			s.err = err
			close(s.lost)
			return s.Read(b)
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) readSetup() error {
	if err := s.fill(0, setupHead); err != nil {
		return fmt.Errorf("reading the x server's set-up: %w", err)
	}
	more := int(binary.LittleEndian.Uint16(s.packet[6:])) * 4
	if err := s.fill(setupHead, more); err != nil {
		return fmt.Errorf("reading the x server's set-up: %w", err)
	}
	s.began = true
	return nil
}

func (s *stream) readPacket() error {
	if cap(s.packet) > keepBuffer {
		s.packet = nil
	}
	if err := s.fill(0, packetSize); err != nil {
		return err
	}
	if s.packet[0] > 1 {
		return nil // an event
	}
	if s.packet[0] == 1 {
		if err := s.fill(packetSize, int(binary.LittleEndian.Uint32(s.packet[4:]))*4); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.answered&^0xffff | uint64(binary.LittleEndian.Uint16(s.packet[2:]))
	if seq < s.answered {
		seq += 1 << 16
	}
	s.answered = seq
	return nil
}

// fill reads n more bytes behind the first at of the packet.
func (s *stream) fill(at, n int) error {
	if cap(s.packet) < at+n {
		bigger := make([]byte, at+n)
		copy(bigger, s.packet[:at])
		s.packet = bigger
	}
	s.packet = s.packet[:at+n]
	if _, err := io.ReadFull(s.in, s.packet[at:]); err != nil {
		s.rest = nil
		return err
	}
	s.rest = s.packet
	return nil
}

// invent waits for a request that has no answer and answers it with an error.
func (s *stream) invent() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.answered == s.sent && !s.closed {
		s.idle = true
		s.changed.Broadcast()
		s.changed.Wait()
	}
	s.idle = false
	if s.answered == s.sent {
		return net.ErrClosed
	}
	s.answered++
	s.packet = append(s.packet[:0], make([]byte, packetSize)...)
	s.packet[1] = badImplementation
	binary.LittleEndian.PutUint16(s.packet[2:], uint16(s.answered))
	s.rest = s.packet
	return nil
}

func (s *stream) isLost() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

// quiesce cuts the connection and returns once xgb's reader waits in Read. Only then does
// xgb's end not hang: it sends a last request and must get the answer before its reader
// looks whether the end has come. No requests may be made meanwhile.
func (s *stream) quiesce() {
	s.UnixConn.Close()
	<-s.lost
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.idle {
		s.changed.Wait()
	}
}

// Close is called by xgb at its orderly end.
func (s *stream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	return s.UnixConn.Close()
}

// extend finds the latest written request with this sequence number.
func (s *stream) extend(sequence uint16) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent - uint64(uint16(s.sent)-sequence)
}
