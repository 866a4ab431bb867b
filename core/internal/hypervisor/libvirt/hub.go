package libvirt

import (
	"context"
	"sync"

	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
)

// hub hands events to any number of readers. What a slow reader has not taken yet is kept
// as one event per domain, the latest.
type hub struct {
	mu   sync.Mutex
	subs map[*subscription]bool
	done chan struct{} // closed by close
	wg   sync.WaitGroup
}

type subscription struct {
	pending map[qube.DomID]hypervisor.Event
	order   []qube.DomID
	wake    chan struct{} // capacity 1
}

func newHub() *hub { return &hub{subs: map[*subscription]bool{}, done: make(chan struct{})} }

// close ends all subscriptions and waits for them. publish may still be called.
func (h *hub) close() {
	h.mu.Lock()
	close(h.done)
	h.mu.Unlock()
	h.wg.Wait()
}

func (h *hub) publish(e hypervisor.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		old, waiting := s.pending[e.XID]
		if !waiting {
			s.order = append(s.order, e.XID)
		}
		s.pending[e.XID] = merge(old, e)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// merge gives the one event that says what old and e say together.
func merge(old, e hypervisor.Event) hypervisor.Event {
	if gone(old.State) {
		return old // nothing comes after the end
	}
	e.Rebooted = (e.Rebooted || old.Rebooted) && !gone(e.State)
	return e
}

func gone(s qube.State) bool { return s == qube.Halted || s == qube.Crashed }

// take removes the oldest pending event.
func (h *hub) take(s *subscription) (hypervisor.Event, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(s.order) == 0 {
		return hypervisor.Event{}, false
	}
	xid := s.order[0]
	s.order = s.order[1:]
	e := s.pending[xid]
	delete(s.pending, xid)
	return e, true
}

// subscribe returns a channel that is closed when ctx or the hub ends.
func (h *hub) subscribe(ctx context.Context) <-chan hypervisor.Event {
	s := &subscription{pending: map[qube.DomID]hypervisor.Event{}, wake: make(chan struct{}, 1)}
	out := make(chan hypervisor.Event)
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.done:
		close(out)
		return out
	default:
	}
	h.subs[s] = true
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		defer close(out)
		h.pump(ctx, s, out)
		h.mu.Lock()
		delete(h.subs, s)
		h.mu.Unlock()
	}()
	return out
}

func (h *hub) pump(ctx context.Context, s *subscription, out chan<- hypervisor.Event) {
	for {
		for e, ok := h.take(s); ok; e, ok = h.take(s) {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			case <-h.done:
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-h.done:
			return
		case <-s.wake:
		}
	}
}
