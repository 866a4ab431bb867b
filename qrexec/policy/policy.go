// Package policy is the qrexec policy language: it reads rule files, compiles them and
// decides calls. A Policy holds the rules, a System says which qubes exist, a Verdict is
// the decision with the rule that made it.
//
// It is pure over fs.FS: no sockets, no clocks, no logging, no prompting; asking the user
// and answering the qrexec daemons is the policy daemon's work. Language and evaluation
// follow spec qrexec-policy.md, and where that leaves a choice, the call is denied.
package policy

import (
	"fmt"
	"slices"
)

// Action is what a rule says about the calls it matches.
type Action string

// The three actions, spelled as in policy files.
const (
	Allow Action = "allow"
	Deny  Action = "deny"
	Ask   Action = "ask"
)

// Rule is one checked line of the policy. It is immutable.
type Rule struct {
	Service  string // a service name or "*"
	Argument string // "*" or "+" and the argument
	Source   string // token as written
	Target   string // token as written
	Action   Action

	File string // path in the fs.FS
	Line int    // from 1; 0 for the rules implied by a legacy file with argument

	redirect      *token // target=
	defaultTarget *token // default_target=
	user          string // "" when not given
	notify        bool
	autostart     bool

	source, target token
}

// Where names the rule's place as "file:line", or only the file for an implied rule.
func (r *Rule) Where() string {
	if r.Line == 0 {
		return r.File
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

// String is the rule in the words of the policy language, parameters in fixed order.
func (r *Rule) String() string {
	s := r.Service + " " + r.Argument + " " + r.Source + " " + r.Target + " " + string(r.Action)
	if r.redirect != nil {
		s += " target=" + r.redirect.text
	}
	if r.defaultTarget != nil {
		s += " default_target=" + r.defaultTarget.text
	}
	if r.user != "" {
		s += " user=" + r.user
	}
	if r.notify != (r.Action == Deny) {
		s += " notify=" + yesNo(r.notify)
	}
	if !r.autostart {
		s += " autostart=no"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Policy is a loaded rule set, compiled for fast decisions. It is immutable and safe for
// concurrent use.
type Policy struct {
	rules []*Rule
	// byService has, for every service some rule names, the rules that can match it.
	// wild are the rules for any other service.
	byService map[string]serviceRules
	wild      []*Rule
}

// serviceRules are the rules for one service, in policy order: by argument, each list
// already holding the rules with argument "*"; other is for arguments no rule names.
type serviceRules struct {
	byArgument map[string][]*Rule
	other      []*Rule
}

// Rules are all rules in the order in which they are tried.
func (p *Policy) Rules() []*Rule { return slices.Clone(p.rules) }

// add appends a rule about this service or about all services.
func (s serviceRules) add(r *Rule) serviceRules {
	if r.Argument != "*" {
		s.byArgument[r.Argument] = append(s.byArgument[r.Argument], r)
		return s
	}
	s.other = append(s.other, r)
	for a := range s.byArgument {
		s.byArgument[a] = append(s.byArgument[a], r)
	}
	return s
}

// compile builds the index. Rules keep their order in every list.
func compile(rules []*Rule) *Policy {
	p := &Policy{rules: rules, byService: map[string]serviceRules{}}
	for _, r := range rules {
		if r.Service == "*" {
			p.wild = append(p.wild, r)
			continue
		}
		s, ok := p.byService[r.Service]
		if !ok {
			s = serviceRules{byArgument: map[string][]*Rule{}}
		}
		if r.Argument != "*" {
			s.byArgument[r.Argument] = nil
		}
		p.byService[r.Service] = s
	}
	for _, r := range rules {
		if r.Service == "*" {
			for service, s := range p.byService {
				p.byService[service] = s.add(r)
			}
			continue
		}
		p.byService[r.Service] = p.byService[r.Service].add(r)
	}
	return p
}

// candidates are the rules whose service and argument match, in policy order.
func (p *Policy) candidates(service, argument string) []*Rule {
	s, ok := p.byService[service]
	if !ok {
		return p.wild
	}
	if list, ok := s.byArgument[argument]; ok {
		return list
	}
	return s.other
}
