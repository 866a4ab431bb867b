package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"qubist/core/safetext"
	"qubist/core/vchan"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

const (
	// dataLimit bounds the wait for the caller's data vchan.
	dataLimit = 30 * time.Second
	// maxLogLine is how much of a service's line on stderr is logged.
	maxLogLine = 512
)

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
	return s.d.serveDom0(link, command)
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

// serveDom0 runs the service on the link.
func (d *Daemon) serveDom0(link *data.Link, command string) error {
	cmd, err := rpcname.ParseDom0(command)
	if err == nil && cmd.Call == nil {
		err = rpcname.ErrCommand
	}
	var svc data.Service
	if err == nil {
		svc, err = d.open(*cmd.Call, cmd.Call.Text)
	}
	if err != nil {
		link.FailDom0(proc.ExitCode(err))
		return err
	}
	return link.Serve(d.ctx, svc)
}

// open starts a service of dom0 or connects to it.
func (d *Daemon) open(c rpcname.Call, text string) (data.Service, error) {
	conf, err := d.cfg.Services.Config(c)
	if err != nil {
		return data.Service{}, err
	}
	found, err := d.cfg.Services.Find(c)
	if err != nil {
		return data.Service{}, err
	}
	if found.IsSocket() {
		conn, err := found.Connect(d.ctx)
		if err != nil {
			return data.Service{}, err
		}
		return data.FromSocket(conn, conf, text)
	}
	env, err := c.Env()
	if err != nil {
		return data.Service{}, err
	}
	pr := proc.Program{Path: found.Exec, Env: env}
	if c.Arg != "" {
		pr.Args = []string{c.Arg}
	}
	if conf.ForceUser != "" {
		if pr.Account, err = (proc.Accounts{Etc: "/etc"}).Switch(conf.ForceUser); err != nil {
			return data.Service{}, err
		}
	}
	p, err := proc.Start(pr)
	if err != nil {
		return data.Service{}, err
	}
	d.wg.Go(func() {
		defer context.AfterFunc(d.ctx, func() { p.Stderr.Close() })()
		logLines(p.Stderr, d.cfg.Log.With("service", c.Descriptor))
	})
	return data.Service{Stdin: p.Stdin, Stdout: p.Stdout, Done: p.Done(), Code: p.Code}, nil
}

// logLines writes what a service says on stderr to the log, a bounded piece per line, and
// closes r at its end.
func logLines(r io.ReadCloser, log *slog.Logger) {
	defer r.Close()
	b := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, long, err := b.ReadLine()
		if err != nil {
			return
		}
		log.Info("stderr", "line", safetext.Line(string(line), maxLogLine))
		for long && err == nil {
			_, long, err = b.ReadLine()
		}
	}
}
