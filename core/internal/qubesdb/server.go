// Package qubesdb is the QubesDB daemon, the end of a VM's small configuration tree that
// lives in dom0 and the one that lives in the VM (spec qubesdb.md): the database, its local
// clients, and the link between the two ends.
//
// Nobody can hold it up. Each connection has a goroutine that reads and one that writes, with
// a bounded queue between; the database is locked only for work in memory. A local client
// that breaks the protocol or does not read loses its connection, a peer that does so loses
// the link, and the other side of the daemon goes on.
package qubesdb

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"qubist/core/qube"
	"qubist/core/qubesdb/wire"
	"qubist/core/vchan"
)

// Limits of what connections may occupy.
const (
	// MaxClients may be connected at once; users other than root and the daemon's own may
	// have most of them together, and each MaxPerUser.
	MaxClients    = 256
	maxOtherUsers = 224
	MaxPerUser    = 128
	// MaxWatches is how many watches a client may have.
	MaxWatches = 1024
	// maxEvents is how many bytes of answers and events may wait for one client.
	maxEvents = 512 << 10
	// maxChanges is how many bytes may wait for the peer, beside its first dump.
	maxChanges = 4 << 20
	// maxInFlight is how many of our changes the peer may leave unanswered.
	maxInFlight = 16384
)

// Config says which daemon this is.
type Config struct {
	// Driver reaches the other side's domain; nil for dom0's own database.
	Driver vchan.Driver
	// Remote is the domain at the other end of the link.
	Remote qube.DomID
	// Name is the VM in whose name dom0 serves; "" in the VM itself.
	Name string
	// Dir is where the sockets are made.
	Dir string
	// Perms is the mode of the read-write socket.
	Perms os.FileMode
	// Stall is how long a client may take no bytes while some wait for it, Pause how long
	// the link stays down after a peer broke the protocol. 0 means the usual. A peer may
	// stall as long as its VM is paused, with a bound on what waits for it.
	Stall, Pause time.Duration
	// Ready, if set, is called once: in dom0 when clients can connect, in a VM when the
	// first copy of dom0's entries is complete.
	Ready func()
	Log   *slog.Logger
}

const (
	defaultStall = 30 * time.Second
	defaultPause = time.Second
)

// Server is one daemon.
type Server struct {
	cfg    Config
	synced chan struct{} // closed when clients are served
	once   sync.Once
	wg     sync.WaitGroup

	mu      sync.Mutex
	db      store
	watches map[string]map[*client]int // how often a client watches a path
	clients map[*client]struct{}
	peer    *peer // nil while there is none
}

// New makes a daemon that has no entries.
func New(cfg Config) *Server {
	if cfg.Stall == 0 {
		cfg.Stall = defaultStall
	}
	if cfg.Pause == 0 {
		cfg.Pause = defaultPause
	}
	return &Server{cfg: cfg, synced: make(chan struct{}), watches: map[string]map[*client]int{}, clients: map[*client]struct{}{}}
}

// inVM reports which side this is.
func (s *Server) inVM() bool { return s.cfg.Name == "" }

// Run serves until ctx ends, whose error it does not return. Its files are removed then.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.wg.Wait()
	defer s.closeAll()
	defer cancel()
	socks, err := s.listen()
	if err != nil {
		return err
	}
	defer socks.remove()
	failed := make(chan error, 2)
	var offer vchan.Listener
	if s.cfg.Driver != nil && !s.inVM() {
		if offer, err = s.cfg.Driver.Listen(ctx, s.cfg.Remote, vchan.PortQubesDB); err != nil {
			return fmt.Errorf("offering the database to domain %d: %w", s.cfg.Remote, err)
		}
		defer func() { offer.Close() }()
	}
	s.wg.Go(func() { failed <- s.accept(ctx, socks.rw, false) })
	s.wg.Go(func() { failed <- s.accept(ctx, socks.ro, true) })
	if !s.inVM() {
		s.ready()
	}
	if s.cfg.Driver != nil {
		s.wg.Go(func() { s.keepLink(ctx, offer) })
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// ready lets clients be served.
func (s *Server) ready() {
	s.once.Do(func() {
		close(s.synced)
		if s.cfg.Ready != nil {
			s.cfg.Ready()
		}
	})
}

// closeAll ends the connections of clients; the link ends with its context.
func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.conn.Close()
	}
}

// changed tells those who watch path. The caller holds s.mu.
func (s *Server) changed(path string) {
	tell := func(watched string) {
		for c, n := range s.watches[watched] {
			if !c.out.put(message{typ: wire.RespWatch, path: path, times: n}) {
				c.cut("it does not read its watch events")
			}
		}
	}
	for i := range len(path) {
		if path[i] == '/' {
			tell(path[:i+1])
		}
	}
	if path != "" && path[len(path)-1] != '/' {
		tell(path)
	}
}

// forward sends a local change to the other side, if it has its copy. The caller holds s.mu.
func (s *Server) forward(t wire.Type, path, data string) {
	if p := s.peer; p != nil && p.synced {
		p.forward(t, path, data)
	}
}

// maxFor is what a change may fill, by its origin.
func (s *Server) maxFor(local bool) limit {
	if local == s.inVM() {
		return vmLimit
	}
	return dom0Limit
}
