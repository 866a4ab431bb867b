package qvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/qube"
	"qubist/core/safetext"
)

var (
	shutdownOptions = []option{sw("wait", "wait until they are off"), val("timeout", "SECONDS", "give up waiting after this; means --wait (out of date)"), sw("force", "also when other qubes need it"), sw("dry-run", "do nothing")}
	checkOptions    = []option{sw("running", "is it running?"), sw("paused", "is it paused?"), sw("template", "is it a template?"), sw("networked", "has it a network qube?")}
)

// try runs f for qubes, several at a time, and gives their errors in order.
func try(ctx context.Context, vms []adminclient.ListedVM, f func(context.Context, adminclient.ListedVM) error) []error {
	errs := make([]error, len(vms))
	g := errgroup.Group{}
	g.SetLimit(parallel)
	for i, v := range vms {
		g.Go(func() error { errs[i] = f(ctx, v); return nil })
	}
	_ = g.Wait() // the functions give nil
	return errs
}

// each runs f for the selected qubes and fails when one failed.
func (t *tool) each(ctx context.Context, f func(context.Context, adminclient.ListedVM) error) error {
	vms, err := t.selected(ctx, t.has("all"))
	if err != nil {
		return err
	}
	failed := false
	for _, err := range try(ctx, vms, f) {
		if err != nil {
			failed = true
			t.complain(err)
		}
	}
	if failed {
		return exitStatus(exitError)
	}
	return nil
}

// active reports whether a qube occupies a hypervisor domain.
func active(v adminclient.ListedVM) bool { return v.State != qube.Halted && v.State != "NA" }

func shutdown(ctx context.Context, t *tool) error {
	vms, err := t.selected(ctx, t.has("all"))
	if err != nil {
		return err
	}
	wait := t.has("wait") || t.has("timeout")
	force := t.has("force") || t.has("all") && !t.has("exclude")
	if s := t.get("timeout"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return usageError("argument --timeout: invalid int value: '" + s + "'")
		}
		// The server waits as long as the qube's own setting says; this is only the end.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 3*time.Duration(n)*time.Second+time.Minute)
		defer cancel()
	}
	if t.has("dry-run") {
		return nil
	}
	if t.has("all") {
		running := vms[:0]
		for _, v := range vms {
			if active(v) && v.Class != qube.RemoteVM {
				running = append(running, v)
			}
		}
		vms = running
	}
	failed := t.stop(ctx, vms, force, wait)
	for _, f := range failed {
		fmt.Fprintf(t.Stderr, "Error: Failed to shut down: %s: %s\n", f.vm.Name, safetext.Line(f.err.Error(), maxMessage))
	}
	if len(failed) > 0 {
		return exitStatus(min(len(failed), 100))
	}
	return nil
}

type failure struct {
	vm  adminclient.ListedVM
	err error
}

// stop shuts qubes down. Those that others need are asked again while that helps, at most
// as often as there were such; those that did not stop in time are asked once more and then
// killed.
func (t *tool) stop(ctx context.Context, vms []adminclient.ListedVM, force, wait bool) []failure {
	ask := func(vms []adminclient.ListedVM) (used, late, bad []failure) {
		for i, err := range try(ctx, vms, func(ctx context.Context, v adminclient.ListedVM) error {
			return t.c.Shutdown(ctx, string(v.Name), force, wait)
		}) {
			f := failure{vms[i], err}
			switch {
			case err == nil || isKind(err, adminapi.VMNotStarted):
			case isKind(err, adminapi.VMInUse):
				used = append(used, f)
			case isKind(err, adminapi.VMShutdownTimeout):
				late = append(late, f)
			default:
				bad = append(bad, f)
			}
		}
		return used, late, bad
	}
	names := func(fs []failure) (vms []adminclient.ListedVM) {
		for _, f := range fs {
			vms = append(vms, f.vm)
		}
		return vms
	}
	used, late, bad := ask(vms)
	for tries := len(used); tries > 0 && len(used) > 0; tries-- {
		again, l, b := ask(names(used))
		late, bad = append(late, l...), append(bad, b...)
		better := len(again) < len(used)
		if used = again; !better {
			break
		}
	}
	if len(late) > 0 {
		u, l, b := ask(names(late))
		used, bad = append(used, u...), append(bad, b...)
		for i, err := range try(ctx, names(l), func(ctx context.Context, v adminclient.ListedVM) error { return t.kill(ctx, v) }) {
			if err != nil {
				bad = append(bad, failure{l[i].vm, err})
			}
		}
	}
	return append(used, bad...)
}

func kill(ctx context.Context, t *tool) error { return t.each(ctx, t.kill) }

// kill ends a qube; one that does not run is no error.
func (t *tool) kill(ctx context.Context, v adminclient.ListedVM) error {
	if err := t.c.Kill(ctx, string(v.Name)); !isKind(err, adminapi.VMNotStarted) {
		return err
	}
	return nil
}

func pause(ctx context.Context, t *tool) error {
	return t.each(ctx, func(ctx context.Context, v adminclient.ListedVM) error {
		if t.has("suspend") {
			return t.call(ctx, "admin.vm.Suspend", string(v.Name), "", "")
		}
		return t.c.Pause(ctx, string(v.Name))
	})
}

func unpause(ctx context.Context, t *tool) error {
	return t.each(ctx, func(ctx context.Context, v adminclient.ListedVM) error {
		if v.State == qube.Suspended {
			return t.call(ctx, "admin.vm.Resume", string(v.Name), "", "")
		}
		return t.c.Unpause(ctx, string(v.Name))
	})
}

// check answers with its status: 0 all match, 3 some, 1 none.
func check(ctx context.Context, t *tool) error {
	vms, err := t.selected(ctx, false)
	var usage usageError
	if errors.As(err, &usage) && len(t.args) > 0 && !t.has("all") {
		name := strings.TrimSuffix(strings.TrimPrefix(string(usage), "no such domain: '"), "'")
		t.say(fmt.Sprintf("%s: %s: non-existent!", t.name, name))
		return exitStatus(exitError)
	}
	if err != nil {
		return err
	}
	var matching []string
	for _, v := range vms {
		ok := (!t.has("running") || active(v) && v.State != qube.Paused && v.State != qube.Suspended) && (!t.has("paused") || v.State == qube.Paused) && (!t.has("template") || v.Class == qube.TemplateVM)
		if ok && t.has("networked") {
			p, err := t.c.Property(ctx, string(v.Name), "netvm")
			if err != nil && !isKind(err, adminapi.NoSuchProperty) {
				return err
			}
			ok = p.Value != ""
		}
		if ok {
			matching = append(matching, string(v.Name))
		}
	}
	what := "exists"
	for _, o := range checkOptions {
		if t.has(o.names[0]) {
			what = o.names[0]
		}
	}
	if t.has("quiet") {
		t.Stdout = io.Discard
	}
	if err := t.show(matching, func() {
		for _, n := range matching {
			t.say(fmt.Sprintf("%s: %s: %s", t.name, n, what))
		}
		if len(matching) == 0 {
			t.say(fmt.Sprintf("%s: None of qubes: %s", t.name, what))
		}
	}); err != nil {
		return err
	}
	switch len(matching) {
	case len(vms):
		return nil
	case 0:
		return exitStatus(exitError)
	}
	return exitStatus(3)
}
