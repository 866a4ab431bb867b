package libvirt

import (
	"context"
	"time"

	"libvirt.org/go/libvirt"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// rawEvent is what a callback of libvirt's event loop hands to the worker. Callbacks must
// not wait and must not call libvirt for more.
type rawEvent struct {
	uuid   string
	event  libvirt.DomainEventType
	detail int
	reboot bool
}

// enqueue stores an event for the worker. Equal neighbours are stored once, so that a guest
// that reboots without end does not fill memory.
func (d *Driver) enqueue(dom *libvirt.Domain, make func(uuid string) rawEvent) {
	uuid, err := dom.GetUUIDString()
	if err != nil {
		return
	}
	e := make(uuid)
	d.queueMu.Lock()
	if n := len(d.queue); n == 0 || d.queue[n-1] != e {
		d.queue = append(d.queue, e)
	}
	d.queueMu.Unlock()
	d.wakeUp()
}

// kick sets a flag for the worker.
func (d *Driver) kick(flag *bool) {
	d.queueMu.Lock()
	*flag = true
	d.queueMu.Unlock()
	d.wakeUp()
}

func (d *Driver) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// work translates events, and finds libvirtd again when it went away.
func (d *Driver) work(ctx context.Context) {
	defer close(d.workerDone)
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-again:
		}
		d.queueMu.Lock()
		queue, lost, resync := d.queue, d.lost, d.resync
		d.queue, d.lost, d.resync = nil, false, false
		d.queueMu.Unlock()
		for _, e := range queue {
			d.handle(ctx, e)
		}
		if lost {
			d.opt.Log.Warn("lost the connection to libvirt", "uri", d.opt.URI)
			d.connMu.Lock()
			d.dropLocked()
			d.connMu.Unlock()
		}
		if lost || again != nil {
			again = nil
			_, done, err := d.connect(ctx)
			if err != nil {
				again = time.After(retry)
				continue
			}
			done()
			d.opt.Log.Info("connected to libvirt", "uri", d.opt.URI)
		}
		if resync {
			d.reconcile(ctx)
		}
	}
}

// handle turns one event of libvirt into ours, if it is about a domain of this instance.
func (d *Driver) handle(ctx context.Context, raw rawEvent) {
	k, ok := d.byUUID(raw.uuid)
	if !ok {
		if raw.event == libvirt.DOMAIN_EVENT_STOPPED {
			return
		}
		if k, ok = d.adopt(ctx, raw.uuid); !ok {
			return
		}
	}
	e := hypervisor.Event{Name: k.name, XID: k.xid}
	if raw.reboot {
		e.State, e.Rebooted = qube.Running, true
	} else if e.State = stateOf(raw.event, raw.detail); e.State == "" {
		return
	}
	if gone(e.State) {
		if k.starting || d.runs(ctx, k) {
			return // Create reports it; or the event is of an earlier start
		}
		d.forget(k)
	}
	d.hub.publish(e)
}

// stateOf is the state that a lifecycle event leads to, "" for none of interest.
func stateOf(e libvirt.DomainEventType, detail int) qube.State {
	switch e {
	case libvirt.DOMAIN_EVENT_RESUMED: // a start is paused, see Create
		return qube.Running
	case libvirt.DOMAIN_EVENT_SUSPENDED:
		return qube.Paused
	case libvirt.DOMAIN_EVENT_PMSUSPENDED:
		return qube.Suspended
	case libvirt.DOMAIN_EVENT_SHUTDOWN:
		return qube.Halting
	case libvirt.DOMAIN_EVENT_CRASHED:
		return qube.Crashed
	case libvirt.DOMAIN_EVENT_STOPPED:
		switch libvirt.DomainEventStoppedDetailType(detail) {
		case libvirt.DOMAIN_EVENT_STOPPED_CRASHED, libvirt.DOMAIN_EVENT_STOPPED_FAILED:
			return qube.Crashed
		}
		return qube.Halted
	}
	return ""
}

// reconcile compares what we knew with what runs, after a time without events, and
// reports the difference.
func (d *Driver) reconcile(ctx context.Context) {
	infos, err := d.List(ctx)
	if err != nil {
		d.opt.Log.Warn("listing the domains failed", "err", err)
		return
	}
	active := map[qube.DomID]bool{}
	for _, i := range infos {
		active[i.XID] = true
		d.remember(known{name: i.Name, xid: i.XID, uuid: i.UUID})
		d.hub.publish(hypervisor.Event{Name: i.Name, XID: i.XID, State: i.State})
	}
	for _, k := range d.allKnown() {
		if !active[k.xid] && !k.starting && !d.runs(ctx, k) {
			d.forget(k)
			d.hub.publish(hypervisor.Event{Name: k.name, XID: k.xid, State: qube.Halted})
		}
	}
}
