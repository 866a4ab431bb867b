package daemon

import (
	"context"
	"fmt"

	"qubist/core/vchan"
	"qubist/gui/internal/display"
	"qubist/gui/internal/window"
	"qubist/gui/wire"
)

// turnChunks is how many chunks of messages are taken in one turn before the screen is
// painted and its events are heard: a qube that never stops sending must not starve the
// user's input.
const turnChunks = 8

// session is one connection with an agent.
type session struct {
	conn    vchan.Conn
	version wire.Version
	drv     display.Driver
	state   *window.State
	queue   *queue
	in      *reader

	partial []byte // the beginning of a message that has not arrived whole
	events  []display.Event
}

func newSession(cfg *Config, conn vchan.Conn, version wire.Version) *session {
	return &session{conn: conn, version: version, drv: cfg.Display,
		state: window.New(cfg.Window, cfg.Display, version), queue: newQueue(conn), in: newReader(conn)}
}

// run serves until something ends; the error says what. The goroutines it starts have
// ended when it returns.
func (s *session) run(ctx context.Context) error {
	go s.in.run()
	go s.queue.run()
	defer func() {
		s.conn.Close()
		s.in.stop()
		s.queue.stop()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.drv.Lost():
			return fmt.Errorf("%w: %w", ErrDisplay, s.drv.Err())
		case <-s.queue.failed:
			return s.queue.err
		case c := <-s.in.chunks:
			if err := s.take(c); err != nil {
				return err
			}
		case <-s.drv.Wake():
		}
		if err := s.turn(); err != nil {
			return err
		}
	}
}

// turn takes what else is there, then paints and sends.
func (s *session) turn() error {
more:
	for range turnChunks {
		select {
		case c := <-s.in.chunks:
			if err := s.take(c); err != nil {
				return err
			}
		default:
			break more
		}
	}
	s.events = s.drv.Poll(s.events[:0])
	for i := range s.events {
		if s.events[i].Kind == display.Failed {
			return fmt.Errorf("%w: its properties cannot be understood", ErrDisplay)
		}
		s.state.Event(&s.events[i])
	}
	s.state.EndTurn()
	s.drv.Flush()
	return s.queue.add(s.state.Out())
}

// take carries out the messages of one chunk.
func (s *session) take(c chunk) error {
	if c.err != nil {
		return fmt.Errorf("reading from the window agent: %w", c.err)
	}
	defer s.in.giveBack(c)
	if len(s.partial) == 0 {
		rest, err := s.messages(c.data)
		s.partial = append(s.partial, rest...)
		return err
	}
	s.partial = append(s.partial, c.data...)
	rest, err := s.messages(s.partial)
	s.partial = s.partial[:copy(s.partial, rest)]
	if len(s.partial) == 0 && cap(s.partial) > 4*chunkSize {
		s.partial = nil
	}
	return err
}

// messages carries out the complete messages of b and returns what is left.
func (s *session) messages(b []byte) ([]byte, error) {
	for len(b) >= wire.HeaderSize {
		h, err := wire.ParseHeader(b)
		if err != nil {
			return nil, err
		}
		n, err := h.BodyFromAgent(s.version)
		if err == nil {
			if len(b) < wire.HeaderSize+n {
				return b, nil
			}
			err = s.state.Message(h, b[wire.HeaderSize:wire.HeaderSize+n])
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		b = b[wire.HeaderSize+n:]
	}
	return b, nil
}
