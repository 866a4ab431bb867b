package libvirt

import (
	"context"

	"libvirt.org/go/libvirt"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

func (d *Driver) remember(k known) {
	d.knownMu.Lock()
	defer d.knownMu.Unlock()
	d.known[k.xid] = k
}

// forget drops a domain that is gone, with its region.
func (d *Driver) forget(k known) {
	d.knownMu.Lock()
	if d.known[k.xid].uuid == k.uuid {
		delete(d.known, k.xid)
	}
	d.knownMu.Unlock()
	d.removeRegion(k.xid)
}

// supersede reports the end of an earlier domain of k's qube whose event is still on its
// way. libvirt has agreed that there is none.
func (d *Driver) supersede(k known) {
	for _, old := range d.allKnown() {
		if old.uuid == k.uuid && old.xid != k.xid {
			d.forget(old)
			d.hub.publish(hypervisor.Event{Name: old.name, XID: old.xid, State: qube.Halted})
		}
	}
}

func (d *Driver) byUUID(uuid string) (known, bool) {
	d.knownMu.Lock()
	defer d.knownMu.Unlock()
	for _, k := range d.known {
		if k.uuid == uuid {
			return k, true
		}
	}
	return known{}, false
}

func (d *Driver) allKnown() []known {
	d.knownMu.Lock()
	defer d.knownMu.Unlock()
	out := make([]known, 0, len(d.known))
	for _, k := range d.known {
		out = append(out, k)
	}
	return out
}

// ours reads the metadata of a domain; false means another instance's, or not one of ours
// at all.
func (d *Driver) ours(dom *libvirt.Domain) (known, bool) {
	text, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, metadataNS, libvirt.DOMAIN_AFFECT_LIVE)
	if err != nil {
		return known{}, false
	}
	name, xid, ok, err := parseMetadata(text, d.instance)
	if err != nil {
		d.opt.Log.Warn("ignoring a domain", "err", err)
	}
	if !ok || err != nil {
		return known{}, false
	}
	uuid, err := dom.GetUUIDString()
	if err != nil {
		return known{}, false
	}
	return known{name: name, xid: xid, uuid: uuid}, true
}

// adopt looks up a domain that another process started.
func (d *Driver) adopt(ctx context.Context, uuid string) (known, bool) {
	k, ok := d.lookup(ctx, uuid)
	if ok {
		d.remember(k)
	}
	return k, ok
}

// runs asks libvirt whether k is active: an event may be older than a new start of the
// same qube.
func (d *Driver) runs(ctx context.Context, k known) bool {
	got, ok := d.lookup(ctx, k.uuid)
	return ok && got.xid == k.xid
}

// lookup finds an active domain of this instance.
func (d *Driver) lookup(ctx context.Context, uuid string) (known, bool) {
	conn, done, err := d.connect(ctx)
	if err != nil {
		return known{}, false
	}
	defer done()
	dom, err := conn.LookupDomainByUUIDString(uuid)
	if err != nil {
		return known{}, false
	}
	defer dom.Free()
	return d.ours(dom)
}
