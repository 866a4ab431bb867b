package daemon

import "qubist/qrexec/wire"

// port is one entry of the table.
type port struct {
	used   bool
	epoch  int    // of the agent's connection it was given out on
	domain uint32 // the peer's
	over   func() // called once when the agent reports the end; may be nil
}

// portTable hands out data ports (spec qrexec.md §11). It is not safe for concurrent use.
type portTable struct {
	own   uint32
	ports [wire.NumPorts]port
}

// alloc takes the lowest port that the rule allows for peer. Ports still marked used from
// before the agent's last connection are taken when nothing else is free: no end of theirs
// will be reported any more.
func (t *portTable) alloc(peer uint32, epoch int, over func()) (uint32, bool) {
	first, step := 0, 1
	if peer != 0 {
		step = 2
		if peer > t.own {
			first = 1
		}
	}
	for _, stale := range []bool{false, true} {
		for i := first; i < len(t.ports); i += step {
			p := &t.ports[i]
			if !p.used || stale && p.epoch < epoch {
				*p = port{used: true, epoch: epoch, domain: peer, over: over}
				return wire.FirstPort + uint32(i), true
			}
		}
	}
	return 0, false
}

// release frees a port the agent reported, if it belongs to that domain.
func (t *portTable) release(e wire.Exec) {
	p := &t.ports[e.Port-wire.FirstPort]
	if p.used && p.domain == e.Domain {
		over := p.over
		*p = port{}
		if over != nil {
			over()
		}
	}
}

// orphan drops the interest of all clients; the ports stay used.
func (t *portTable) orphan() {
	for i := range t.ports {
		t.ports[i].over = nil
	}
}
