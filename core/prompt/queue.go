package prompt

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Limits of a Queue.
const (
	MaxPerSource = 10  // questions of one source, the shown one included
	MaxWaiting   = 256 // questions of all
)

// Errors of Ask. All of them deny.
var (
	ErrFull    = errors.New("too many questions are open")
	ErrTimeout = errors.New("the question was not answered in time")
	ErrLost    = errors.New("the front end failed while it showed the question")
)

// Queue holds open questions. Sources take turns, so that one that asks much does not keep
// others waiting; one question is shown at a time. Use it from any number of goroutines.
type Queue struct {
	timeout time.Duration

	mu      sync.Mutex
	nextID  uint64
	lanes   map[string][]*entry // by source, oldest first, without the shown one
	turns   []string            // sources with a lane, next one first
	shown   *entry
	screen  *Screen
	changed chan struct{} // closed at the next change
}

// entry is one open question.
type entry struct {
	question Question
	deadline time.Time
	shown    chan struct{} // closed when it comes on a screen
	done     chan struct{} // closed with the answer
	answer   Answer
	err      error
}

// NewQueue makes a queue. A question is denied when no screen shows it within timeout, and
// when it is shown for timeout without an answer.
func NewQueue(timeout time.Duration) *Queue {
	return &Queue{timeout: timeout, lanes: map[string][]*entry{}, changed: make(chan struct{})}
}

// Ask waits for the user's answer to one question. When ctx ends the question is withdrawn.
// Every error denies: ErrFull at once, ErrTimeout, ErrLost, or the context's.
func (q *Queue) Ask(ctx context.Context, question Question) (Answer, error) {
	e, err := q.put(question)
	if err != nil {
		return Answer{}, err
	}
	timer := time.NewTimer(q.timeout)
	defer timer.Stop()
	shown := e.shown
	for {
		select {
		case <-e.done:
			return e.answer, e.err
		case <-shown:
			shown = nil
			timer.Reset(q.timeout)
		case <-timer.C:
			q.finish(e, Answer{}, ErrTimeout)
		case <-ctx.Done():
			q.finish(e, Answer{}, ctx.Err())
		}
	}
}

func (q *Queue) put(question Question) (*entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	source := question.Source.Name
	mine := len(q.lanes[source])
	if q.shown != nil && q.shown.question.Source.Name == source {
		mine++
	}
	if mine >= MaxPerSource || q.waiting() >= MaxWaiting {
		return nil, ErrFull
	}
	q.nextID++
	question.ID = q.nextID
	e := &entry{question: question, shown: make(chan struct{}), done: make(chan struct{})}
	if len(q.lanes[source]) == 0 {
		q.turns = append(q.turns, source)
	}
	q.lanes[source] = append(q.lanes[source], e)
	q.change()
	return e, nil
}

// finish ends a question. It may be called more than once; the first call counts.
func (q *Queue) finish(e *entry, a Answer, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end(e, a, err)
}

// end is finish with q.mu held.
func (q *Queue) end(e *entry, a Answer, err error) {
	select {
	case <-e.done:
		return
	default:
	}
	e.answer, e.err = a, err
	close(e.done)
	source := e.question.Source.Name
	if q.shown == e {
		q.shown = nil
	} else {
		q.setLane(source, slices.DeleteFunc(q.lanes[source], func(x *entry) bool { return x == e }))
	}
	q.change()
}

// setLane replaces a source's waiting questions; an empty lane loses its turn.
func (q *Queue) setLane(source string, lane []*entry) {
	if len(lane) > 0 {
		q.lanes[source] = lane
		return
	}
	delete(q.lanes, source)
	q.turns = slices.DeleteFunc(q.turns, func(s string) bool { return s == source })
}

func (q *Queue) waiting() int {
	n := 0
	for _, lane := range q.lanes {
		n += len(lane)
	}
	if q.shown != nil {
		n++
	}
	return n
}

// change wakes all who wait for one. q.mu is held.
func (q *Queue) change() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// State is what outsiders may know of a queue.
type State struct {
	Waiting  int             // open questions, the shown one included
	Attached bool            // a screen is there
	Changed  <-chan struct{} // closed at the next change
}

// State returns the present state.
func (q *Queue) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return State{Waiting: q.waiting(), Attached: q.screen != nil, Changed: q.changed}
}

// Screen is the one place at a time where questions are shown.
type Screen struct{ q *Queue }

// Attach makes a screen, or returns nil while another is attached.
func (q *Queue) Attach() *Screen {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.screen != nil {
		return nil
	}
	q.screen = &Screen{q: q}
	q.change()
	return q.screen
}

// Current returns the question to show, taking the next one in turn when none is shown; nil
// when none is open. Waiting counts all open ones, changed closes when to call it again.
func (s *Screen) Current() (question *Question, waiting int, changed <-chan struct{}) {
	q := s.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shown == nil && len(q.turns) > 0 && q.screen == s {
		source := q.turns[0]
		lane := q.lanes[source]
		e := lane[0]
		q.turns = append(q.turns[1:], source)
		q.setLane(source, lane[1:])
		q.shown = e
		e.deadline = time.Now().Add(q.timeout)
		close(e.shown)
		q.change()
	}
	if q.shown != nil {
		copied := q.shown.question
		copied.Remaining = max(time.Until(q.shown.deadline), 0)
		copied.Same = q.same(q.shown)
		question = &copied
	}
	return question, q.waiting(), q.changed
}

// same counts the questions equal to e that wait behind it.
func (q *Queue) same(e *entry) int {
	n := 0
	for _, x := range q.lanes[e.question.Source.Name] {
		if Same(&x.question, &e.question) {
			n++
		}
	}
	return n
}

// Answer answers the shown question; an answer to another one is ignored, it came too late.
// Allowing allows this one call. Denying also denies the equal ones behind it: who repeats
// a question does not get to ask until the user is tired. A target that was not offered
// ends the question with ErrLost.
func (s *Screen) Answer(id uint64, a Answer) {
	q := s.q
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.shown
	if q.screen != s || e == nil || e.question.ID != id {
		return
	}
	if a.Allow {
		if !slices.ContainsFunc(e.question.Targets, func(p Party) bool { return p.Name == a.Target }) {
			q.end(e, Answer{}, ErrLost)
			return
		}
		q.end(e, a, nil)
		return
	}
	q.end(e, Answer{}, nil)
	for _, x := range slices.Clone(q.lanes[e.question.Source.Name]) {
		if Same(&x.question, &e.question) {
			q.end(x, Answer{}, nil)
		}
	}
}

// Detach removes the screen. A question it shows ends with ErrLost.
func (s *Screen) Detach() {
	q := s.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.screen != s {
		return
	}
	q.screen = nil
	if q.shown != nil {
		q.end(q.shown, Answer{}, ErrLost)
	}
	q.change()
}
