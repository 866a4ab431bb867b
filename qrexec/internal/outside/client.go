package outside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

// ErrLost means that the process outside is gone.
var ErrLost = errors.New("the process outside of the confinement is gone")

// Client is the confined side. Use it from any number of goroutines.
type Client struct {
	link *link
	lost chan struct{}

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan<- result // capacity 1
	running map[uint64]*process
	over    bool
}

type result struct {
	answer answer
	files  []*os.File
	proc   *process // of a service that was started
}

// process is a service that runs outside.
type process struct {
	done chan struct{}
	code int
}

// NewClient uses the connection, which it owns.
func NewClient(conn *net.UnixConn) *Client {
	c := &Client{link: &link{conn: conn}, lost: make(chan struct{}), waiting: map[uint64]chan<- result{}, running: map[uint64]*process{}}
	go c.read()
	return c
}

// Lost is closed when the process outside is gone, or Close was called.
func (c *Client) Lost() <-chan struct{} { return c.lost }

// Close ends the process outside; services go on. It returns when nothing reads any more.
func (c *Client) Close() {
	c.link.conn.Close()
	<-c.lost
}

// read takes the answers to those who wait for them.
func (c *Client) read() {
	defer close(c.lost)
	for {
		var a answer
		files, err := c.link.receive(&a)
		if err != nil {
			closeAll(files)
			c.end()
			return
		}
		c.take(result{answer: a, files: files})
	}
}

func (c *Client) take(r result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch wait, p := c.waiting[r.answer.ID], c.running[r.answer.ID]; {
	case r.answer.Exited && p != nil:
		delete(c.running, r.answer.ID)
		p.code = r.answer.Code
		close(p.done)
	case wait != nil:
		delete(c.waiting, r.answer.ID)
		if len(r.files) == 2 { // from now on its end may come
			r.proc = &process{done: make(chan struct{})}
			c.running[r.answer.ID] = r.proc
		}
		wait <- r
		return
	}
	closeAll(r.files)
}

// end releases all who wait.
func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for id, wait := range c.waiting {
		delete(c.waiting, id)
		close(wait)
	}
	for id, p := range c.running {
		delete(c.running, id)
		p.code = wire.ExitProblem
		close(p.done)
	}
}

// do makes one request and waits for its first answer.
func (c *Client) do(ctx context.Context, q request) (result, error) {
	wait := make(chan result, 1)
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return result{}, ErrLost
	}
	c.next++
	q.ID = c.next
	c.waiting[q.ID] = wait
	c.mu.Unlock()
	if err := c.link.send(q); err != nil {
		c.forget(q.ID, wait)
		return result{}, fmt.Errorf("asking outside: %w", err)
	}
	select {
	case r, ok := <-wait:
		switch {
		case !ok:
			return r, ErrLost
		case r.answer.Error == "":
			return r, nil
		case r.answer.Code == wire.ExitNotFound:
			return r, fmt.Errorf("%w: %s", proc.ErrNotFound, r.answer.Error)
		}
		return r, errors.New(r.answer.Error)
	case <-ctx.Done():
		c.forget(q.ID, wait)
		return result{}, ctx.Err()
	}
}

// forget gives up waiting. What came or comes is closed, which tells a service so.
func (c *Client) forget(id uint64, wait <-chan result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
	delete(c.running, id)
	select {
	case r := <-wait:
		closeAll(r.files)
	default:
	}
}

// Listen makes the local socket, in place of what an earlier daemon left.
func (c *Client) Listen(ctx context.Context) (net.Listener, error) {
	r, err := c.do(ctx, request{Op: opListen})
	if err != nil {
		return nil, err
	}
	defer closeAll(r.files)
	if len(r.files) != 1 {
		return nil, errors.New("making the local socket: no descriptor came")
	}
	l, err := net.FileListener(r.files[0])
	if err != nil {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	return l, nil
}

// Withdraw removes the local socket's names.
func (c *Client) Withdraw() error {
	_, err := c.do(context.Background(), request{Op: opWithdraw})
	return err
}

// Open starts a service of dom0 or connects to it; command is that of a call without user.
func (c *Client) Open(ctx context.Context, command string) (data.Service, error) {
	r, err := c.do(ctx, request{Op: opCall, Command: command})
	if err != nil {
		return data.Service{}, err
	}
	if r.answer.Socket {
		return socketService(r, command)
	}
	if r.proc == nil {
		closeAll(r.files)
		return data.Service{}, errors.New("starting a service: no descriptors came")
	}
	return data.Service{Stdin: r.files[0], Stdout: r.files[1], Done: r.proc.done, Code: func() int { return r.proc.code }}, nil
}

func socketService(r result, command string) (data.Service, error) {
	defer closeAll(r.files)
	if len(r.files) != 1 {
		return data.Service{}, errors.New("connecting to a service: no descriptor came")
	}
	conn, err := net.FileConn(r.files[0])
	if err != nil {
		return data.Service{}, fmt.Errorf("connecting to a service: %w", err)
	}
	sc, ok := conn.(data.SocketConn)
	if !ok {
		conn.Close()
		return data.Service{}, errors.New("connecting to a service: not a stream")
	}
	conf := rpcname.Config{SkipDescriptor: r.answer.SkipDescriptor, ExitOnClientEOF: r.answer.ExitOnClientEOF, ExitOnServiceEOF: r.answer.ExitOnServiceEOF}
	return data.FromSocket(sc, conf, strings.TrimPrefix(command, "QUBESRPC "))
}

// AskProgram runs the policy program; refused means that it ended with a failure.
func (c *Client) AskProgram(ctx context.Context, source, target, service string) (output []byte, refused bool, err error) {
	r, err := c.do(ctx, request{Op: opPolicy, Args: []string{source, target, service}})
	if err != nil {
		return nil, false, err
	}
	return []byte(r.answer.Output), r.answer.Exited, nil
}
