// Package logbound keeps logs from growing as fast as a qube likes: a handler for log/slog
// that writes a bounded number of lines, each of bounded length, and tells how many it left
// out. It does not judge what a line says, and it does not make text fit for a terminal:
// core/safetext does.
package logbound

import (
	"context"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// Burst is how many lines may come at once, Pause the time after which one more may.
	Burst = 200
	Pause = 10 * time.Second
	// MaxValue is the length in bytes at which a text in a line is cut.
	MaxValue = 512
)

// Bucket counts lines. The zero value is full. Use it from any number of goroutines.
type Bucket struct {
	mu      sync.Mutex
	begun   bool
	left    int
	since   time.Time // when left was last added to
	omitted int
}

// Take reports whether a line may be written at a time, and with it how many could not since
// the last one that was.
func (b *Bucket) Take(now time.Time) (ok bool, omitted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.begun {
		b.begun, b.left, b.since = true, Burst, now
	}
	if more := now.Sub(b.since) / Pause; more > 0 {
		b.left = int(min(Burst, time.Duration(b.left)+more))
		b.since = b.since.Add(more * Pause)
	}
	if b.left == 0 {
		b.omitted++
		return false, 0
	}
	b.left--
	omitted, b.omitted = b.omitted, 0
	return true, omitted
}

// Handler passes on to another handler what a bucket allows.
type Handler struct {
	next   slog.Handler
	bucket *Bucket
}

// New bounds next, together with all handlers derived from the result.
func New(next slog.Handler) *Handler { return &Handler{next, &Bucket{}} }

// Enabled is next's.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle writes the line or counts it.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	ok, omitted := h.bucket.Take(r.Time)
	if !ok {
		return nil
	}
	line := slog.NewRecord(r.Time, r.Level, cut(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool { line.AddAttrs(short(a)); return true })
	if omitted > 0 {
		line.AddAttrs(slog.Int("omitted", omitted))
	}
	return h.next.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(as []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(as))
	for i, a := range as {
		out[i] = short(a)
	}
	return &Handler{h.next.WithAttrs(out), h.bucket}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.next.WithGroup(name), h.bucket}
}

// short cuts an attribute's text.
func short(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, cut(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return slog.String(a.Key, cut(err.Error()))
		}
	}
	return a
}

func cut(s string) string {
	if len(s) <= MaxValue {
		return s
	}
	end := MaxValue
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}
