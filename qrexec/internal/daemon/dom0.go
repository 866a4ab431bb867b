package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"qubist/core/vchan"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/wire"
)

// dataLimit bounds the wait for the caller's data vchan.
const dataLimit = 30 * time.Second

// runDom0 runs a service here and connects the VM to it.
func (s *session) runDom0(id wire.Ident, c call) error {
	command := "QUBESRPC " + c.service + " " + c.source
	if kw, ok := strings.CutPrefix(c.requested, "@"); ok {
		command += " keyword " + kw
	} else if c.requested != "" {
		command += " name " + c.requested
	}
	port, err := s.alloc(0, nil)
	if err != nil {
		return err
	}
	if err := s.serviceConnect(id, wire.Exec{Port: port}); err != nil {
		s.terminated(wire.AppendPair(nil, wire.Exec{Port: port}))
		return err
	}
	// From here on the call no longer depends on the agent's session.
	link, err := s.d.dialData(port)
	if err != nil {
		return err
	}
	return s.d.local.Serve(s.d.ctx, link, command)
}

func (d *Daemon) dialData(port uint32) (*data.Link, error) {
	ctx, cancel := context.WithTimeout(d.ctx, dataLimit)
	defer cancel()
	conn, err := d.cfg.Driver.Dial(ctx, d.cfg.DomID, vchan.Port(port))
	if err != nil {
		return nil, fmt.Errorf("connecting to the caller: %w", err)
	}
	return data.Open(ctx, conn)
}
