package qvm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
	"qubist/core/safetext"
)

// each runs f for the selected qubes, several at a time, and fails when one failed. The
// messages begin with what and name the qube.
func (t *tool) each(ctx context.Context, what string, f func(context.Context, adminclient.ListedVM) error) error {
	vms, err := t.selected(ctx, t.has("all"))
	if err != nil {
		return err
	}
	errs := make([]error, len(vms))
	g := errgroup.Group{}
	g.SetLimit(parallel)
	for i, v := range vms {
		g.Go(func() error { errs[i] = f(ctx, v); return nil })
	}
	_ = g.Wait() // the functions give nil
	failed := 0
	for i, err := range errs {
		if err != nil {
			failed++
			fmt.Fprintf(t.Stderr, "Error: %s: %s: %s\n", what, vms[i].Name, safetext.Line(err.Error(), maxMessage))
		}
	}
	if failed > 0 {
		return exitStatus(min(failed, 100))
	}
	return nil
}

func start(ctx context.Context, t *tool) error {
	err := t.each(ctx, "Starting qube failed", func(ctx context.Context, v adminclient.ListedVM) error {
		if v.State != qube.Halted {
			if t.has("skip-if-running") || t.has("all") {
				return nil
			}
			return exitText("Domain is already running")
		}
		return t.c.Start(ctx, string(v.Name))
	})
	var s exitStatus
	if errors.As(err, &s) {
		return exitStatus(exitError)
	}
	return err
}

// exitText is an error in the original's words.
type exitText string

func (e exitText) Error() string { return string(e) }

// shutdown asks politely; with --wait what does not stop in time is asked once more and
// then killed, as in the original.
func shutdown(ctx context.Context, t *tool) error {
	if s := t.get("timeout"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return usageError("argument --timeout: invalid value: '" + s + "'")
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 3*time.Duration(n)*time.Second+time.Minute)
		defer cancel()
	}
	if t.has("dry-run") {
		_, err := t.selected(ctx, true)
		return err
	}
	force := t.has("force") || t.has("all") && !t.has("exclude")
	wait := t.has("wait") || t.has("timeout")
	return t.each(ctx, "Failed to shut down", func(ctx context.Context, v adminclient.ListedVM) error {
		n := string(v.Name)
		if t.has("all") && (v.State == qube.Halted || v.Class == qube.RemoteVM) {
			return nil
		}
		err := t.c.Shutdown(ctx, n, force, wait)
		for try := 0; isKind(err, adminapi.VMInUse) && try < 50 && wait; try++ { // its users stop meanwhile
			time.Sleep(200 * time.Millisecond)
			err = t.c.Shutdown(ctx, n, force, wait)
		}
		if isKind(err, adminapi.VMShutdownTimeout) {
			if err = t.c.Shutdown(ctx, n, force, wait); isKind(err, adminapi.VMShutdownTimeout) {
				err = t.c.Kill(ctx, n)
			}
		}
		if isKind(err, adminapi.VMNotStarted) {
			return nil
		}
		return err
	})
}

func kill(ctx context.Context, t *tool) error {
	return t.each(ctx, "Failed to kill", func(ctx context.Context, v adminclient.ListedVM) error {
		if err := t.c.Kill(ctx, string(v.Name)); !isKind(err, adminapi.VMNotStarted) {
			return err
		}
		return nil
	})
}

func pause(ctx context.Context, t *tool) error {
	return t.each(ctx, "Failed to pause", func(ctx context.Context, v adminclient.ListedVM) error {
		if t.has("suspend") {
			_, err := t.c.Call(ctx, "admin.vm.Suspend", string(v.Name), "", nil)
			return err
		}
		return t.c.Pause(ctx, string(v.Name))
	})
}

func unpause(ctx context.Context, t *tool) error {
	return t.each(ctx, "Failed to unpause", func(ctx context.Context, v adminclient.ListedVM) error {
		if v.State == qube.Suspended {
			_, err := t.c.Call(ctx, "admin.vm.Resume", string(v.Name), "", nil)
			return err
		}
		return t.c.Unpause(ctx, string(v.Name))
	})
}

// check answers with its status: 0 all match, 3 some, 1 none.
func check(ctx context.Context, t *tool) error {
	vms, err := t.selected(ctx, false)
	var usage usageError
	if errors.As(err, &usage) && len(t.args) == 1 {
		t.say(fmt.Sprintf("%s: %s: non-existent!", t.name, t.args[0]))
		return exitStatus(exitError)
	}
	if err != nil {
		return err
	}
	matching := 0
	for _, v := range vms {
		ok := (!t.has("running") || v.State == qube.Running) && (!t.has("paused") || v.State == qube.Paused) && (!t.has("template") || v.Class == qube.TemplateVM)
		if ok && t.has("networked") {
			p, err := t.c.Property(ctx, string(v.Name), "netvm")
			ok = err == nil && p.Value != ""
		}
		if ok {
			matching++
			t.say(fmt.Sprintf("%s: %s: %s", t.name, v.Name, t.checking()))
		}
	}
	switch matching {
	case len(vms):
		return nil
	case 0:
		t.say(fmt.Sprintf("%s: None of qubes: %s", t.name, t.checking()))
		return exitStatus(exitError)
	}
	return exitStatus(3)
}

func (t *tool) checking() string {
	for _, n := range []string{"running", "paused", "template", "networked"} {
		if t.has(n) {
			return n
		}
	}
	return "exists"
}
