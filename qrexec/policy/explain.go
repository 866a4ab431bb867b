package policy

import (
	"cmp"
	"slices"
	"strings"
)

// MaxNear bounds Report.Near.
const MaxNear = 10

// Report is a verdict with what nearly led to another one.
type Report struct {
	Verdict Verdict
	// Refused is why an allowed call is refused all the same, for instance from a qube to
	// itself; empty when it is not.
	Refused Reason
	// Near are rules that almost matched, in the order of the policy, at most MaxNear.
	Near []NearMiss
}

// NearMiss is a rule that did not decide, and the one thing that stood in the way.
type NearMiss struct {
	Rule *Rule
	Why  string // a sentence without capital and full stop
}

// Explain decides r as Evaluate does and looks for rules that would have matched but for
// one column, or but for their place.
func (p *Policy) Explain(sys *System, r Request) Report {
	e := Report{Verdict: p.Evaluate(sys, r)}
	if e.Verdict.Action == Allow {
		_, e.Refused = e.Verdict.Respond()
	}
	_, target, reason := verify(sys, r.Target)
	if reason != reasonNone {
		return e
	}
	source := e.Verdict.source
	passed := e.Verdict.Rule == nil
	var later []NearMiss // matching rules behind the one that decided
	for _, rule := range p.rules {
		if rule == e.Verdict.Rule {
			passed = true
			continue
		}
		why, matches := rule.nearly(sys, r, &source, &target)
		switch {
		case matches && passed:
			later = append(later, NearMiss{rule, "an earlier rule decides"})
		case why != "":
			e.Near = append(e.Near, NearMiss{rule, why})
		}
	}
	e.Near = closest(e.Near, later)
	return e
}

// closest keeps MaxNear, rules that name the service before those for every service, and
// puts them in the policy's order again.
func closest(near, later []NearMiss) []NearMiss {
	all := append(near, later...)
	slices.SortStableFunc(all, func(a, b NearMiss) int {
		return cmp.Compare(wildcard(a.Rule.Service), wildcard(b.Rule.Service))
	})
	return all[:min(len(all), MaxNear)]
}

func wildcard(s string) int {
	if s == "*" {
		return 1
	}
	return 0
}

// nearly says what alone kept the rule from matching: "" when nothing or more than one
// thing did.
func (r *Rule) nearly(sys *System, q Request, source, target *subject) (why string, matches bool) {
	var misses []string
	if r.Service != "*" && r.Service != q.Service {
		if !strings.EqualFold(r.Service, q.Service) {
			return "", false // another service altogether
		}
		misses = append(misses, "service "+q.Service+" is spelled otherwise than "+r.Service)
	}
	if r.Argument != "*" && r.Argument != q.Argument {
		misses = append(misses, "argument "+q.Argument+" is not "+r.Argument)
	}
	if ok, _ := r.source.match(sys, source, source); !ok {
		misses = append(misses, "source "+source.name+" is not "+r.Source)
	}
	if ok, _ := r.target.match(sys, target, source); !ok {
		misses = append(misses, "target "+targetText(q.Target, target)+" is not "+r.Target)
	}
	if len(misses) == 1 {
		return misses[0], false
	}
	return "", len(misses) == 0
}

// targetText is the target as it was asked, with what became of it.
func targetText(asked string, t *subject) string {
	if t.kind == kindDefault && asked != "" && asked != defaultToken {
		return asked + " (no such qube: " + defaultToken + ")"
	}
	if asked == "" {
		return defaultToken
	}
	return asked
}
