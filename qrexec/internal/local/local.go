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

var accounts = proc.Accounts{Etc: "/etc"}

// Runner knows where dom0's services are.
type Runner struct {
	Dirs proc.Dirs
	Log  *slog.Logger // gets what services say on stderr

	// Shell allows shell commands as well as services.
	Shell bool
}

// Serve runs the service that a command without user part names, on a fresh link, until it
// is over. On an error the caller was told a code, unless the link failed.
func (r Runner) Serve(ctx context.Context, link *data.Link, command string) error {
	cmd, err := rpcname.ParseDom0(command)
	if err == nil && cmd.Call == nil && !r.Shell {
		err = rpcname.ErrCommand
	}
	var logs sync.WaitGroup
	defer logs.Wait()
	var svc data.Service
	if err == nil {
		svc, err = r.open(ctx, &logs, cmd)
	}
	if err != nil {
		link.FailDom0(proc.ExitCode(err))
		return err
	}
	return link.Serve(ctx, svc)
}

// open starts a service or connects to it.
func (r Runner) open(ctx context.Context, logs *sync.WaitGroup, cmd rpcname.Command) (data.Service, error) {
	if cmd.Call == nil {
		return r.run(ctx, logs, proc.Program{Shell: cmd.Shell}, "command")
	}
	c := *cmd.Call
	conf, err := r.Dirs.Config(c)
	if err != nil {
		return data.Service{}, err
	}
	if conf.WaitForSession {
		if err := r.await(ctx, c); err != nil {
			r.Log.Warn("waiting for the session", "reason", err)
		}
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
		return data.FromSocket(conn, conf, c.Text)
	}
	pr := proc.Program{Path: found.Exec}
	if pr.Env, err = c.Env(); err != nil {
		return data.Service{}, err
	}
	if c.Arg != "" {
		pr.Args = []string{c.Arg}
	}
	if conf.ForceUser != "" {
		if pr.Account, err = accounts.Switch(conf.ForceUser); err != nil {
			return data.Service{}, err
		}
	}
	return r.run(ctx, logs, pr, c.Descriptor)
}

// run starts a program whose stderr goes to the log.
func (r Runner) run(ctx context.Context, logs *sync.WaitGroup, pr proc.Program, name string) (data.Service, error) {
	p, err := proc.Start(pr)
	if err != nil {
		return data.Service{}, err
	}
	logs.Go(func() {
		defer context.AfterFunc(ctx, func() { p.Stderr.Close() })()
		logLines(p.Stderr, r.Log.With("service", name))
	})
	return data.Service{Stdin: p.Stdin, Stdout: p.Stdout, Done: p.Done(), Code: p.Code}, nil
}

// await waits for the session of the user we run as.
func (r Runner) await(ctx context.Context, c rpcname.Call) error {
	self, err := accounts.Self()
	if err != nil {
		return err
	}
	return r.Dirs.AwaitSession(ctx, accounts, self, c.Source, nil)
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
