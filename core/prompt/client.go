package prompt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"qubist/core/prompt/wire"
)

// Watch tells how many questions are open: the present number first, then every change.
// The channel is closed when ctx ends or the agent goes away; watch again then. A slow
// reader gets the newest number only.
func Watch(ctx context.Context, socket string) (<-chan int, error) {
	conn, err := dial(ctx, socket, wire.Watch)
	if err != nil {
		return nil, err
	}
	numbers := make(chan int, 1)
	go func() {
		defer close(numbers)
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		lines := NewLines(conn)
		for {
			line, err := lines.Next()
			if err != nil {
				return
			}
			u, err := wire.ParseUpdate(line)
			if err != nil {
				return
			}
			select {
			case <-numbers: // nobody took the old one
			default:
			}
			numbers <- u.Waiting
		}
	}()
	return numbers, nil
}

// ErrBusy says that another front end is attached.
var ErrBusy = errors.New("another front end shows the questions")

// FrontEnd is an attached front end.
type FrontEnd struct {
	conn  net.Conn
	lines *Lines
}

// Attach becomes the front end that shows questions. Closing it, or dying, denies the one
// that is shown.
func Attach(ctx context.Context, socket string) (*FrontEnd, error) {
	conn, err := dial(ctx, socket, wire.Attach)
	if err != nil {
		return nil, err
	}
	return &FrontEnd{conn: conn, lines: NewLines(conn)}, nil
}

// Next waits for the next update. It ends with ErrBusy, or when the connection does.
func (f *FrontEnd) Next() (wire.Update, error) {
	line, err := f.lines.Next()
	if err != nil {
		return wire.Update{}, err
	}
	u, err := wire.ParseUpdate(line)
	if err == nil && u.Busy {
		err = ErrBusy
	}
	return u, err
}

// Reply answers the shown question.
func (f *FrontEnd) Reply(r wire.Reply) error {
	line, err := wire.Encode(r)
	if err != nil {
		return err
	}
	if _, err := f.conn.Write(line); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

// Close detaches.
func (f *FrontEnd) Close() error { return f.conn.Close() }

func dial(ctx context.Context, socket string, role wire.Role) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to the policy agent: %w", err)
	}
	line, err := wire.Encode(wire.Hello{Role: role})
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err = conn.Write(line)
		_ = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting the policy agent: %w", err)
	}
	return conn, nil
}

// Lines reads lines of at most wire.MaxLine bytes from one side of the protocol.
type Lines struct{ s *bufio.Scanner }

// NewLines reads from conn.
func NewLines(conn net.Conn) *Lines {
	s := bufio.NewScanner(conn)
	s.Buffer(make([]byte, 0, 4096), wire.MaxLine)
	return &Lines{s: s}
}

// Next is the next line without its newline; it is valid until the next call.
func (l *Lines) Next() ([]byte, error) {
	if l.s.Scan() {
		return l.s.Bytes(), nil
	}
	if err := l.s.Err(); err != nil {
		return nil, fmt.Errorf("reading a line: %w", err)
	}
	return nil, net.ErrClosed
}
