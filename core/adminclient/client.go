// Package adminclient speaks the Admin API to a qubesd, ours or another: single calls, typed
// helpers, event streams, and a live picture of the whole system fed by events (Watch).
// The server is not trusted to behave: everything it sends is bounded and checked. Texts in
// answers are not fit for a terminal as they are; that is the caller's duty (core/safetext).
package adminclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"qubist/core/adminapi"
)

// Client makes calls over a Unix socket as dom0. It holds no connection; use it from any
// number of goroutines.
type Client struct {
	socket string
}

// New gives a client for the socket at path (paths.QubesdSocket).
func New(socket string) *Client { return &Client{socket: socket} }

// Call makes one call and returns the answer's data. An exception is an *adminapi.Error; a
// connection closed without an answer is adminapi.ErrRefused.
func (c *Client) Call(ctx context.Context, method, dest, arg string, payload []byte) ([]byte, error) {
	data, err := c.call(ctx, adminapi.Request{Method: method, Arg: arg, Src: "dom0", Dest: dest, Payload: payload})
	var e *adminapi.Error
	if err == nil || errors.As(err, &e) {
		return data, err
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, fmt.Errorf("calling %s: %w", method, err)
}

func (c *Client) call(ctx context.Context, r adminapi.Request) ([]byte, error) {
	conn, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	b, err := io.ReadAll(io.LimitReader(conn, adminapi.MaxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(b) > adminapi.MaxResponse {
		return nil, fmt.Errorf("reading the answer: %w", adminapi.ErrTooLong)
	}
	return adminapi.ParseResponse(b)
}

// open sends the request and half-closes; the answer can be read from the connection.
func (c *Client) open(ctx context.Context, r adminapi.Request) (net.Conn, error) {
	frame, err := r.Append(nil)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to qubesd: %w", err)
	}
	conn := nc.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	_, err = conn.Write(frame)
	if err == nil {
		err = conn.CloseWrite()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("sending the request: %w", err)
	}
	return conn, nil
}
