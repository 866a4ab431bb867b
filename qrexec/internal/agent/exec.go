package agent

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"qubist/core/qube"
	"qubist/core/safetext"
	"qubist/core/vchan"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

const (
	// dataLimit bounds the wait for a data vchan's server and hello.
	dataLimit = 120 * time.Second
	// maxLog bounds a command in the log, in cells.
	maxLog = 200
)

// exec runs one command of dom0 from its data vchan's hello to its exit code.
func (a *Agent) exec(e wire.Exec, just bool) {
	log := a.cfg.Log.With("command", safetext.Line(e.Command, maxLog))
	ctx, cancel := context.WithTimeout(a.ctx, dataLimit)
	defer cancel()
	conn, err := a.cfg.Driver.Dial(ctx, qube.DomID(e.Domain), vchan.Port(e.Port))
	if err != nil {
		log.Warn("connecting to the caller", "reason", err)
		return
	}
	link, err := data.Open(ctx, conn)
	if err != nil {
		log.Warn("connecting to the caller", "reason", err)
		return
	}
	j, note, err := a.prepare(e.Command)
	if err == nil {
		err = j.awaitSession(a)
	}
	if err == nil && just {
		if err = j.just(a); err == nil {
			link.Fail(0, true, "")
			return
		}
	}
	if err == nil {
		var svc data.Service
		var done func()
		if svc, done, err = j.start(a); err == nil {
			defer done()
			if err := link.Serve(a.ctx, svc); err != nil {
				log.Info("call ended early", "reason", err)
			}
			return
		}
	}
	log.Warn("command not run", "reason", err)
	link.Fail(proc.ExitCode(err), just, note)
}

// job is a command ready to run.
type job struct {
	cmd   rpcname.Command
	conf  rpcname.Config
	found proc.Found   // the service, unless cmd is a shell command
	prog  proc.Program // unless the service is a socket
	user  string
}

// prepare finds out what a command means. note is for the caller's stderr.
func (a *Agent) prepare(command string) (j job, note string, err error) {
	if j.cmd, err = rpcname.ParseVM(command); err != nil {
		return j, "", err
	}
	j.user = j.cmd.User
	env := []string{agentPID()}
	if c := j.cmd.Call; c != nil {
		if j.conf, err = a.cfg.Dirs.Config(*c); err != nil {
			return j, "", err
		}
		if j.found, err = a.cfg.Dirs.Find(*c); err != nil {
			return j, "", err
		}
		if j.conf.ForceUser != "" {
			j.user = j.conf.ForceUser
		}
		if j.found.IsSocket() {
			return j, "", nil
		}
		callEnv, err := c.Env()
		if err != nil {
			return j, fmt.Sprintf("qrexec-agent: %v\n", err), err
		}
		j.prog.Path = j.found.Exec
		if c.Arg != "" {
			j.prog.Args = []string{c.Arg}
		}
		env = append(env, callEnv...)
	} else {
		j.prog.Shell = j.cmd.Shell
	}
	j.prog.Env = env
	j.prog.Account, err = a.cfg.Accounts.Switch(j.user)
	return j, "", err
}

// agentPID tells a service whom to signal.
func agentPID() string { return "QREXEC_AGENT_PID=" + strconv.Itoa(os.Getpid()) }

// just starts a job nobody listens to.
func (j job) just(a *Agent) error {
	if j.cmd.Call != nil && j.found.IsSocket() {
		svc, _, err := j.start(a)
		if err == nil {
			svc.Stdout.Close() // the whole connection
		}
		return err
	}
	j.prog.Null = true
	_, err := proc.Start(j.prog)
	return err
}

// start runs a job or connects to it. done is to be called when its call is over.
func (j job) start(a *Agent) (svc data.Service, done func(), err error) {
	if j.cmd.Call != nil && j.found.IsSocket() {
		conn, err := j.found.Connect(a.ctx)
		if err != nil {
			return svc, nil, err
		}
		svc, err = data.FromSocket(conn, j.conf, j.cmd.Call.Text)
		return svc, func() {}, err
	}
	a.startMu.Lock()
	defer a.startMu.Unlock()
	p, err := proc.Start(j.prog)
	if err != nil {
		return svc, nil, err
	}
	io := proc.NewStdio(p.Stdin, p.Stdout)
	a.services[io] = struct{}{}
	done = func() {
		a.startMu.Lock()
		defer a.startMu.Unlock()
		delete(a.services, io)
	}
	return data.Service{Stdin: io.Input(), Stdout: io, Stderr: p.Stderr, Done: p.Done(), Code: p.Code}, done, nil
}

// sessionWait is one run of proc.WaitService that requests share.
type sessionWait struct{ done chan struct{} }

// awaitSession waits for the user's session if the service wants one. It never fails a
// request: a service that cannot be waited for is run all the same.
func (j job) awaitSession(a *Agent) error {
	if !j.conf.WaitForSession || j.cmd.NoGUI {
		return nil
	}
	a.mu.Lock()
	w := a.waiting[j.user]
	if w == nil {
		w = &sessionWait{make(chan struct{})}
		a.waiting[j.user] = w
		a.wg.Go(func() {
			defer func() {
				a.mu.Lock()
				delete(a.waiting, j.user)
				a.mu.Unlock()
				close(w.done)
			}()
			env := []string{agentPID()}
			if err := a.cfg.Dirs.AwaitSession(a.ctx, a.cfg.Accounts, j.user, j.cmd.Call.Source, env); err != nil {
				a.cfg.Log.Warn("waiting for the session", "reason", err)
			}
		})
	}
	a.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}
