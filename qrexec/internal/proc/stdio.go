package proc

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Stdio is a program's output: its stdout socket and, once it has asked for that by SIGUSR1
// to the process named in QREXEC_AGENT_PID, what it writes to its input's socket as well
// (spec qrexec.md §7). Only one goroutine may read.
type Stdio struct {
	in, out *os.File

	once   sync.Once
	merge  chan struct{} // closed by SIGUSR1
	stop   chan struct{} // closed by Close
	shut   sync.Once
	pieces chan []byte // of both sockets, while merging
	rest   []byte
	wg     sync.WaitGroup
}

// NewStdio takes our ends of a program's input and output sockets.
func NewStdio(in, out *os.File) *Stdio {
	return &Stdio{in: in, out: out, merge: make(chan struct{}), stop: make(chan struct{})}
}

// Both makes output of the input's socket count from now on.
func (s *Stdio) Both() {
	s.once.Do(func() {
		close(s.merge)
		s.out.SetReadDeadline(time.Unix(1, 0)) // wake Read
	})
}

// Read gives what the program writes.
func (s *Stdio) Read(p []byte) (int, error) {
	if s.pieces == nil {
		n, err := s.out.Read(p)
		select {
		case <-s.merge:
		default:
			return n, err
		}
		s.startMerge()
		if n > 0 {
			return n, nil
		}
	}
	for len(s.rest) == 0 {
		b, ok := <-s.pieces
		if !ok {
			return 0, io.EOF
		}
		s.rest = b
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// startMerge reads both sockets until both have ended.
func (s *Stdio) startMerge() {
	s.out.SetReadDeadline(time.Time{})
	s.pieces = make(chan []byte)
	var wg sync.WaitGroup
	for _, f := range []*os.File{s.in, s.out} {
		wg.Go(func() {
			for {
				b := make([]byte, 4096)
				n, err := f.Read(b)
				if n > 0 {
					select {
					case s.pieces <- b[:n]:
					case <-s.stop:
						return
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
	s.wg.Go(func() { wg.Wait(); close(s.pieces) })
}

// Close closes both sockets.
func (s *Stdio) Close() error {
	s.shut.Do(func() { close(s.stop) })
	s.in.Close()
	err := s.out.Close()
	return err
}

// Input is the program's input as an end whose Close tells the program of it but leaves the
// socket open, because it may serve for output.
func (s *Stdio) Input() io.WriteCloser { return inputEnd{s.in} }

type inputEnd struct{ *os.File }

func (e inputEnd) Close() error {
	raw, err := e.File.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		return err
	}
	return serr
}
