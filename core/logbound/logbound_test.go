package logbound_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qubist/core/logbound"
)

func TestLinesAreBounded(t *testing.T) {
	var out bytes.Buffer
	h := logbound.New(slog.NewTextHandler(&out, nil))
	derived := h.WithAttrs([]slog.Attr{slog.String("vm", strings.Repeat("v", 2000))}).WithGroup("g")
	now := time.Unix(1000, 0)
	say := func(h slog.Handler, at time.Time) {
		r := slog.NewRecord(at, slog.LevelInfo, strings.Repeat("m", 3000), 0)
		r.AddAttrs(slog.String("a", strings.Repeat("é", 3000)), slog.Any("err", errors.New(strings.Repeat("e", 3000))), slog.Int("n", 5))
		if err := h.Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for range logbound.Burst {
		say(h, now)
		say(derived, now)
	}
	if n := strings.Count(out.String(), "\n"); n != logbound.Burst {
		t.Errorf("%d lines at once, want %d", n, logbound.Burst)
	}
	if most := 5 * logbound.MaxValue * logbound.Burst; out.Len() > most {
		t.Errorf("%d bytes, want %d at most", out.Len(), most)
	}
	out.Reset()
	say(h, now.Add(logbound.Pause))
	say(h, now.Add(logbound.Pause))
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "omitted=200") || !strings.Contains(got, "n=5") {
		t.Errorf("after a pause: %q", got)
	}
	out.Reset()
	for range 2 * logbound.Burst {
		say(h, now.Add(1000*time.Hour))
	}
	if n := strings.Count(out.String(), "\n"); n != logbound.Burst {
		t.Errorf("%d lines after a long pause", n)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, size := range []int64{0, logbound.MaxFile, logbound.MaxFile + 1} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		f, err := logbound.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		st, err := os.Stat(path)
		if err != nil || (st.Size() == 0) != (size == 0 || size > logbound.MaxFile) {
			t.Errorf("%d bytes became %d, %v", size, st.Size(), err)
		}
	}
	if st, err := os.Stat(path + ".old"); err != nil || st.Size() != logbound.MaxFile+1 {
		t.Errorf("the old log: %v", err)
	}
	if err := os.Symlink(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if _, err := logbound.Open(path + "2"); err == nil {
		t.Error("a link was followed")
	}
}
