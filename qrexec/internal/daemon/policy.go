package daemon

import (
	"context"
	"fmt"
	"io"
	"net"

	"qubist/qrexec/wire"
)

// ask puts a question to the policy daemon; when that fails, to the policy program.
func (d *Daemon) ask(ctx context.Context, q wire.Question) (wire.Answer, error) {
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	case <-ctx.Done():
		return wire.Answer{}, ctx.Err()
	}
	a, err := d.askSocket(ctx, q)
	if err == nil || !d.cfg.PolicyProgram || ctx.Err() != nil {
		return a, err
	}
	d.cfg.Log.Warn("asking the policy program instead of the policy daemon", "reason", err)
	return d.askProgram(ctx, q)
}

func (d *Daemon) askSocket(ctx context.Context, q wire.Question) (wire.Answer, error) {
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "unix", d.cfg.PolicySocket)
	if err != nil {
		return wire.Answer{}, fmt.Errorf("connecting to the policy daemon: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Write(wire.AppendQuestion(nil, q)); err != nil {
		return wire.Answer{}, fmt.Errorf("asking the policy daemon: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(c, wire.MaxAnswer+1))
	if err != nil {
		return wire.Answer{}, fmt.Errorf("reading the policy answer: %w", err)
	}
	return wire.ParseAnswer(b)
}

func (d *Daemon) askProgram(ctx context.Context, q wire.Question) (wire.Answer, error) {
	out, refused, err := d.cfg.Outside.AskProgram(ctx, q.Source, q.Target, q.Service)
	if err != nil || refused {
		return wire.Answer{}, err
	}
	return wire.ParseAnswer(out)
}
