package life

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/launch"
	"qubist/core/qube"
	"qubist/core/qubesdb"
)

const (
	// databaseWait bounds one update of a qube's database.
	databaseWait = 10 * time.Second
	// reconnectPause is between attempts to reach a database daemon that is starting again.
	reconnectPause = 250 * time.Millisecond
	// seedSize is how much randomness a qube gets at its start, in bytes.
	seedSize = 64
)

func (s *System) qubesdbd(p *plan) launch.Daemon {
	return launch.Daemon{Program: "qubesdb-daemon", XID: p.spec.XID, Name: p.name, Args: []string{strconv.Itoa(int(p.spec.XID)), string(p.name)}}
}

// makeDatabase gives a qube that is starting its QubesDB, with all that dom0 tells it.
func (s *System) makeDatabase(ctx context.Context, p *plan) error {
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	if err := s.Daemons.Start(ctx, s.qubesdbd(p)); err != nil {
		return fmt.Errorf("starting the qube's database: %w", err)
	}
	if s.Database != nil {
		k := &keeper{s: s, name: p.name, xid: p.spec.XID, db: s.Database(p.name)}
		if err := k.update(ctx); err != nil {
			return fmt.Errorf("filling the qube's database: %w", err)
		}
		s.keepDatabase(k)
	}
	s.fire(p.name, "domain-qdb-create")
	return nil
}

// adoptDatabase goes on keeping the database of a qube that runs already.
func (s *System) adoptDatabase(p *plan) error {
	if err := s.Daemons.Start(s.ctx, s.qubesdbd(p)); err != nil {
		return err
	}
	if s.Database != nil {
		s.keepDatabase(&keeper{s: s, name: p.name, xid: p.spec.XID, db: s.Database(p.name)})
	}
	return nil
}

// keeper keeps what dom0 says in one qube's database true as long as the qube runs: it
// follows features and properties, and fills the database again after its daemon was.
type keeper struct {
	s       *System
	name    qube.Name
	xid     qube.DomID
	db      *qubesdb.Client
	written map[string]string // what follows features and properties, as written last
}

// keepDatabase starts a keeper.
func (s *System) keepDatabase(k *keeper) {
	wake := make(chan struct{}, 1)
	s.mu.Lock()
	g := s.guest(k.name)
	gone := g.gone
	g.database = wake
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(s.ctx)
	s.goes(func() {
		defer cancel()
		select {
		case <-gone:
		case <-ctx.Done():
		}
	})
	s.goes(func() { s.followDaemon(ctx, k.name, wake) })
	s.goes(func() {
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			}
			uctx, done := context.WithTimeout(ctx, databaseWait)
			if err := k.update(uctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("updating a qube's database", "qube", k.name, "err", err)
			}
			done()
		}
	})
}

// followDaemon wakes the keeper whenever the daemon can be reached anew.
func (s *System) followDaemon(ctx context.Context, n qube.Name, wake chan<- struct{}) {
	db := s.Database(n)
	defer db.Close()
	for ctx.Err() == nil {
		if db.Connect(ctx) == nil {
			poke(wake)
			_, _ = db.Next(ctx) // without a watch it returns when the connection ends
		}
		t := time.NewTimer(reconnectPause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// update writes what is not there yet.
func (k *keeper) update(ctx context.Context) error {
	defer k.db.Close() // the daemon may be another one the next time
	switch _, err := k.db.Read(ctx, "/name"); {
	case errors.Is(err, qubesdb.ErrNotExist):
		if err := k.fill(ctx); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	live, err := k.entries((*domain.Model).LiveDatabase)
	if err != nil {
		return err
	}
	return k.follow(ctx, live)
}

// entries asks the model.
func (k *keeper) entries(of func(*domain.Model, *domain.VM) []domain.KV) (out []domain.KV, err error) {
	err = k.s.Read(func(m *domain.Model) error {
		vm := m.VM(k.name)
		if vm == nil || vm.Run.XID != k.xid {
			return domain.NotFound(string(k.name))
		}
		out = of(m, vm)
		return nil
	})
	return out, err
}

// fill writes everything into an empty database.
func (k *keeper) fill(ctx context.Context) error {
	all, err := k.entries((*domain.Model).Database)
	if err != nil {
		return err
	}
	seed := make([]byte, seedSize)
	_, _ = rand.Read(seed) // it never fails
	all = append(all, domain.KV{Key: domain.SeedKey, Value: base64.StdEncoding.EncodeToString(seed)})
	// The name comes last: as long as it is missing, the database is not complete.
	for _, e := range append(all[1:], all[0]) {
		if err := k.db.Write(ctx, e.Key, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// follow writes the entries that changed and removes those that are no more.
func (k *keeper) follow(ctx context.Context, live []domain.KV) error {
	now := map[string]string{}
	for _, e := range live {
		now[e.Key] = e.Value // the later counts
	}
	for key, value := range now {
		if old, ok := k.written[key]; ok && old == value {
			continue
		}
		if there, err := k.db.Read(ctx, key); err == nil && there == value {
			continue
		} else if err != nil && !errors.Is(err, qubesdb.ErrNotExist) {
			return err
		}
		if err := k.db.Write(ctx, key, value); err != nil {
			return err
		}
	}
	for key := range k.written {
		if _, ok := now[key]; ok {
			continue
		}
		if err := k.db.Remove(ctx, key); err != nil {
			return err
		}
	}
	k.written = now
	return nil
}

// databaseProperties are those that LiveDatabase looks at.
var databaseProperties = []string{"maxmem", "keyboard_layout", "guivm", "default_guivm", "audiovm", "default_audiovm", "relayvm", "remote_name"}

// emit carries an event to listeners, and wakes the keepers of the databases it may change.
// The caller holds s.mu for writing.
func (s *System) emit(e adminapi.Event) {
	s.bus.emit(e)
	kind, what, _ := strings.Cut(e.Name, ":")
	concerns := func(*domain.VM) bool { return true }
	switch kind {
	case "domain-feature-set", "domain-feature-delete":
		concerns = func(vm *domain.VM) bool { return string(vm.Name) == e.Subject }
	case "domain-start", "domain-shutdown":
		server := s.m.VM(qube.Name(e.Subject))
		concerns = func(vm *domain.VM) bool {
			return server != nil && (s.m.Ref(vm, "guivm") == server || s.m.Ref(vm, "audiovm") == server)
		}
	case "property-set", "property-reset", "property-del":
		if !slices.Contains(databaseProperties, what) {
			return
		}
	default:
		return
	}
	for n, g := range s.guests {
		if vm := s.m.VM(n); g.database != nil && vm != nil && concerns(vm) {
			poke(g.database)
		}
	}
}
