package data

import (
	"context"
	"errors"
	"io"
	"sync"

	"qubist/qrexec/wire"
)

// Service are the local ends of a service. Close of an end makes a Read or Write of it
// return; that of Stdout may come while Stdin is still in use.
type Service struct {
	Stdin  io.WriteCloser // Close passes on the end of input only, if Stdout is the same socket
	Stdout io.ReadCloser
	Stderr io.ReadCloser // nil: the service has none, which the caller is told at once

	// Done is closed when the service ended and Code is its exit code. A nil Done means
	// that it ends when both directions have, with code 0.
	Done <-chan struct{}
	Code func() int

	// Deaf, if not nil, is called once Stdout has ended. It waits until the service takes no
	// more input, or returns false when Stdout is closed.
	Deaf func() bool

	ExitOnClientEOF  bool // end when the caller's input ends
	ExitOnServiceEOF bool // end when Stdout does
}

// Serve moves bytes until the service is over and its code is sent, the peer is gone or ctx
// ends; then it closes the link and the ends. It does not wait for a service that outlives
// its caller. The error is nil if the exit code was sent.
func (l *Link) Serve(ctx context.Context, s Service) error {
	if s.Stderr == nil {
		if err := l.sendEOF(wire.DataStderr); err != nil {
			l.Close()
			l.recycle()
			s.Stdin.Close()
			s.Stdout.Close()
			return err
		}
	}
	var wg, out sync.WaitGroup
	inEnd, gone := make(chan struct{}), make(chan error, 1)
	stdin := &onceCloser{WriteCloser: s.Stdin}
	wg.Go(func() { gone <- l.receive(stdin, inEnd) })
	stdoutEnd, outEnd := make(chan struct{}), make(chan struct{})
	out.Go(func() { defer close(stdoutEnd); l.copyOut(wire.DataStdout, s.Stdout) })
	if s.Stderr != nil {
		out.Go(func() { l.copyOut(wire.DataStderr, s.Stderr) })
	}
	wg.Go(func() { out.Wait(); close(outEnd) })

	deaf := make(chan struct{})
	if s.Deaf != nil {
		wg.Go(func() {
			<-stdoutEnd
			if s.Deaf() {
				close(deaf)
			}
		})
	}
	code, err := s.wait(ctx, stdin, inEnd, stdoutEnd, outEnd, deaf, gone)
	if err == nil {
		s.Stdout.Close() // where the service was cut short, its output ends now
		out.Wait()
		l.wmu.Lock()
		_, err = l.conn.Write(wire.AppendExitCode(nil, code))
		l.wmu.Unlock()
	}
	l.Close()
	stdin.Close()
	if err != nil {
		s.Stdout.Close()
	}
	if s.Stderr != nil {
		s.Stderr.Close()
	}
	wg.Wait()
	l.recycle()
	return err
}

// wait blocks until the call is over. A nil error means that code is to be sent.
func (s *Service) wait(ctx context.Context, stdin io.Closer, inEnd, stdoutEnd, outEnd, deaf <-chan struct{}, gone <-chan error) (int, error) {
	done := s.Done
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case err := <-gone:
			return 0, err
		case <-done:
			stdin.Close()
			done = nil
			s.Done = nil
			inEnd = nil // input is of no interest any more
			if outEnd == nil {
				return s.Code(), nil
			}
		case <-inEnd:
			inEnd = nil
			if s.ExitOnClientEOF || s.Code == nil && outEnd == nil {
				return s.exit(), nil
			}
		case <-deaf:
			return s.exit(), nil
		case <-stdoutEnd:
			stdoutEnd = nil
			if s.ExitOnServiceEOF {
				return s.exit(), nil
			}
		case <-outEnd:
			outEnd = nil
			if s.Code != nil && done == nil || s.Code == nil && inEnd == nil {
				return s.exit(), nil
			}
		}
	}
}

func (s *Service) exit() int {
	if s.Code == nil {
		return 0
	}
	return s.Code()
}

// receive passes the caller's data to stdin until the link ends, which it always reports as
// an error. inEnd is closed when input ended, by EOF or because stdin takes no more.
func (l *Link) receive(stdin *onceCloser, inEnd chan<- struct{}) error {
	ended := false
	end := func() {
		if !ended {
			ended = true
			stdin.Close()
			close(inEnd)
		}
	}
	for {
		h, err := l.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrLost
			}
			return err
		}
		var w io.Writer
		input := h.Type == wire.DataStdin || h.Type == wire.DataStdout
		if input && h.Len == 0 {
			end()
			continue
		}
		if input && !ended {
			w = stdin
		}
		werr, err := l.body(w, int(h.Len))
		if err != nil {
			return ErrLost
		}
		if werr != nil {
			end()
		}
	}
}

// onceCloser closes its end once, from whoever comes first.
type onceCloser struct {
	io.WriteCloser
	once sync.Once
	err  error
}

func (c *onceCloser) Close() error {
	c.once.Do(func() { c.err = c.WriteCloser.Close() })
	return c.err
}
