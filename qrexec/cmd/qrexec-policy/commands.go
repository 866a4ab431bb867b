package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"qubist/core/safetext"
	"qubist/qrexec/policy"
)

// show makes a word of foreign origin fit for the terminal.
func show(s string) string { return safetext.Name(s, 200) }

func where(r *policy.Rule) string {
	if r == nil {
		return "no rule"
	}
	return "/" + r.Where()
}

func (t *tool) explain(ctx context.Context, args []string) (int, error) {
	args, err := flags("explain", args, 3, nil)
	if err != nil {
		return exitUsage, err
	}
	sys, err := t.system(ctx)
	if err != nil {
		return exitUsage, err
	}
	p, err := t.load(t.dir)
	if err != nil {
		fmt.Fprintf(t.out, "deny   every call, because the policy cannot be loaded\n%s\n", safetext.Line(err.Error(), 0))
		return exitNo, nil
	}
	service, argument := policy.SplitService(args[2])
	e := p.Explain(sys, policy.Request{Service: service, Argument: argument, Source: args[0], Target: args[1]})
	v := &e.Verdict
	action, why := v.Action, v.Explain().Why
	if e.Refused != "" {
		action, why = policy.Deny, "the rule allows it, but "+e.Refused.Text()
	}
	fmt.Fprintf(t.out, "%-6s %s\n", action, why)
	if v.Rule != nil {
		fmt.Fprintf(t.out, "rule   %s: %s\n", where(v.Rule), show(v.Rule.String()))
	}
	switch v.Action {
	case policy.Allow:
		fmt.Fprintf(t.out, "target %s\n", show(v.Target))
	case policy.Ask:
		fmt.Fprintf(t.out, "offers %s\n", show(strings.Join(v.Targets, " ")))
		if v.DefaultTarget != "" {
			fmt.Fprintf(t.out, "chosen %s\n", show(v.DefaultTarget))
		}
	}
	for i, n := range e.Near {
		if i == 0 {
			fmt.Fprintln(t.out, "almost matched:")
		}
		fmt.Fprintf(t.out, "  %s: %s\n    %s\n", where(n.Rule), show(n.Rule.String()), show(n.Why))
	}
	if action == policy.Deny {
		return exitNo, nil
	}
	return 0, nil
}

func (t *tool) lint(ctx context.Context, args []string) (int, error) {
	if _, err := flags("lint", args, 0, nil); err != nil {
		return exitUsage, err
	}
	p, err := t.load(t.dir)
	if err != nil {
		fmt.Fprintf(t.out, "error: %s\n", safetext.Line(err.Error(), 0))
		return exitNo, nil
	}
	sys, err := t.system(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-policy: names are not looked up: %v\n", err)
	}
	status := 0
	for _, f := range policy.Lint(p, sys) {
		fmt.Fprintf(t.out, "%s: %s: %s\n", where(f.Rule), f.Level, show(f.Text))
		if f.Level != policy.Hint {
			status = exitNo
		}
	}
	return status, nil
}

func (t *tool) graph(ctx context.Context, args []string) (int, error) {
	var filter policy.Filter
	dot := false
	_, err := flags("graph", args, 0, func(f *flag.FlagSet) {
		f.StringVar(&filter.Source, "source", "", "")
		f.StringVar(&filter.Target, "target", "", "")
		f.StringVar(&filter.Service, "service", "", "")
		f.BoolVar(&dot, "dot", false, "")
	})
	if err != nil {
		return exitUsage, err
	}
	p, err := t.load(t.dir)
	if err != nil {
		return exitUsage, err
	}
	sys, err := t.system(ctx)
	if err != nil {
		return exitUsage, err
	}
	edges, complete := policy.Graph(p, sys, filter)
	if dot {
		fmt.Fprintln(t.out, "digraph policy {")
	}
	for _, e := range edges {
		call := e.Service
		if e.Argument != "*" {
			call += e.Argument
		}
		if dot {
			style := "solid"
			if e.Action == policy.Ask {
				style = "dashed"
			}
			fmt.Fprintf(t.out, "  %q -> %q [label=%q, style=%s];\n", show(e.Source), show(e.Target), show(call), style)
			continue
		}
		fmt.Fprintf(t.out, "%s -> %s  %s  %s  %s\n", show(e.Source), show(e.Target), show(call), e.Action, where(e.Rule))
	}
	if dot {
		fmt.Fprintln(t.out, "}")
	}
	if !complete {
		return exitUsage, fmt.Errorf("more than %d connections, not all are shown; use --source, --target, --service", policy.MaxEdges)
	}
	return 0, nil
}

func (t *tool) simulate(ctx context.Context, args []string) (int, error) {
	edited, file := "", filepath.Join(t.paths.Log, "qrexec-policy-daemon.log")
	_, err := flags("simulate", args, 0, func(f *flag.FlagSet) {
		f.StringVar(&edited, "edited", "", "")
		f.StringVar(&edited, "policy-dir", "", "")
		f.StringVar(&file, "calls", file, "")
	})
	if err == nil && edited == "" {
		err = errors.New("simulate needs the edited policy's directory: --edited DIR")
	}
	if err != nil {
		return exitUsage, err
	}
	calls, err := readCalls(file)
	if err != nil {
		return exitUsage, err
	}
	sys, err := t.system(ctx)
	if err != nil {
		return exitUsage, err
	}
	old, err := t.load(t.dir)
	if err != nil {
		return exitUsage, fmt.Errorf("the present policy: %w", err)
	}
	updated, err := t.load(edited)
	if err != nil {
		fmt.Fprintf(t.out, "every call would be denied: %s\n", safetext.Line(err.Error(), 0))
		return exitNo, nil
	}
	changes := policy.Simulate(old, updated, sys, calls)
	for _, c := range changes {
		r := c.Request
		fmt.Fprintf(t.out, "%s -> %s  %s%s  (%d×)\n", show(r.Source), show(r.Target), show(r.Service), show(r.Argument), c.Count)
		fmt.Fprintf(t.out, "  - %s  %s\n  + %s  %s\n", verdictText(&c.Old), where(c.Old.Rule), verdictText(&c.New), where(c.New.Rule))
	}
	fmt.Fprintf(t.out, "%d recorded calls, %d decided otherwise\n", len(calls), len(changes))
	if len(changes) > 0 {
		return exitNo, nil
	}
	return 0, nil
}

// verdictText is a verdict in a few words.
func verdictText(v *policy.Verdict) string {
	s := string(v.Action)
	switch v.Action {
	case policy.Allow:
		s += " target=" + v.Target
	case policy.Ask:
		s += " offering " + strings.Join(v.Targets, " ")
	}
	if v.User != "" {
		s += " user=" + v.User
	}
	return show(s)
}
