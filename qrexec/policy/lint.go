package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Level is how much a finding matters.
type Level string

// The levels: a rule that gives away more than is usual, a rule that cannot do what it
// seems to, and a hint.
const (
	Danger  Level = "danger"
	Useless Level = "useless"
	Hint    Level = "hint"
)

// Finding is something about one rule that its author should know.
type Finding struct {
	Rule  *Rule
	Level Level
	Text  string // a sentence without capital and full stop
}

// Lint looks for rules that never match, that name what does not exist, or that allow
// more than they should. sys may be nil: then names, types and tags are not looked up. A
// policy with syntax errors does not load; those are the *Error of Load.
func Lint(p *Policy, sys *System) []Finding {
	l := linter{sys: sys}
	for i, r := range p.rules {
		l.rule = r
		l.shadowed(p.rules[:i])
		l.tokens()
		l.power()
	}
	return l.found
}

type linter struct {
	sys   *System
	rule  *Rule
	found []Finding
}

func (l *linter) say(level Level, format string, args ...any) {
	l.found = append(l.found, Finding{l.rule, level, fmt.Sprintf(format, args...)})
}

// shadowed finds an earlier rule that takes all of this one's calls. Rules that a legacy
// file implies are not the author's.
func (l *linter) shadowed(earlier []*Rule) {
	if l.rule.Line == 0 {
		return
	}
	for _, e := range earlier {
		if !e.covers(l.rule) {
			continue
		}
		// For a question, later rules still say what may be chosen.
		if e.Action == Ask && l.rule.Action != Deny {
			return
		}
		l.say(Useless, "never decides: %s comes first and matches the same calls", e.Where())
		return
	}
}

func (l *linter) tokens() {
	r := l.rule
	if k := r.source.kind; k == kindDispVMOf || k == kindDispVMTag {
		l.say(Useless, "source %s never matches: a caller is always a qube by its name", r.Source)
	}
	for _, t := range []struct {
		what string
		t    *token
	}{{"source", &r.source}, {"target", &r.target}, {"target=", r.redirect}, {"default_target=", r.defaultTarget}} {
		if t.t == nil {
			continue
		}
		if strings.HasPrefix(t.t.text, "$") {
			l.say(Hint, "%s %s is taken for a qube's name; did you mean @%s?", t.what, t.t.text, t.t.text[1:])
		} else if text := l.missing(t.t); text != "" {
			l.say(Hint, "%s %s: %s", t.what, t.t.text, text)
		}
	}
}

// missing says what the system lacks for t ever to match.
func (l *linter) missing(t *token) string {
	if l.sys == nil {
		return ""
	}
	switch t.kind {
	case kindName, kindUUID:
		if l.sys.Get(t.text) == nil {
			return "there is no such qube"
		}
	case kindDispVMOf:
		switch d := l.sys.Get(t.value); {
		case d == nil:
			return "there is no such qube"
		case !d.TemplateForDispVMs:
			return "the qube is not a template for disposables"
		}
	case kindType:
		if !l.any(func(d *Domain) bool { return d.Type == t.value }) {
			return "no qube has this type"
		}
	case kindTag, kindDispVMTag:
		if !l.any(func(d *Domain) bool { return d.hasTag(t.value) }) {
			return "no qube has this tag"
		}
	}
	return ""
}

func (l *linter) any(f func(*Domain) bool) bool {
	found := false
	l.sys.Domains(func(d *Domain) { found = found || f(d) })
	return found
}

// power warns of rules that hand one qube the control of others without a question.
func (l *linter) power() {
	r := l.rule
	if r.Action != Allow {
		return
	}
	target := &r.target
	if r.redirect != nil {
		target = r.redirect
	}
	wide := slices.Contains([]kind{kindAny, kindAnyVM}, r.source.kind)
	switch {
	case r.Service == "*" && r.source.kind != kindAdmin:
		l.say(Danger, "allows every service, those that run commands too")
	case commandServices[r.Service] && r.source.kind != kindAdmin && target.kind != kindDispVM && target.kind != kindDispVMOf && target.kind != kindDispVMTag:
		l.say(Danger, "lets %s run any command in %s", r.Source, target.text)
	case wide && strings.HasPrefix(r.Service, "admin."):
		l.say(Danger, "lets every qube call %s", r.Service)
	case wide && strings.HasPrefix(r.Service, "policy."):
		l.say(Danger, "lets every qube call %s", r.Service)
	case wide && target.kind == kindAny && r.redirect == nil:
		l.say(Danger, "allows calls from every qube to every qube and dom0")
	}
}
