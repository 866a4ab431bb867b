package live

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// questionsRetry is the pause between attempts to reach the policy agent.
const questionsRetry = 2 * time.Second

// Watch opens the stream of the number of waiting questions (core/prompt.Watch): the present
// number first, closed when the agent goes away or ctx ends.
type Watch func(ctx context.Context, socket string) (<-chan int, error)

// Questions follows how many questions wait.
type Questions struct {
	open    atomic.Int64
	changed chan struct{}
	done    chan struct{}
}

// NewQuestions follows the agent at socket until ctx ends, also through its restarts.
func NewQuestions(ctx context.Context, socket string, watch Watch, log *slog.Logger) *Questions {
	q := &Questions{changed: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		for ctx.Err() == nil {
			q.follow(ctx, socket, watch, log)
			select {
			case <-ctx.Done():
			case <-time.After(questionsRetry):
			}
		}
	}()
	return q
}

func (q *Questions) follow(ctx context.Context, socket string, watch Watch, log *slog.Logger) {
	numbers, err := watch(ctx, socket)
	if err != nil {
		log.Debug("no policy agent", "err", err)
		return
	}
	for n := range numbers {
		q.set(n)
	}
	q.set(0)
}

func (q *Questions) set(n int) {
	if q.open.Swap(int64(n)) == int64(n) {
		return
	}
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// Open is how many questions wait now.
func (q *Questions) Open() int { return int(q.open.Load()) }

// Changed receives after one or more changes of Open.
func (q *Questions) Changed() <-chan struct{} { return q.changed }

// Wait returns when the context has ended and everything is closed.
func (q *Questions) Wait() { <-q.done }
