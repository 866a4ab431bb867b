package policyd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"qubist/core/prompt/wire"
	"qubist/core/safetext"
	"qubist/qrexec/internal/policywire"
	"qubist/qrexec/policy"
)

const (
	denyLine  = "result=deny"
	allowLine = "result=allow"
)

// outcome collects what the one log line of a call says.
type outcome struct {
	verdict policy.Verdict
	answer  string // lines for the caller
	note    string // why, when the verdict alone does not say it
	err     error
}

// decide answers one request. Whatever goes wrong denies.
func (d *Daemon) decide(ctx context.Context, r policywire.Request) string {
	service, argument := policy.SplitService(r.ServiceAndArg)
	o := d.evaluate(ctx, r, policy.Request{
		Service: service, Argument: argument, Source: r.Source, Target: r.IntendedTarget, RequestedSource: r.RequestedSource,
	})
	d.report(r, o)
	if o.answer == "" {
		return denyLine
	}
	return o.answer
}

func (d *Daemon) evaluate(ctx context.Context, r policywire.Request, pr policy.Request) outcome {
	p, err := d.rules.get()
	if err != nil {
		return outcome{note: "no valid policy", err: err}
	}
	sys, err := d.system.get(ctx)
	if err != nil {
		return outcome{note: "no system information", err: err}
	}
	v := p.Evaluate(sys, pr)
	switch v.Reason {
	case policy.ReasonSourceUnknown, policy.ReasonSourceNotRemote, policy.ReasonNotRelay:
		// It may not speak for that qube: nobody is told that the qube called.
		pr.RequestedSource, v.Request.RequestedSource = "", ""
	}
	guivm := ""
	if src := sys.Named(notifySource(pr)); src != nil {
		guivm = src.GUIVM
	}
	if r.JustEvaluate {
		return justEvaluate(v, r.AssumeYes)
	}
	if v.Action == policy.Ask {
		if r.AssumeYes {
			v = v.ChooseRequested()
		} else if guivm == "" {
			return outcome{verdict: v, note: "the source has no GuiVM to ask"}
		} else {
			return d.finish(ctx, guivm, d.resolve(ctx, sys, guivm, v))
		}
	}
	return d.finish(ctx, guivm, outcome{verdict: v})
}

// notifySource is the qube whose user is asked and told.
func notifySource(r policy.Request) string {
	if r.RequestedSource != "" {
		return r.RequestedSource
	}
	return r.Source
}

// justEvaluate answers without asking, telling or executing.
func justEvaluate(v policy.Verdict, assumeYes bool) outcome {
	if v.Action == policy.Ask && assumeYes {
		v = v.ChooseRequested()
	}
	if v.Action != policy.Allow {
		return outcome{verdict: v, note: "only evaluated"}
	}
	return outcome{verdict: v, answer: allowLine, note: "only evaluated"}
}

// resolve asks the user and turns the verdict into an allowing or denying one.
func (d *Daemon) resolve(ctx context.Context, sys *policy.System, guivm string, v policy.Verdict) outcome {
	answer, err := d.ask(ctx, sys, guivm, &v)
	switch {
	case errors.Is(err, wire.ErrMalformed) || err == nil && answer.Allow && !slices.Contains(v.Targets, answer.Target):
		return outcome{verdict: v.Choose(""), note: "the answer was invalid", err: err} // "" is never offered
	case err != nil:
		return outcome{verdict: v, note: "the question failed", err: err}
	case answer.Allow:
		return outcome{verdict: v.Choose(answer.Target), note: "the user allowed it"}
	}
	notify := v.Notify
	v = v.Choose("")
	v.Notify = notify
	return outcome{verdict: v, note: "the user denied it"}
}

// finish notifies and computes the caller's answer of an allowing or denying verdict.
func (d *Daemon) finish(ctx context.Context, guivm string, o outcome) outcome {
	v := &o.verdict
	if v.Action == policy.Allow {
		if v.Notify {
			d.notify(ctx, guivm, v.Request, wire.Allowed, v.Target)
		}
		response, reason := v.Respond()
		if reason == "" {
			o.answer = strings.Join(response.Lines(), "\n")
			return o
		}
		o.note = reason.Text()
		v.Action, v.Reason, v.Notify = policy.Deny, reason, true
	}
	tokenError := v.Reason == policy.ReasonTokenInvalid || v.Reason == policy.ReasonTokenEmpty
	if v.Action == policy.Deny && v.Notify && !tokenError {
		d.notify(ctx, guivm, v.Request, wire.Denied, v.Request.Target)
	}
	return o
}

// show makes a name of foreign origin fit for the log.
func show(s string) string { return safetext.Name(s, 128) }

// report writes the one line about a call.
func (d *Daemon) report(r policywire.Request, o outcome) {
	ok, omitted := d.lines.take(r.Source, d.cfg.Now())
	if !ok {
		return
	}
	e := o.verdict.Explain()
	args := []any{"service", show(r.ServiceAndArg), "source", show(r.Source), "target", show(r.IntendedTarget)}
	if r.RequestedSource != "" {
		args = append(args, "for", show(r.RequestedSource))
	}
	if o.verdict.Target != "" && o.verdict.Target != r.IntendedTarget {
		args = append(args, "redirected", show(o.verdict.Target))
	}
	if e.Where != "" {
		args = append(args, "rule", "/"+e.Where)
	}
	why := o.note
	if why == "" && o.verdict.Action == policy.Deny {
		why = e.Why
	}
	if why != "" {
		args = append(args, "why", why)
	}
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	if o.err != nil {
		args = append(args, "error", safetext.Line(o.err.Error(), 400))
	}
	switch {
	case o.answer != "":
		d.cfg.Log.Info("allowed", args...)
	case o.err != nil:
		d.cfg.Log.Error("denied", args...)
	default:
		d.cfg.Log.Info("denied", args...)
	}
}
