package adminclient

import (
	"context"
	"errors"
	"fmt"
	"io"

	"qubist/core/adminapi"
)

// Stream is an open event subscription.
type Stream struct {
	er    *adminapi.EventReader
	close func()
}

// Subscribe opens admin.Events (or admin.vm.Stats) for dest; dest dom0 means everything.
// It returns when the server confirmed the subscription, so nothing later is missed. The
// stream ends when ctx does or at Close.
func (c *Client) Subscribe(ctx context.Context, method, dest string) (*Stream, error) {
	conn, err := c.open(ctx, adminapi.Request{Method: method, Src: "dom0", Dest: dest})
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", method, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s := &Stream{er: adminapi.NewEventReader(conn), close: func() { stop(); conn.Close() }}
	e, err := s.er.Next()
	switch {
	case errors.Is(err, io.EOF):
		err = adminapi.ErrRefused
	case err == nil && e.Name != adminapi.Connected:
		err = fmt.Errorf("first event is %.40q: %w", e.Name, adminapi.ErrFraming)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("calling %s: %w", method, err)
	}
	return s, nil
}

// Next is the next event; io.EOF at the end, an *adminapi.Error when the server says so.
func (s *Stream) Next() (adminapi.Event, error) { return s.er.Next() }

// Close ends the subscription and makes a pending Next fail.
func (s *Stream) Close() { s.close() }

// Events delivers the events of the whole system until ctx ends or the connection breaks,
// then closes the channel.
func (c *Client) Events(ctx context.Context) (<-chan adminapi.Event, error) {
	s, err := c.Subscribe(ctx, "admin.Events", "dom0")
	if err != nil {
		return nil, err
	}
	ch := make(chan adminapi.Event, 64)
	go func() {
		defer close(ch)
		defer s.Close()
		for {
			e, err := s.Next()
			if err != nil {
				return
			}
			select {
			case ch <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch, nil
}
