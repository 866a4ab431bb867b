package policy

import "strings"

// Request is one call to decide. Argument starts with "+"; Target may be a qube or a
// token; RequestedSource is empty unless a relay speaks for a remote qube.
type Request struct {
	Service, Argument, Source, Target, RequestedSource string
}

// SplitService cuts "service+argument" at the first '+'; the argument keeps its '+' and is
// "+" when there is none.
func SplitService(s string) (service, argument string) {
	if i := strings.IndexByte(s, '+'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, "+"
}

// Verdict is the decision of one request.
type Verdict struct {
	Request Request
	Action  Action
	Reason  Reason // why denied; empty otherwise
	Rule    *Rule  // the rule that decided; nil when none matched or none was reached
	Notify  bool   // tell the user about the outcome

	// VerifiedTarget is the request's target after existence checks; empty when the call
	// was refused before they ended.
	VerifiedTarget string

	Target    string // of allow: "dom0", a qube as written, or "@dispvm:N"
	User      string // of allow and ask; empty means the target's default user
	Autostart bool   // of allow and ask

	Targets       []string // of ask: what may be chosen, sorted, never empty
	DefaultTarget string   // of ask: one of Targets or empty

	source subject
	system *System
}

// Explanation is a verdict in words, for logs and people.
type Explanation struct {
	Verdict Action
	Why     string // a sentence without capital and full stop
	Where   string // file:line of the rule, empty without one
	Rule    string // the rule in policy language, empty without one
}

// Explain says what was decided and by which rule.
func (v *Verdict) Explain() Explanation {
	e := Explanation{Verdict: v.Action, Why: "decided by the rule"}
	if v.Reason != reasonNone {
		e.Why = v.Reason.Text()
	}
	if v.Rule != nil {
		e.Where, e.Rule = v.Rule.Where(), v.Rule.String()
	}
	return e
}

// deny turns v into a denial.
func (v Verdict) deny(reason Reason, notify bool) Verdict {
	v.Action, v.Reason, v.Notify = Deny, reason, notify
	v.Target, v.Targets, v.DefaultTarget = "", nil, ""
	return v
}

// Evaluate decides r. It never fails: what cannot be decided is denied.
func (p *Policy) Evaluate(sys *System, r Request) Verdict {
	v := Verdict{Request: r, system: sys}
	text, target, reason := verify(sys, r.Target)
	if reason != reasonNone {
		return v.deny(reason, true)
	}
	v.source = sourceOf(sys, r.Source)
	if r.RequestedSource != "" {
		if reason := v.relayed(); reason != reasonNone {
			return v.deny(reason, true)
		}
	}
	v.VerifiedTarget = text
	rules := p.candidates(r.Service, r.Argument)
	rule, ok := find(sys, rules, &v.source, &target)
	switch {
	case !ok:
		return v.deny(ReasonNoDispVMBase, true)
	case rule == nil:
		return v.deny(ReasonNoMatch, true)
	}
	v.Rule, v.Notify, v.User, v.Autostart = rule, rule.notify, rule.user, rule.autostart
	switch rule.Action {
	case Allow:
		return v.allow()
	case Ask:
		return v.ask(rules)
	}
	return v.deny(ReasonRule, rule.notify)
}

// relayed is step 3 of spec §7: the requested source becomes the source.
func (v *Verdict) relayed() Reason {
	vm := v.system.Get(v.Request.RequestedSource)
	switch {
	case vm == nil:
		return ReasonSourceUnknown
	case vm.Type != "RemoteVM":
		return ReasonSourceNotRemote
	case vm.RelayVM == "" || vm.RelayVM != v.Request.Source:
		return ReasonNotRelay
	}
	v.source = subject{kindName, vm.Name, vm}
	return reasonNone
}

// find gives the first rule for source and target; ok is false when a rule cannot be
// decided.
func find(sys *System, rules []*Rule, source, target *subject) (r *Rule, ok bool) {
	for _, r := range rules {
		if m, _ := r.source.match(sys, source, source); !m {
			continue
		}
		m, ok := r.target.match(sys, target, source)
		if !ok {
			return nil, false
		}
		if m {
			return r, true
		}
	}
	return nil, true
}

// allow is step 6 of spec §7.
func (v Verdict) allow() Verdict {
	want := v.VerifiedTarget
	if v.Rule.redirect != nil {
		want = v.Rule.redirect.text
	}
	text, target, reason := verify(v.system, want)
	if reason != reasonNone {
		return v.deny(reason, true)
	}
	switch {
	case target.kind == kindDefault:
		return v.deny(ReasonNoTarget, true)
	case target.kind == kindDispVM:
		base := defaultDispVMName(&v.source)
		if base == "" {
			return v.deny(ReasonNoDispVMBase, true)
		}
		text = dispVMPrefix + base
	case text == adminName:
		text = dom0Name
	}
	if !v.Autostart && !v.running(text) {
		return v.deny(ReasonAutostart, v.Notify)
	}
	v.Action, v.Target = Allow, text
	return v
}

// running reports whether a call to target needs no start.
func (v *Verdict) running(target string) bool {
	switch {
	case target == dom0Name, target == uuidPrefix+nilUUID:
		return true
	case strings.HasPrefix(target, "@"):
		return false
	}
	vm := v.system.Get(target)
	return vm != nil && vm.PowerState == "Running"
}

func defaultDispVMName(source *subject) string {
	if source.vm == nil {
		return ""
	}
	return source.vm.DefaultDispVM
}
