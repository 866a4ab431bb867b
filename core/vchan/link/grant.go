package link

import (
	"sync"
	"time"

	"qubist/core/vchan"
)

// grants is the leave dom0 gave this VM to dial other VMs.
type grants struct {
	now     func() time.Time
	mu      sync.Mutex
	waiting map[grant]time.Time // until when
}

// grant names what may be dialled by the VM of this link.
type grant struct{ server, port uint32 }

// add puts g in force, for one use. It reports false if too many wait already.
func (t *grants) add(g grant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for old, until := range t.waiting {
		if !now.Before(until) {
			delete(t.waiting, old)
		}
	}
	if _, again := t.waiting[g]; !again && len(t.waiting) >= MaxGrants {
		return false
	}
	t.waiting[g] = now.Add(vchan.GrantLife)
	return true
}

// take uses g up and reports whether it was in force.
func (t *grants) take(g grant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.waiting[g]
	delete(t.waiting, g)
	return ok && t.now().Before(until)
}
