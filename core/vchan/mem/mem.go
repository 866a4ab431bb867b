// Package mem is the vchan transport inside one process, for tests of everything above it.
// It is not a model of timing: a connection is two buffers.
package mem

import (
	"context"
	"sync"

	"qubist/core/qube"
	"qubist/core/vchan"
)

// Net connects any number of domains. The zero value is not usable; see New.
type Net struct {
	mu      sync.Mutex
	offers  map[name]*listener
	changed chan struct{} // closed and replaced whenever an offer appears
}

type name struct {
	server, client qube.DomID
	port           vchan.Port
}

// New returns a Net without offers.
func New() *Net {
	return &Net{offers: map[name]*listener{}, changed: make(chan struct{})}
}

// Domain returns the driver that speaks for id.
func (n *Net) Domain(id qube.DomID) vchan.Driver { return domain{n, id} }

type domain struct {
	net *Net
	id  qube.DomID
}

func (d domain) Local() qube.DomID { return d.id }

func (d domain) Listen(ctx context.Context, client qube.DomID, port vchan.Port) (vchan.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := &listener{net: d.net, name: name{d.id, client, port}, peer: make(chan *conn, 1), closed: make(chan struct{})}
	d.net.mu.Lock()
	old := d.net.offers[l.name]
	d.net.offers[l.name] = l
	close(d.net.changed)
	d.net.changed = make(chan struct{})
	d.net.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return l, nil
}

func (d domain) Dial(ctx context.Context, server qube.DomID, port vchan.Port) (vchan.Conn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		conn, changed := d.net.take(name{server, d.id, port})
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// take uses up the offer n and returns the client's end, or nil and a channel that is
// closed when there are new offers.
func (n *Net) take(want name) (*conn, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.offers[want]
	if l == nil {
		return nil, n.changed
	}
	delete(n.offers, want)
	server, client := pipe(want)
	l.peer <- server
	return client, nil
}

type listener struct {
	net    *Net
	name   name
	peer   chan *conn // holds at most the one peer
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept(ctx context.Context) (vchan.Conn, error) {
	// A peer that is there wins over a ctx that has ended and over Close in another
	// goroutine, which disposes of the peer itself.
	select {
	case c := <-l.peer:
		l.once.Do(func() { close(l.closed) })
		return c, nil
	default:
	}
	select {
	case c := <-l.peer:
		l.once.Do(func() { close(l.closed) })
		return c, nil
	case <-l.closed:
		return nil, vchan.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Close() error {
	l.net.mu.Lock()
	if l.net.offers[l.name] == l {
		delete(l.net.offers, l.name)
	}
	l.net.mu.Unlock()
	l.once.Do(func() { close(l.closed) })
	select {
	case c := <-l.peer:
		return c.Close()
	default:
		return nil
	}
}

var _ vchan.Driver = domain{}
