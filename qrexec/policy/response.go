package policy

import "strings"

// Response is what the caller of an allowed request has to do (spec §7, step 9).
type Response struct {
	User            string // "DEFAULT" for the target's default user
	Target          string
	TargetUUID      string // empty for dom0
	Autostart       bool
	RequestedTarget string
	Service         string // replaced service for a remote target; else empty
	PolicySource    string // the requested source; else empty
}

// Lines are the answer lines in upstream's spelling.
func (r Response) Lines() []string {
	autostart := "False"
	if r.Autostart {
		autostart = "True"
	}
	lines := []string{"user=" + r.User, "result=allow", "target=" + r.Target}
	for _, l := range []struct{ key, value string }{{"target_uuid=", r.TargetUUID}, {"service=", r.Service}} {
		if l.value != "" {
			lines = append(lines, l.key+l.value)
		}
	}
	lines = append(lines, "autostart="+autostart, "requested_target="+r.RequestedTarget)
	if r.PolicySource != "" {
		lines = append(lines, "policy_source="+r.PolicySource)
	}
	return lines
}

// Respond gives the response of an allowing verdict. Even an allowed call can be refused
// here, for instance from a qube to itself; the reason then says why and the caller must
// treat it as denied, with notification.
func (v *Verdict) Respond() (Response, Reason) {
	if v.Action != Allow {
		return Response{}, ReasonRule
	}
	source := v.Request.Source
	if v.Request.RequestedSource != "" {
		source = v.Request.RequestedSource
	}
	if source == v.Target {
		return Response{}, ReasonLoopback
	}
	r := Response{User: v.User, Target: v.Target, Autostart: v.Autostart, RequestedTarget: v.VerifiedTarget}
	if r.User == "" {
		r.User = "DEFAULT"
	}
	if v.Target == dom0Name || v.Target == uuidPrefix+nilUUID {
		r.Target = dom0Name
		return r, reasonNone
	}
	r.PolicySource = v.Request.RequestedSource
	if base, ok := strings.CutPrefix(v.Target, dispVMPrefix); ok {
		vm := v.system.Get(base)
		if vm == nil {
			return Response{}, ReasonNoSuchQube
		}
		r.TargetUUID = dispVMPrefix + uuidPrefix + vm.UUID
		return r, reasonNone
	}
	vm := v.system.Get(v.Target)
	switch {
	case vm == nil:
		return Response{}, ReasonNoSuchQube
	case vm.Type == "RemoteVM":
		return v.remote(r, vm)
	}
	r.TargetUUID = uuidPrefix + vm.UUID
	return r, reasonNone
}

// remote addresses the relay of a remote qube, with the wrapped service. The wrapped
// target is the requested one, also when a rule or the user chose another (spec §7).
func (v *Verdict) remote(r Response, vm *Domain) (Response, Reason) {
	relay := v.system.Get(vm.RelayVM)
	switch {
	case vm.RelayVM == "" || relay == nil:
		return Response{}, ReasonNoRelayVM
	case vm.TransportRPC == "":
		return Response{}, ReasonNoTransportRPC
	}
	r.User = "DEFAULT"
	r.Service = vm.TransportRPC + "+" + v.VerifiedTarget + "+" + v.Request.Service + v.Request.Argument
	r.Target, r.TargetUUID = vm.RelayVM, uuidPrefix+relay.UUID
	return r, reasonNone
}
