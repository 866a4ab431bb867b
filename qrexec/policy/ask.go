package policy

import (
	"maps"
	"slices"
	"strings"
)

// ask is step 7 of spec §7: it collects what the user may choose.
func (v Verdict) ask(rules []*Rule) Verdict {
	var set map[string]bool
	if t := v.Rule.redirect; t != nil {
		set = map[string]bool{redirectText(t): true}
	} else {
		var reason Reason
		if set, reason = v.possible(rules); reason != reasonNone {
			return v.deny(reason, true)
		}
	}
	if !v.Autostart {
		maps.DeleteFunc(set, func(t string, _ bool) bool { return !v.running(t) })
	}
	if len(set) == 0 {
		return v.deny(ReasonNoAskTarget, true)
	}
	v.Action = Ask
	v.Targets = slices.Sorted(maps.Keys(set))
	if t := v.Rule.defaultTarget; t != nil {
		d := redirectText(t)
		if t.kind == kindDispVM {
			d = dispVMPrefix + defaultDispVMName(&v.source)
		}
		if set[d] {
			v.DefaultTarget = d
		}
	}
	return v
}

func redirectText(t *token) string {
	if t.kind == kindAdmin {
		return dom0Name
	}
	return t.text
}

// possible walks all rules for the call and this source from last to first, so that an
// earlier rule has the last word on each target.
func (v *Verdict) possible(rules []*Rule) (map[string]bool, Reason) {
	if v.source.vm == nil {
		return nil, ReasonNoSuchQube
	}
	set := map[string]bool{}
	for _, r := range slices.Backward(rules) {
		if m, _ := r.source.match(v.system, &v.source, &v.source); !m {
			continue
		}
		t := &r.target
		if r.redirect != nil {
			t = r.redirect
		}
		update := func(target string) { set[target] = true }
		if r.Action == Deny {
			update = func(target string) { delete(set, target) }
		}
		if !t.expand(v.system, update) {
			return nil, ReasonNoSuchQube
		}
	}
	if set[dispVMToken] {
		delete(set, dispVMToken)
		if base := defaultDispVMName(&v.source); base != "" {
			set[dispVMPrefix+base] = true
		}
	}
	if set[adminName] {
		delete(set, adminName)
		set[dom0Name] = true
	}
	delete(set, v.source.name)
	maps.DeleteFunc(set, func(t string, _ bool) bool {
		vm := v.system.Get(strings.TrimPrefix(t, dispVMPrefix))
		return vm != nil && vm.Internal
	})
	return set, reasonNone
}

// expand calls f with every target the token stands for. It returns false when the token
// names a disposable template that does not exist.
func (t *token) expand(sys *System, f func(string)) bool {
	each := func(want func(*Domain) bool) {
		sys.Domains(func(d *Domain) {
			if want(d) {
				f(d.Name)
			}
		})
	}
	templates := func(want func(*Domain) bool) {
		sys.Domains(func(d *Domain) {
			if d.TemplateForDispVMs && want(d) {
				f(dispVMPrefix + d.Name)
			}
		})
	}
	every := func(*Domain) bool { return true }
	switch t.kind {
	case kindAny, kindAnyVM:
		each(func(d *Domain) bool { return t.kind == kindAny || d.Name != dom0Name })
		templates(every)
		f(dispVMToken)
	case kindType:
		each(func(d *Domain) bool { return d.Type == t.value })
	case kindTag:
		each(func(d *Domain) bool { return d.hasTag(t.value) })
	case kindDispVMTag:
		templates(func(d *Domain) bool { return d.hasTag(t.value) })
	case kindDispVMOf:
		d := sys.Get(t.value)
		if d == nil {
			return false
		}
		if d.TemplateForDispVMs {
			f(dispVMPrefix + d.Name)
		}
	case kindDispVM:
		f(dispVMToken)
	case kindAdmin:
		// The token and the name are two entries until all rules are walked: a deny for
		// one spelling does not remove the other, as in the reference.
		if t.text == adminName {
			f(adminName)
		} else if sys.Named(dom0Name) != nil {
			f(dom0Name)
		}
	case kindName, kindUUID:
		if d := sys.Get(t.text); d != nil {
			f(d.Name)
		}
	}
	return true
}

// Choose turns an asking verdict into what follows the user's choice: allowed, or denied
// when target was not offered.
func (v Verdict) Choose(target string) Verdict {
	if v.Action != Ask || !slices.Contains(v.Targets, target) {
		return v.deny(ReasonNotOffered, true)
	}
	v.Action, v.Target = Allow, target
	return v
}

// ChooseRequested is Choose with the request's own target, for assume_yes_for_ask. A
// request for @default or for a target that was not offered is denied.
func (v Verdict) ChooseRequested() Verdict {
	if v.Action != Ask {
		return v.deny(ReasonNotOffered, true)
	}
	target := v.VerifiedTarget
	switch target {
	case dispVMToken:
		target = dispVMPrefix + defaultDispVMName(&v.source)
	case adminName:
		target = dom0Name
	case defaultToken:
		return v.deny(ReasonNoTarget, true)
	}
	return v.Choose(target)
}
