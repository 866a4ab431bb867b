// Package action is what the console can do: each action with its key, its command line, the
// reason why it is not possible right now, and how it is carried out through a Backend. It
// draws nothing and keeps nothing; a Job is a decision ready to be run elsewhere.
package action

import (
	"context"
	"fmt"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/core/qube"
	"qubist/ui/internal/state"
)

// Backend is what actions need of the system. Methods return when the matter is settled or
// ctx ends; any number may run at a time.
type Backend interface {
	Start(ctx context.Context, vm string) error
	Shutdown(ctx context.Context, vm string, force, wait bool) error
	Kill(ctx context.Context, vm string) error
	Pause(ctx context.Context, vm string) error
	Unpause(ctx context.Context, vm string) error
	Remove(ctx context.Context, vm string) error
	Create(ctx context.Context, class qube.Class, name qube.Name, label, template string) error
	// Property, SetProperty and ResetProperty are of the system when vm is "".
	Property(ctx context.Context, vm, name string) (adminapi.Property, error)
	SetProperty(ctx context.Context, vm, name, value string) error
	ResetProperty(ctx context.Context, vm, name string) error
	// Run starts a command in a running qube as its default user and does not wait for it.
	Run(ctx context.Context, vm, command string) error
	// Disposable runs a command in a fresh disposable of template, which lives exactly as
	// long as the command, also when the console ends first.
	Disposable(ctx context.Context, template, command string) error
	// Screenshot writes the desktop's picture to a new PNG file.
	Screenshot(ctx context.Context, file string) error
}

// Env is what decides whether an action is possible.
type Env struct {
	System   state.System
	ReadOnly bool
	Root     string // --root as given, for command lines
	Busy     func(name string) (state.Task, bool)
}

// Job is an action fully decided.
type Job struct {
	Doing   string // "starting work"
	Done    string // "started work"
	Failed  string // "work did not start"
	Qube    string // whose row shows Phase while it runs
	Phase   string // "starting"
	Command string // the command line of the same effect
	Call    string // the Admin API call made
	Timeout time.Duration
	Run     func(ctx context.Context, b Backend) error

	// Edit is what a reversible job changed, complete after Run; nil for others, and when the
	// old value could not be learnt.
	Edit   func() *state.Edit
	Change int64      // of the ledger that Edit belongs to
	Way    Way        // of Undo and Redo:
	Origin state.Edit // the ledger's edit that is taken back or made again
}

// Way says how a job relates to the ledger.
type Way int

// The ways.
const (
	Fresh Way = iota // a new change
	Undo
	Redo
)

// Action is one thing to do with a qube.
type Action struct {
	ID     string // its word in the palette
	Key    string
	Title  string // "start", for the key line
	Help   string // a short sentence for the help
	Danger string // what is lost, asked about first; "" needs no question
	// Why says in a sentence why q cannot have it now; "" means it can.
	Why func(e Env, q state.Qube) string
	Job func(e Env, q state.Qube) Job
}

const (
	quick = 20 * time.Second
	slow  = 5 * time.Minute // a qube may take its qrexec_timeout, and software emulation is slow
)

// Actions are all actions on one qube, in the order of the help.
var Actions = []Action{start, shutdown, restart, kill, pause, unpause, terminal, disposableTerminal, remove}

// Find is the action with this palette word.
func Find(id string) (Action, bool) {
	for _, a := range Actions {
		if a.ID == id {
			return a, true
		}
	}
	return Action{}, false
}

var start = Action{
	ID: "start", Key: "s", Title: "start", Help: "start the qube",
	Why: needs(func(q state.Qube) string {
		switch {
		case q.Phase == state.Paused:
			return q.Name + " is paused; P lets it run on."
		case q.Phase.Active():
			return fmt.Sprintf("%s is %s already.", q.Name, q.Phase)
		}
		return ""
	}),
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "starting", "started", "did not start", "qvm-start", "admin.vm.Start", slow)
		j.Run = func(ctx context.Context, b Backend) error { return b.Start(ctx, q.Name) }
		return j
	},
}

var shutdown = Action{
	ID: "shutdown", Key: "S", Title: "shut down", Help: "ask the qube to shut down and wait for it",
	Why: needs(mustBeUp),
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "shutting down", "shut down", "did not shut down", "qvm-shutdown --wait", "admin.vm.Shutdown+wait", slow)
		j.Phase = "halting"
		j.Run = func(ctx context.Context, b Backend) error { return b.Shutdown(ctx, q.Name, false, true) }
		return j
	},
}

var restart = Action{
	ID: "restart", Key: "R", Title: "restart", Help: "shut the qube down and start it again",
	Why: needs(mustBeUp),
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "restarting", "restarted", "did not restart", "qvm-shutdown --wait", "admin.vm.Shutdown+wait, admin.vm.Start", 2*slow)
		j.Command += " && " + e.line("qvm-start", q.Name)
		j.Run = func(ctx context.Context, b Backend) error {
			if err := b.Shutdown(ctx, q.Name, false, true); err != nil {
				return err
			}
			return b.Start(ctx, q.Name)
		}
		return j
	},
}

var kill = Action{
	ID: "kill", Key: "K", Title: "kill", Help: "end the qube at once, without asking it",
	Danger: "Unsaved work is lost.",
	Why: func(e Env, q state.Qube) string {
		if why := e.forbids(q); why != "" {
			return why
		}
		if !q.Phase.Active() {
			return fmt.Sprintf("%s is %s; there is nothing to kill.", q.Name, q.Phase)
		}
		return ""
	},
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "killing", "killed", "was not killed", "qvm-kill", "admin.vm.Kill", quick)
		j.Run = func(ctx context.Context, b Backend) error { return b.Kill(ctx, q.Name) }
		return j
	},
}

var pause = Action{
	ID: "pause", Key: "p", Title: "pause", Help: "stop the qube's processors",
	Why: needs(func(q state.Qube) string {
		if q.Phase != state.Running {
			return fmt.Sprintf("%s is %s; only a running qube can be paused.", q.Name, q.Phase)
		}
		return ""
	}),
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "pausing", "paused", "was not paused", "qvm-pause", "admin.vm.Pause", quick)
		j.Run = func(ctx context.Context, b Backend) error { return b.Pause(ctx, q.Name) }
		return j
	},
}

var unpause = Action{
	ID: "unpause", Key: "P", Title: "unpause", Help: "let a paused qube run on",
	Why: needs(func(q state.Qube) string {
		if q.Phase != state.Paused {
			return fmt.Sprintf("%s is not paused; it is %s.", q.Name, q.Phase)
		}
		return ""
	}),
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "unpausing", "unpaused", "was not unpaused", "qvm-unpause", "admin.vm.Unpause", quick)
		j.Run = func(ctx context.Context, b Backend) error { return b.Unpause(ctx, q.Name) }
		return j
	},
}

var remove = Action{
	ID: "remove", Key: "d", Title: "remove", Help: "delete the qube and its volumes",
	Danger: "Private volumes and settings are deleted; this cannot be undone.",
	Why: func(e Env, q state.Qube) string {
		if why := e.forbids(q); why != "" {
			return why
		}
		if q.Phase.Active() {
			return fmt.Sprintf("%s is %s; shut it down first (S).", q.Name, q.Phase)
		}
		if based := e.System.BasedOn(q.Name); len(based) > 0 {
			return fmt.Sprintf("%s is the template of %s.", q.Name, Names(based, 3))
		}
		if clients := e.System.Clients(q.Name); len(clients) > 0 {
			return fmt.Sprintf("%s is the network of %s.", q.Name, Names(clients, 3))
		}
		return e.busy(q)
	},
	Job: func(e Env, q state.Qube) Job {
		j := e.job(q, "removing", "removed", "was not removed", "qvm-remove --force", "admin.vm.Remove", quick)
		j.Run = func(ctx context.Context, b Backend) error { return b.Remove(ctx, q.Name) }
		return j
	},
}

// needs makes a Why of the general conditions, then specific, then whether the qube is busy.
func needs(specific func(state.Qube) string) func(Env, state.Qube) string {
	return func(e Env, q state.Qube) string {
		if why := e.forbids(q); why != "" {
			return why
		}
		if why := specific(q); why != "" {
			return why
		}
		return e.busy(q)
	}
}

func mustBeUp(q state.Qube) string {
	switch {
	case q.Phase == state.Paused:
		return q.Name + " is paused and cannot hear the request; unpause it first (P), or kill it (K)."
	case !q.Phase.Active():
		return fmt.Sprintf("%s is %s already.", q.Name, q.Phase)
	}
	return ""
}

// Changes says why nothing at all can be changed now, "" when it can.
func (e Env) Changes() string {
	switch {
	case e.ReadOnly:
		return "This console was started with --read-only."
	case !e.System.Connected:
		return "There is no connection to qubesd, so nothing can be changed now."
	}
	return ""
}

func (e Env) forbids(q state.Qube) string {
	if why := e.Changes(); why != "" {
		return why
	}
	switch q.Class {
	case "AdminVM":
		return "dom0 is the administration itself; it is not started, stopped or removed from here."
	case "RemoteVM":
		return q.Name + " lives on another machine."
	}
	return ""
}

func (e Env) busy(q state.Qube) string {
	if e.Busy == nil {
		return ""
	}
	if t, ok := e.Busy(q.Name); ok {
		return fmt.Sprintf("%s is busy: %s.", q.Name, t.Doing)
	}
	return ""
}

// job fills what the plain actions have in common.
func (e Env) job(q state.Qube, doing, done, failed, command, call string, timeout time.Duration) Job {
	return Job{
		Doing: doing + " " + q.Name, Done: done + " " + q.Name, Failed: q.Name + " " + failed,
		Qube: q.Name, Phase: doing, Timeout: timeout,
		Command: e.line(command, q.Name), Call: call + " " + q.Name,
	}
}

// Names lists at most n names and says how many more there are.
func Names(names []string, n int) string {
	if len(names) <= n {
		if k := len(names); k > 1 {
			return strings.Join(names[:k-1], ", ") + " and " + names[k-1]
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}
