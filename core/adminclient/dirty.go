package adminclient

import (
	"strings"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

type dirtyBits uint8

const (
	dirtyProps dirtyBits = 1 << iota
	dirtyFeatures
	dirtyTags
	dirtyState
)

// dirty collects what events say has changed.
type dirty struct {
	vms    map[qube.Name]dirtyBits
	system bool
}

func newDirty() *dirty { return &dirty{vms: map[qube.Name]dirtyBits{}} }

func (d *dirty) add(e adminapi.Event) {
	subject, what := e.Subject, dirtyState
	switch {
	case e.Name == "domain-add", e.Name == "domain-delete":
		subject, what = e.Get("vm"), dirtyProps|dirtyFeatures|dirtyTags|dirtyState
	case e.Name == "property-reset:xid", e.Name == "property-reset:start_time":
		what = dirtyProps | dirtyState
	case strings.HasPrefix(e.Name, "property-"):
		what = dirtyProps
	case strings.HasPrefix(e.Name, "domain-feature-"):
		what = dirtyFeatures
	case strings.HasPrefix(e.Name, "domain-tag-"):
		what = dirtyTags
	case !strings.HasPrefix(e.Name, "domain-"):
		return
	}
	if subject == "" {
		d.system = d.system || what&dirtyProps != 0
		return
	}
	if n, err := qube.ParseName(subject); err == nil && (len(d.vms) < maxQubes) {
		d.vms[n] |= what
	}
}
