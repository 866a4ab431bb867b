package policyd

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"qubist/core/prompt/wire"
	"qubist/qrexec/policy"
)

const (
	askTimeout    = 10 * time.Minute // the agent has its own, shorter one
	notifyTimeout = 10 * time.Second
	maxAsking     = 16 // questions of one source that may be open at once
)

// ask puts the question of an asking verdict to the source's GuiVM.
func (d *Daemon) ask(ctx context.Context, sys *policy.System, guivm string, v *policy.Verdict) (wire.Answer, error) {
	if !d.asking.enter(v.Request.Source) {
		return wire.Answer{}, fmt.Errorf("asking the user: %d questions of this qube are open", maxAsking)
	}
	defer d.asking.leave(v.Request.Source)
	q := wire.Ask{
		Source: v.Request.Source, Service: v.Request.Service, Argument: v.Request.Argument,
		Targets: v.Targets, DefaultTarget: v.DefaultTarget, Icons: icons(sys),
	}
	if v.Request.RequestedSource != "" {
		q.Source = v.Request.RequestedSource
	}
	if d.cfg.RuleInQuestions && guivm == "dom0" && v.Rule != nil && len(v.Rule.Where()) < wire.MaxRule {
		q.Rule = "/" + v.Rule.Where()
	}
	body, err := q.JSON()
	if err != nil {
		return wire.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := d.send(ctx, guivm, wire.AskService, body)
	if err != nil {
		return wire.Answer{}, fmt.Errorf("asking the user: %w", err)
	}
	return wire.ParseAnswer(answer)
}

// notify tells the source's GuiVM how a call ended and waits until it has been told.
// Failures change nothing but the log.
func (d *Daemon) notify(ctx context.Context, guivm string, r policy.Request, outcome wire.Resolution, target string) {
	if guivm == "" {
		return
	}
	n := wire.Notice{Resolution: outcome, Service: r.Service, Argument: r.Argument, Source: r.Source, Target: target}
	if r.RequestedSource != "" {
		n.Source = r.RequestedSource
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	body, err := n.JSON()
	if err == nil {
		_, err = d.send(ctx, guivm, wire.NotifyService, body)
	}
	if err != nil {
		d.cfg.Log.Warn("notification failed", "guivm", show(guivm), "error", err)
	}
}

// send makes one call of an agent's service and returns the whole answer.
func (d *Daemon) send(ctx context.Context, guivm, service string, body []byte) ([]byte, error) {
	if guivm != "dom0" {
		return d.cfg.RunInQube(ctx, guivm, "QUBESRPC "+service+" dom0", body)
	}
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "unix", d.cfg.AgentSocket)
	if err != nil {
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	conn := nc.(*net.UnixConn)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(append(wire.Header(service), body...)); err != nil {
		return nil, fmt.Errorf("writing to the agent: %w", err)
	}
	if err := conn.CloseWrite(); err != nil {
		return nil, fmt.Errorf("writing to the agent: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, wire.MaxAnswer+1))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the agent's answer: %w", err)
	}
	return answer, nil
}

// icons are those of all qubes; a disposable's is its template's, of the disposable kind.
func icons(sys *policy.System) map[string]string {
	m := map[string]string{}
	sys.Domains(func(d *policy.Domain) {
		m[d.Name] = d.Icon
		if d.TemplateForDispVMs {
			m["@dispvm:"+d.Name] = strings.ReplaceAll(d.Icon, "app", "disp")
		}
	})
	return m
}
