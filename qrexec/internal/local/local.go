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

// Opened is a service that was started or connected to: exactly one of Process and Socket
// is set.
type Opened struct {
	Process *proc.Process
	Socket  data.SocketConn
	Config  rpcname.Config
}

// Serve runs the service that a command without user part names, on a fresh link, until it
// is over. On an error the caller was told a code, unless the link failed.
func (r Runner) Serve(ctx context.Context, link *data.Link, command string) error {
	var logs sync.WaitGroup
	defer logs.Wait()
	svc, err := r.service(ctx, &logs, command)
	if err != nil {
		link.FailDom0(proc.ExitCode(err))
		return err
	}
	return link.Serve(ctx, svc)
}

func (r Runner) service(ctx context.Context, logs *sync.WaitGroup, command string) (data.Service, error) {
	cmd, err := rpcname.ParseDom0(command)
	if err != nil {
		return data.Service{}, err
	}
	o, err := r.Open(ctx, cmd)
	if err != nil {
		return data.Service{}, err
	}
	if o.Socket != nil {
		return data.FromSocket(o.Socket, o.Config, cmd.Call.Text)
	}
	p := o.Process
	logs.Go(func() { r.LogStderr(ctx, p, cmd) })
	return data.Service{Stdin: p.Stdin, Stdout: p.Stdout, Done: p.Done(), Code: p.Code}, nil
}

// Open starts a service or connects to it. Its ends are the caller's.
func (r Runner) Open(ctx context.Context, cmd rpcname.Command) (o Opened, err error) {
	switch {
	case cmd.Call == nil && !r.Shell:
		return o, rpcname.ErrCommand
	case cmd.Call == nil:
		o.Process, err = proc.Start(proc.Program{Shell: cmd.Shell})
		return o, err
	}
	c := *cmd.Call
	if o.Config, err = r.Dirs.Config(c); err != nil {
		return o, err
	}
	if o.Config.WaitForSession {
		if err := r.await(ctx, c); err != nil {
			r.Log.Warn("waiting for the session", "reason", err)
		}
	}
	found, err := r.Dirs.Find(c)
	if err != nil {
		return o, err
	}
	if found.IsSocket() {
		o.Socket, err = found.Connect(ctx)
		return o, err
	}
	pr := proc.Program{Path: found.Exec}
	if pr.Env, err = c.Env(); err != nil {
		return o, err
	}
	if c.Arg != "" {
		pr.Args = []string{c.Arg}
	}
	if o.Config.ForceUser != "" {
		if pr.Account, err = accounts.Switch(o.Config.ForceUser); err != nil {
			return o, err
		}
	}
	o.Process, err = proc.Start(pr)
	return o, err
}

// LogStderr writes what a program says on stderr to the log until it ends or ctx does.
func (r Runner) LogStderr(ctx context.Context, p *proc.Process, cmd rpcname.Command) {
	name := "command"
	if cmd.Call != nil {
		name = safetext.Name(cmd.Call.Descriptor, maxLogLine)
	}
	defer context.AfterFunc(ctx, func() { p.Stderr.Close() })()
	logLines(p.Stderr, r.Log.With("service", name))
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
