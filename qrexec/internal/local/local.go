// Package local runs services of dom0 for callers in VMs: it finds the service, starts it and
// moves its bytes. Whether the call is allowed was decided before (spec qrexec.md §8, §10).
package local

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"

	"qubist/core/safetext"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
)

// maxLogLine is how much of a service's line on stderr is logged.
const maxLogLine = 512

// Runner knows where dom0's services are.
type Runner struct {
	Dirs proc.Dirs
	Log  *slog.Logger // gets what services say on stderr
}

// Serve runs the service that a command without user part names, on a fresh link, until it
// is over. On an error the caller was told a code, unless the link failed.
func (r Runner) Serve(ctx context.Context, link *data.Link, command string) error {
	cmd, err := rpcname.ParseDom0(command)
	if err == nil && cmd.Call == nil {
		err = rpcname.ErrCommand
	}
	var logs sync.WaitGroup
	defer logs.Wait()
	var svc data.Service
	if err == nil {
		svc, err = r.open(ctx, &logs, *cmd.Call, cmd.Call.Text)
	}
	if err != nil {
		link.FailDom0(proc.ExitCode(err))
		return err
	}
	return link.Serve(ctx, svc)
}

// open starts a service of dom0 or connects to it.
func (r Runner) open(ctx context.Context, logs *sync.WaitGroup, c rpcname.Call, text string) (data.Service, error) {
	conf, err := r.Dirs.Config(c)
	if err != nil {
		return data.Service{}, err
	}
	found, err := r.Dirs.Find(c)
	if err != nil {
		return data.Service{}, err
	}
	if found.IsSocket() {
		conn, err := found.Connect(ctx)
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
	logs.Go(func() {
		defer context.AfterFunc(ctx, func() { p.Stderr.Close() })()
		logLines(p.Stderr, r.Log.With("service", c.Descriptor))
	})
	return data.Service{Stdin: p.Stdin, Stdout: p.Stdout, Done: p.Done(), Code: p.Code}, nil
}

// logLines writes what a service says on stderr to the log, a bounded piece per line, and
// closes it at its end.
func logLines(stderr io.ReadCloser, log *slog.Logger) {
	defer stderr.Close()
	b := bufio.NewReaderSize(stderr, maxLogLine)
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
