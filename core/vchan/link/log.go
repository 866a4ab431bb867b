package link

import (
	"log/slog"
	"sync"
	"time"
)

// logBurst is how many lines a link writes in logPeriod: what happens often happens
// because a VM wants it to.
const (
	logBurst  = 20
	logPeriod = time.Minute
)

// limitedLog writes a bounded number of lines and says how many it left out.
type limitedLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	since   time.Time
	written int
	dropped int
}

func (l *limitedLog) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.since) >= logPeriod {
		if l.dropped > 0 {
			l.log.Warn("log lines left out", "count", l.dropped)
		}
		l.since, l.written, l.dropped = now, 0, 0
	}
	if l.written >= logBurst {
		l.dropped++
		return false
	}
	l.written++
	return true
}

func (l *limitedLog) info(msg string, args ...any) {
	if l.allow() {
		l.log.Info(msg, args...)
	}
}

func (l *limitedLog) warn(msg string, args ...any) {
	if l.allow() {
		l.log.Warn(msg, args...)
	}
}
