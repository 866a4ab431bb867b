package life

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

const (
	// maxQueue bounds what a slow subscriber may have waiting, in bytes.
	maxQueue = 4 << 20
	// flushWait bounds how long a call waits for its events to reach the subscribers.
	flushWait = 100 * time.Millisecond
)

// errSlow ends a subscription whose reader does not keep up.
var errSlow = errors.New("subscriber too slow")

// bus carries events to subscriptions.
type bus struct {
	mu   sync.Mutex
	subs map[*Subscription]struct{}
}

// Subscription is one listener. Events are queued as bytes, in order; with a judge they
// wait in judged until it was asked, which Copy does.
type Subscription struct {
	bus    *bus
	wants  func(adminapi.Event) bool
	judge  func(context.Context, adminapi.Event) bool
	mu     sync.Mutex
	cond   *sync.Cond
	queue  []byte
	judged []adminapi.Event
	weight int    // bytes of what is in judged
	queued uint64 // bytes ever queued
	sent   uint64 // bytes ever written
	err    error
}

func newBus() *bus { return &bus{subs: map[*Subscription]struct{}{}} }

func (b *bus) subscribe(wants func(adminapi.Event) bool, judge func(context.Context, adminapi.Event) bool) *Subscription {
	s := &Subscription{bus: b, wants: wants, judge: judge}
	s.cond = sync.NewCond(&s.mu)
	s.put(adminapi.Event{Name: adminapi.Connected})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[s] = struct{}{}
	return s
}

func (b *bus) emit(e adminapi.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		if s.wants(e) {
			s.put(e)
		}
	}
}

// flush waits until the subscribers have what was emitted before, but not long.
func (b *bus) flush() {
	b.mu.Lock()
	subs := make([]*Subscription, 0, len(b.subs))
	for s := range b.subs {
		if s.judge == nil { // nobody waits for policy
			subs = append(subs, s)
		}
	}
	b.mu.Unlock()
	if len(subs) == 0 {
		return
	}
	deadline := time.Now().Add(flushWait)
	for _, s := range subs {
		s.waitSent(deadline)
	}
}

func (s *Subscription) put(e adminapi.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if s.judge != nil {
		s.judged = append(s.judged, e)
		if s.weight += weight(e); s.weight > maxQueue {
			s.err, s.judged = errSlow, nil
		}
		s.cond.Broadcast()
		return
	}
	s.encode(e)
}

// weight is about what an event occupies, in bytes.
func weight(e adminapi.Event) int {
	n := 64 + len(e.Subject) + len(e.Name)
	for _, a := range e.Args {
		n += 32 + len(a.Key) + len(a.Value)
	}
	return n
}

// encode queues an event for writing. The caller holds the lock.
func (s *Subscription) encode(e adminapi.Event) {
	q, err := e.Append(s.queue)
	if err != nil {
		return // no event of ours holds a NUL
	}
	s.queued += uint64(len(q) - len(s.queue))
	s.queue = q
	if len(q) > maxQueue {
		s.err, s.queue = errSlow, nil
	}
	s.cond.Broadcast()
}

func (s *Subscription) waitSent(deadline time.Time) {
	t := time.AfterFunc(time.Until(deadline), func() { s.cond.Broadcast() })
	defer t.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.queued
	for s.sent < want && s.err == nil && time.Now().Before(deadline) {
		s.cond.Wait()
	}
}

// Fail ends the stream with an exception frame after what is queued.
func (s *Subscription) Fail(e *adminapi.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		before := len(s.queue)
		s.queue = e.Append(s.queue)
		s.queued += uint64(len(s.queue) - before)
		s.err = io.EOF
	}
	s.cond.Broadcast()
}

// Copy writes events to w until ctx ends, w fails or the stream is over.
func (s *Subscription) Copy(ctx context.Context, w io.Writer) error {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = ctx.Err()
		}
		s.cond.Broadcast()
	})()
	defer s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 && len(s.judged) == 0 && s.err == nil {
			s.cond.Wait()
		}
		if len(s.judged) > 0 && s.err == nil {
			e := s.judged[0]
			s.judged = s.judged[1:]
			s.weight -= weight(e)
			s.mu.Unlock()
			ok := s.judge(ctx, e)
			s.mu.Lock()
			if ok && s.err == nil {
				s.encode(e)
			}
		}
		if len(s.queue) == 0 && s.err == nil {
			continue
		}
		if len(s.queue) == 0 {
			return s.err
		}
		out := s.queue
		s.queue = nil
		s.mu.Unlock()
		_, err := w.Write(out)
		s.mu.Lock()
		s.sent += uint64(len(out))
		if err != nil && s.err == nil {
			s.err = err
		}
		s.cond.Broadcast()
		if err != nil {
			return err
		}
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.bus.mu.Lock()
	delete(s.bus.subs, s)
	s.bus.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = io.EOF
	}
	s.queue, s.judged = nil, nil
	s.cond.Broadcast()
}

// Subscribe listens to events about dest; dom0 means all qubes and the system. Allowed may
// drop single events and take its time; nil allows all.
func (s *System) Subscribe(dest qube.Name, allowed func(context.Context, adminapi.Event) bool) *Subscription {
	return s.bus.subscribe(func(e adminapi.Event) bool {
		switch {
		case dest != qube.Dom0 && e.Subject != string(dest):
			return false
		case dest == qube.Dom0 && e.Name == "domain-remove-from-disk":
			return false // the stream lets go of a qube when it is deleted
		}
		return true
	}, allowed)
}
