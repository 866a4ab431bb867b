package policy

// covers reports whether every call side that o matches is matched by t too, whatever
// qubes exist. It may say no when it cannot know.
func (t *token) covers(o *token) bool {
	switch {
	case t.kind == kindAny:
		return true
	case t.kind == kindAnyVM:
		// @type and @tag may be those of dom0.
		return o.kind != kindAny && o.kind != kindAdmin && o.kind != kindType && o.kind != kindTag
	case t.kind == kindAdmin:
		return o.kind == kindAdmin
	}
	return t.kind == o.kind && t.value == o.value
}

// covers reports whether r matches every call that o matches.
func (r *Rule) covers(o *Rule) bool {
	return (r.Service == "*" || r.Service == o.Service) && (r.Argument == "*" || r.Argument == o.Argument) &&
		r.source.covers(&o.source) && r.target.covers(&o.target)
}

// The services in which the caller chooses what is executed.
var commandServices = map[string]bool{
	"qubes.VMShell": true, "qubes.VMRootShell": true, "qubes.VMExec": true, "qubes.VMExecGUI": true, "qubes.VMRootExec": true,
}
