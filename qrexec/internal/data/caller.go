package data

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/msg"
	"qubist/qrexec/wire"
)

// Caller are the local ends of a calling program. Any of them may be nil: no input, or
// output thrown away.
type Caller struct {
	Prefix []byte // sent before Stdin, as a message of its own
	Stdin  io.Reader
	Stdout io.Writer // closed at its end if it is an io.Closer other than a standard stream
	Stderr io.Writer

	// CloseStdout, if not nil, is called once when the service's output has ended.
	CloseStdout func()
}

// Call moves bytes until the service's exit code has come and its output has ended, or the
// peer closes. Without a code the error wraps ErrLost, or wire.ErrFatal for a violation.
//
// Call does not wait for a Read of Stdin that is under way when the service ends, unless
// Stdin has a SetReadDeadline method that works; what that Read brings is lost.
func (l *Link) Call(ctx context.Context, c Caller) (code int, err error) {
	release := msg.Bound(ctx, l.conn)
	defer release()
	l.firstInput(c)
	inDone := make(chan struct{})
	go func() { defer close(inDone); l.input(c) }()
	code, err = l.output(c)
	l.endInput(err == nil)
	l.Close()
	if c.Stdin == nil || interrupt(c.Stdin) {
		<-inDone
	}
	l.recycle()
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	return code, err
}

// interrupt makes a Read of r return, if r can.
func interrupt(r io.Reader) bool {
	d, ok := r.(interface{ SetReadDeadline(time.Time) error })
	return ok && d.SetReadDeadline(time.Unix(1, 0)) == nil
}

// firstInput sends what is there already, the prefix and one piece of Stdin, so that a
// service which ends at once still gets what its caller had ready. It never waits for input.
func (l *Link) firstInput(c Caller) {
	buf := buffers.Get().(*[wire.HeaderLen + wire.MaxChunkV3]byte)
	defer buffers.Put(buf)
	for prefix := c.Prefix; len(prefix) > 0; {
		n := copy(buf[wire.HeaderLen:wire.HeaderLen+l.chunk], prefix)
		if !l.sendInput(buf[:], n) {
			return
		}
		prefix = prefix[n:]
	}
	if f, ok := c.Stdin.(*os.File); ok && readable(f) {
		if n, _ := f.Read(buf[wire.HeaderLen : wire.HeaderLen+l.chunk]); n > 0 {
			l.sendInput(buf[:], n)
		}
	}
}

// readable says whether a Read of f would return data now.
func readable(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	ready := false
	raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		ready = err == nil && n == 1 && p[0].Revents&unix.POLLIN != 0
	})
	return ready
}

// input sends Stdin until its end or that of the call.
func (l *Link) input(c Caller) {
	buf := buffers.Get().(*[wire.HeaderLen + wire.MaxChunkV3]byte)
	defer buffers.Put(buf)
	for c.Stdin != nil {
		n, err := c.Stdin.Read(buf[wire.HeaderLen : wire.HeaderLen+l.chunk])
		if n > 0 && !l.sendInput(buf[:], n) {
			return
		}
		if err != nil {
			break
		}
	}
	l.endInput(true)
}

func (l *Link) sendInput(buf []byte, n int) bool {
	wire.PutHeader(buf, wire.Header{Type: wire.DataStdin, Len: uint32(n)})
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.inEnded {
		return false
	}
	_, err := l.conn.Write(buf[:wire.HeaderLen+n])
	return err == nil
}

// endInput stops input and, if tell is set, says so to the service once.
func (l *Link) endInput(tell bool) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if !l.inEnded && tell {
		var b [wire.HeaderLen]byte
		wire.PutHeader(b[:], wire.Header{Type: wire.DataStdin})
		l.conn.Write(b[:]) // a peer that is gone shows in output
	}
	l.inEnded = true
}

// output reads until the call is over.
func (l *Link) output(c Caller) (int, error) {
	code, coded, ended := 0, false, false
	end := func() {
		if !ended && c.CloseStdout != nil {
			c.CloseStdout()
		}
		ended = true
	}
	defer end()
	for !coded || !ended {
		h, err := l.next()
		if err == nil {
			switch {
			case h.Type == wire.DataExitCode:
				var b []byte
				if b, err = l.payload(h.Len); err == nil {
					code, coded = wire.ExitCode(b), true
					l.endInput(true)
				}
			case h.Type == wire.DataStderr:
				_, err = l.body(c.Stderr, int(h.Len))
			case h.Len == 0:
				end()
			case ended:
				_, err = l.body(nil, int(h.Len))
			default:
				err = l.stdout(c, h, end)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, wire.ErrFatal):
			return 0, err
		case coded:
			return code, nil
		default:
			return wire.ExitLost, errors.Join(ErrLost, notEOF(err))
		}
	}
	return code, nil
}

// stdout passes one payload on; a writer that fails takes no more.
func (l *Link) stdout(c Caller, h wire.Header, end func()) error {
	werr, err := l.body(c.Stdout, int(h.Len))
	if werr != nil {
		end()
	}
	return err
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
