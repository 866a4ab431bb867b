package action_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"qubist/core/adminapi"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
)

func env(qs ...state.Qube) action.Env {
	return action.Env{System: state.System{Connected: true, Qubes: qs}}
}

func TestWhy(t *testing.T) {
	app := func(name string, p state.Phase) state.Qube {
		return state.Qube{Name: name, Class: "AppVM", Phase: p, Template: "debian-12", NetVM: "sys-net"}
	}
	dom0 := state.Qube{Name: "dom0", Class: "AdminVM", Phase: state.Running}
	template := state.Qube{Name: "debian-12", Class: "TemplateVM", Phase: state.Halted}
	net := state.Qube{Name: "sys-net", Class: "AppVM", Phase: state.Halted}
	e := env(dom0, template, net, app("work", state.Running))
	for _, c := range []struct {
		id   string
		q    state.Qube
		want string // "" means it can
	}{
		{"start", app("vault", state.Halted), ""},
		{"start", app("work", state.Running), "work is running already."},
		{"start", app("work", state.Paused), "work is paused; P lets it run on."},
		{"start", dom0, "dom0 is the administration itself"},
		{"shutdown", app("work", state.Running), ""},
		{"shutdown", app("work", state.Starting), ""},
		{"shutdown", app("work", state.Paused), "unpause it first (P), or kill it (K)"},
		{"shutdown", app("vault", state.Halted), "vault is halted already."},
		{"restart", app("vault", state.Halted), "vault is halted already."},
		{"kill", app("work", state.Paused), ""},
		{"kill", app("vault", state.Halted), "there is nothing to kill"},
		{"kill", dom0, "dom0 is the administration itself"},
		{"pause", app("work", state.Running), ""},
		{"pause", app("work", state.Starting), "only a running qube can be paused"},
		{"unpause", app("work", state.Running), "work is not paused; it is running."},
		{"unpause", app("work", state.Paused), ""},
		{"remove", app("vault", state.Halted), ""},
		{"remove", app("work", state.Running), "shut it down first (S)"},
		{"remove", template, "debian-12 is the template of work."},
		{"remove", net, "sys-net is the network of work."},
		{"terminal", app("vault", state.Halted), ""},
		{"terminal", app("work", state.Paused), "unpause it first (P)"},
		{"disposable-terminal", app("work", state.Running), "There is no disposable template"},
	} {
		a, ok := action.Find(c.id)
		if !ok {
			t.Fatalf("no action %s", c.id)
		}
		got := a.Why(e, c.q)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %s (%s): %q, want %q", c.id, c.q.Name, c.q.Phase, got, c.want)
		}
	}
}

func TestNothingIsChangedBlindly(t *testing.T) {
	q := state.Qube{Name: "work", Class: "AppVM", Phase: state.Running}
	busy := env(q)
	busy.Busy = func(string) (state.Task, bool) { return state.Task{Doing: "restarting work"}, true }
	for name, c := range map[string]struct {
		e    action.Env
		want string
	}{
		"read only": {action.Env{System: state.System{Connected: true}, ReadOnly: true}, "--read-only"},
		"lost":      {action.Env{}, "no connection"},
		"busy":      {busy, "work is busy: restarting work."},
	} {
		for _, a := range action.Actions {
			why := a.Why(c.e, q)
			if why == "" && !(name == "busy" && a.ID == "kill") {
				t.Errorf("%s: %s is possible", name, a.ID)
			}
			if a.ID == "shutdown" && !strings.Contains(why, c.want) {
				t.Errorf("%s: %q", name, why)
			}
		}
	}
}

func TestDisposableTemplate(t *testing.T) {
	own := state.Qube{Name: "default-dvm", Class: "AppVM", Properties: []state.Property{{Name: "template_for_dispvms", Value: "True"}}}
	work := state.Qube{Name: "work", Class: "AppVM", Properties: []state.Property{{Name: "default_dispvm", Value: "work-dvm"}}}
	e := env(own, work)
	e.System.Globals = []state.Property{{Name: "default_dispvm", Value: "global-dvm"}}
	for _, c := range []struct {
		q    state.Qube
		want string
	}{{own, "default-dvm"}, {work, "work-dvm"}, {state.Qube{Name: "x", Class: "AppVM"}, "global-dvm"}, {state.Qube{Name: "disp1", Class: "DispVM", Template: "t"}, "t"}} {
		if got, why := action.DisposableTemplate(e, c.q); got != c.want || why != "" {
			t.Errorf("%s: %q %q", c.q.Name, got, why)
		}
	}
}

func TestCommandLines(t *testing.T) {
	q := state.Qube{Name: "work", Class: "AppVM", Phase: state.Running}
	e := env(q)
	for id, want := range map[string]string{
		"start": "qvm-start work", "shutdown": "qvm-shutdown --wait work", "kill": "qvm-kill work", "remove": "qvm-remove --force work",
		"restart": "qvm-shutdown --wait work && qvm-start work", "terminal": "qvm-run work xterm",
	} {
		a, _ := action.Find(id)
		if got := a.Job(e, q).Command; got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if got, want := action.RunJob(e, q, "echo it's").Command, `qvm-run work 'echo it'\''s'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err            error
		evidence, next string
	}{
		{fmt.Errorf("calling x: %w", adminapi.Errorf(adminapi.MemoryError, "Not enough memory")), "Not enough memory.", "Shut down"},
		{adminapi.Errorf(adminapi.Exception, "a\x1b]0;x\x07\u202eb"), "a_]0;x__b.", ""},
		{context.DeadlineExceeded, "No answer came in time.", "true state"},
		{adminapi.ErrRefused, "without giving a reason", "policy"},
		{fmt.Errorf("connecting: %w", syscall.ECONNREFUSED), "connecting: connection refused.", "not running"},
		{errors.New(""), "No reason was given.", ""},
	} {
		evidence, next := action.Explain(c.err)
		if !strings.Contains(evidence, c.evidence) || !strings.Contains(next, c.next) || c.next == "" && next != "" {
			t.Errorf("%v: %q %q", c.err, evidence, next)
		}
	}
}
