package policy

// subject is one side of a call with what the system knows about it.
type subject struct {
	kind kind    // kindName (also for uuid:U), kindAdmin, kindDefault, kindDispVM, kindDispVMOf
	name string  // canonical name; the text itself when there is no such qube
	vm   *Domain // the qube, for kindDispVMOf its template; nil when unknown or not a qube
}

// sourceOf describes a call's source. It is a plain name, known or not.
func sourceOf(sys *System, source string) subject {
	switch source {
	case adminName, dom0Name, uuidPrefix + nilUUID:
		return subject{kindAdmin, dom0Name, sys.Named(dom0Name)}
	}
	return qube(sys, kindName, source)
}

func qube(sys *System, k kind, ref string) subject {
	if vm := sys.Get(ref); vm != nil {
		return subject{k, vm.Name, vm}
	}
	return subject{k, ref, nil}
}

// verify is step 2 of spec §7: it checks a target as asked, or as a rule redirects it, and
// returns its text with a missing qube turned into @default.
func verify(sys *System, target string) (string, subject, Reason) {
	if target == "" {
		target = defaultToken
	}
	t, reason := parseToken(target, columnRequest)
	if reason != reasonNone {
		return target, subject{}, reason
	}
	switch t.kind {
	case kindAdmin:
		s := subject{kind: kindAdmin, name: dom0Name}
		if target != adminName {
			s.vm = sys.Named(dom0Name) // the token @adminvm has no type and no tags
		}
		return target, s, reasonNone
	case kindName, kindUUID:
		if s := qube(sys, kindName, target); s.vm != nil {
			return target, s, reasonNone
		}
		return defaultToken, subject{kind: kindDefault}, reasonNone
	case kindDispVMOf:
		s := qube(sys, kindDispVMOf, t.value)
		if s.vm == nil || !s.vm.TemplateForDispVMs {
			return target, s, ReasonNotTemplate
		}
		return target, s, reasonNone
	}
	return target, subject{kind: t.kind}, reasonNone
}

// match reports whether a rule's token covers s, one side of a call from source. ok is
// false when that cannot be decided; the call is then denied.
func (t *token) match(sys *System, s, source *subject) (matched, ok bool) {
	switch t.kind {
	case kindAny:
		return true, true
	case kindAnyVM:
		return s.kind != kindAdmin, true
	case kindName:
		return s.kind == kindName && s.name == t.value, true
	case kindUUID:
		return s.kind == kindName && (s.vm != nil && s.vm.UUID == t.value || s.name == t.text), true
	case kindType:
		return isQube(s) && s.vm.Type == t.value, true
	case kindTag:
		return isQube(s) && s.vm.hasTag(t.value), true
	case kindDispVMOf:
		return t.matchDispVM(s, source)
	case kindDispVMTag:
		vm := s.vm
		if s.kind == kindDispVM {
			vm = nil
			if source.vm != nil {
				vm = sys.Get(source.vm.DefaultDispVM)
			}
		}
		return (s.kind == kindDispVM || s.kind == kindDispVMOf) && vm != nil && vm.TemplateForDispVMs && vm.hasTag(t.value), true
	}
	return s.kind == t.kind, true // @adminvm, @default, @dispvm
}

func isQube(s *subject) bool { return s.vm != nil && (s.kind == kindName || s.kind == kindAdmin) }

// matchDispVM is the rule token @dispvm:N. For the request @dispvm, N must be literally the
// name of the source's default template; without one the reference fails, so do we.
func (t *token) matchDispVM(s, source *subject) (matched, ok bool) {
	switch s.kind {
	case kindDispVMOf:
		return s.name == t.value || s.vm != nil && uuidPrefix+s.vm.UUID == t.value, true
	case kindDispVM:
		if source.vm == nil || source.vm.DefaultDispVM == "" {
			return false, false
		}
		return source.vm.DefaultDispVM == t.value, true
	}
	return false, true
}
