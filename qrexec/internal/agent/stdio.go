package agent

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/proc"
)

// stdio is a service's output: its stdout socket and, once a service has asked for it by
// SIGUSR1, what is written to the input's socket as well. Only one goroutine reads.
type stdio struct {
	in, out *os.File

	once   sync.Once
	merge  chan struct{} // closed by SIGUSR1
	stop   chan struct{} // closed by Close
	shut   sync.Once
	pieces chan []byte // of both sockets, while merging
	rest   []byte
	wg     sync.WaitGroup
}

func newStdio(p *proc.Process) *stdio {
	return &stdio{in: p.Stdin, out: p.Stdout, merge: make(chan struct{}), stop: make(chan struct{})}
}

// both makes output of the input's socket count from now on.
func (s *stdio) both() {
	s.once.Do(func() {
		close(s.merge)
		s.out.SetReadDeadline(time.Unix(1, 0)) // wake Read
	})
}

func (s *stdio) Read(p []byte) (int, error) {
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
func (s *stdio) startMerge() {
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
func (s *stdio) Close() error {
	s.shut.Do(func() { close(s.stop) })
	s.in.Close()
	err := s.out.Close()
	return err
}

// input is the service's input as an end whose Close tells the service of it but leaves the
// socket open, because it may serve for output.
func (s *stdio) input() io.WriteCloser { return inputEnd{s.in} }

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
