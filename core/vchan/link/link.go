// Package link is the multiplexer that carries all vchans of one VM over one virtio-serial
// port (architecture.md "Transport"). The same engine runs in dom0, once per VM, and in the
// VM. It enforces who may dial whom: a VM speaks only for itself, reaches dom0, and reaches
// another VM only with a grant. It does not know what the streams carry.
//
// Words: the *port* is the virtio-serial port, or what stands for it; a *session* is one
// yamux session over it, begun by a handshake; the *mux socket* is where the programs of
// this domain ask for streams. Lock order: none is held while another is taken.
package link

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/internal/usock"
)

// The limits of one link. Nothing a VM does takes more than these.
const (
	// SynInterval is the pause between the frames of an unanswered handshake.
	SynInterval = 500 * time.Millisecond
	// HandshakeLimit is how long a handshake may take once the peer was heard.
	HandshakeLimit = 30 * time.Second
	// RequestLimit is how long an opened stream or local connection may keep its request.
	RequestLimit = 10 * time.Second
	// WaitLimit is how long a peer's dial waits for a listening socket.
	WaitLimit = 120 * time.Second
	// MuxLimit is how long another VM's multiplexer may be absent before it counts as gone.
	MuxLimit = 5 * time.Second
	// MaxPending is the number of the peer's dials that wait at one time.
	MaxPending = 64
	// MaxOpen is the number of streams above which this side opens no more.
	MaxOpen = 384
	// MaxStreams is the number of streams, closing ones with them, that end a session:
	// a peer that also keeps to MaxOpen does not get there.
	MaxStreams = 512
	// MaxLocal is the number of connections to the mux socket.
	MaxLocal = 512
	// MaxGrants is the number of grants that wait to be used.
	MaxGrants = 256
	// StreamWindow is how many bytes a stream buffers for a reader that stalls.
	StreamWindow = 1 << 20
	// CloseLimit is how long data written before a close waits for a reader that stalls.
	CloseLimit = 5 * time.Minute
	// DrainLimit is how long a link whose VM is gone serves what is still buffered.
	DrainLimit = 5 * time.Second

	// retryPause is the pause before anything that failed is tried again.
	retryPause = 100 * time.Millisecond
	// sessionPause is the shortest distance of two sessions.
	sessionPause = time.Second
)

// Port is an open virtio-serial port or what stands for it. Deadlines in the past must
// interrupt a Read or Write under way.
type Port interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Config is what a link needs. All fields are required but Now.
type Config struct {
	// VM is the domain at the VM's end of the port.
	VM qube.DomID
	// Dom0 says which end this is.
	Dom0 bool
	// Dir has the vchan sockets of this domain; in dom0 also the other VMs' mux sockets.
	Dir string
	// Socket is the path of the mux socket to serve.
	Socket string
	// OtherMux gives the mux socket of another VM. Used in dom0 only.
	OtherMux func(qube.DomID) string
	// Open opens the port, again after it failed. Its error ends the link;
	// vchan.ErrGone means that there is no VM any more, which is a good end.
	Open func(context.Context) (Port, error)
	Log  *slog.Logger
	// Now is the clock of grants; nil means time.Now.
	Now func() time.Time
}

// Link is one multiplexer.
type Link struct {
	cfg     Config
	log     *limitedLog
	grants  grants
	pending chan struct{} // a place for each of the peer's waiting dials

	handlers sync.WaitGroup // everything that serves a stream or local connection

	mu      sync.Mutex
	session *yamux.Session
	gone    bool
	changed chan struct{} // closed and replaced when session or gone changes
}

// New returns a link that does not run yet.
func New(cfg Config) *Link {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Link{
		cfg:     cfg,
		log:     &limitedLog{log: cfg.Log, now: time.Now},
		grants:  grants{now: cfg.Now, waiting: map[grant]time.Time{}},
		pending: make(chan struct{}, MaxPending),
		changed: make(chan struct{}),
	}
}

// Run serves until ctx ends, whose error it returns, or until Open says that the VM is
// gone, which returns nil. It calls ready, if not nil, once the mux socket listens.
func (l *Link) Run(ctx context.Context, ready func()) error {
	sock, err := listenMux(l.cfg.Socket)
	if err != nil {
		return err
	}
	defer sock.Close()
	if ready != nil {
		ready()
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var accepting sync.WaitGroup
	accepting.Go(func() { l.acceptLocal(inner, sock) })

	err = l.servePorts(ctx)
	l.publish(nil, true)
	sock.Close()
	accepting.Wait()
	l.drain(ctx)
	cancel()
	l.handlers.Wait()
	if errors.Is(err, vchan.ErrGone) {
		return nil
	}
	return err
}

// servePorts opens the port again and again.
func (l *Link) servePorts(ctx context.Context) error {
	for {
		port, err := l.cfg.Open(ctx)
		if err != nil {
			return err
		}
		err = l.servePort(ctx, port)
		port.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.log.info("port closed", "reason", err)
		if err := usock.Sleep(ctx, retryPause); err != nil {
			return err
		}
	}
}

// drain lets what is under way end by itself, for a while: waiting dials get their
// answer, programs read what the VM sent last.
func (l *Link) drain(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		l.handlers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(DrainLimit):
		// Run cancels the handlers next and waits for them; then done is closed too.
	}
}

// publish makes session what new streams use; nil means none.
func (l *Link) publish(session *yamux.Session, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.gone = session, gone
	close(l.changed)
	l.changed = make(chan struct{})
}

// waitSession returns the session, waiting for one; vchan.ErrGone if there will be none.
func (l *Link) waitSession(ctx context.Context) (*yamux.Session, error) {
	for {
		l.mu.Lock()
		session, gone, changed := l.session, l.gone, l.changed
		l.mu.Unlock()
		switch {
		case gone:
			return nil, vchan.ErrGone
		case session != nil && !session.IsClosed():
			return session, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
