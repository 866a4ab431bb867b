package libvirt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"qubist/core/internal/hypervisor"
)

// Keepalive of the connection: a libvirtd that says nothing for both together is lost.
const (
	keepAliveSeconds = 5
	keepAliveCount   = 6
)

// retry is how often the driver looks for a libvirtd that went away.
const retry = time.Second

// link is one open connection with its event registrations.
type link struct {
	conn      *libvirt.Connect
	callbacks []int
}

// connect returns the open connection, or opens one. The caller calls done when it needs
// it no longer: until then it stays valid, even if libvirtd goes away.
func (d *Driver) connect(ctx context.Context) (conn *libvirt.Connect, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	d.connMu.Lock()
	defer d.connMu.Unlock()
	if d.closed {
		return nil, nil, fmt.Errorf("%w: the driver is closed", hypervisor.ErrUnavailable)
	}
	if d.link != nil {
		if alive, err := d.link.conn.IsAlive(); err != nil || !alive {
			d.dropLocked()
		}
	}
	if d.link == nil {
		l, err := d.open()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: libvirt at %s: %w", hypervisor.ErrUnavailable, d.opt.URI, err)
		}
		d.link = l
		d.kick(&d.resync)
	}
	conn = d.link.conn
	if err := conn.Ref(); err != nil {
		return nil, nil, err
	}
	return conn, func() { conn.Close() }, nil
}

func (d *Driver) open() (*link, error) {
	conn, err := libvirt.NewConnect(d.opt.URI)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn}
	if err := d.register(l); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// register asks for the events of all domains and of the connection's end.
func (d *Driver) register(l *link) error {
	if err := l.conn.SetKeepAlive(keepAliveSeconds, keepAliveCount); err != nil {
		return err
	}
	if err := l.conn.RegisterCloseCallback(func(*libvirt.Connect, libvirt.ConnectCloseReason) { d.kick(&d.lost) }); err != nil {
		return err
	}
	id, err := l.conn.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain, e *libvirt.DomainEventLifecycle) {
		d.enqueue(dom, func(uuid string) rawEvent { return rawEvent{uuid: uuid, event: e.Event, detail: e.Detail} })
	})
	if err != nil {
		return err
	}
	l.callbacks = append(l.callbacks, id)
	id, err = l.conn.DomainEventRebootRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain) {
		d.enqueue(dom, func(uuid string) rawEvent { return rawEvent{uuid: uuid, reboot: true} })
	})
	if err != nil {
		return err
	}
	l.callbacks = append(l.callbacks, id)
	return nil
}

func (l *link) close() {
	for _, id := range l.callbacks {
		l.conn.DomainEventDeregister(id) // fails on a dead connection, which forgets them itself
	}
	l.conn.UnregisterCloseCallback()
	l.conn.Close()
}

// dropLocked forgets the connection. The caller holds connMu.
func (d *Driver) dropLocked() {
	if d.link != nil {
		d.link.close()
		d.link = nil
	}
}

// code is libvirt's number of an error.
func code(err error) libvirt.ErrorNumber {
	var e libvirt.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return libvirt.ERR_OK
}

// translate gives libvirt's error the sentinel that callers branch on.
func translate(err error) error {
	var e libvirt.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == libvirt.ERR_NO_DOMAIN:
		return hypervisor.ErrNotFound
	case e.Domain == libvirt.FROM_RPC, e.Code == libvirt.ERR_NO_CONNECT, e.Code == libvirt.ERR_INVALID_CONN:
		return fmt.Errorf("%w: %w", hypervisor.ErrUnavailable, err)
	}
	return err
}
