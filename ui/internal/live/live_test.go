package live_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/ui/internal/live"
	"qubist/ui/internal/state"
	"qubist/ui/internal/uitest"
)

var quiet = slog.New(slog.DiscardHandler)

// source follows s until the test ends.
func source(t *testing.T, s *uitest.Server) *live.Source {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := adminclient.New(s.Socket)
	l := adminclient.Watch(ctx, c, quiet)
	t.Cleanup(func() { cancel(); l.Wait() })
	return live.NewSource(c, l)
}

// until waits for a picture that is good.
func until(t *testing.T, src *live.Source, good func(state.System) bool) state.System {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		if s := src.System(); good(s) {
			return s
		}
		select {
		case <-src.Changed():
		case <-limit:
			t.Fatalf("the picture stays %+v", src.System())
		}
	}
}

func TestSystem(t *testing.T) {
	srv := uitest.Serve(t, uitest.Typical())
	src := source(t, srv)
	s := until(t, src, func(s state.System) bool { q, ok := s.Find("work"); return ok && q.MemKiB > 0 })
	q, _ := s.Find("work")
	if q.Phase != state.Running || q.Label != (state.Label{Name: "blue", Color: 0x3465a4}) || q.Template != "debian-12" || q.NetVM != "sys-firewall" || q.CPU != 11 || q.Prop("memory") != "2048" {
		t.Errorf("work is %+v", q)
	}
	if len(q.Tags) != 2 || len(q.Features) != 2 || s.Global("default_dispvm") != "default-dvm" || s.Status["accel"] != "tcg" {
		t.Errorf("system %+v", s)
	}
	if err := src.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	srv.Close()
	until(t, src, func(s state.System) bool { return !s.Connected && s.Ever && s.Why != "" })
}

// Whatever a server says in a property, feature or tag arrives as printable ASCII.
func TestTextIsCleaned(t *testing.T) {
	vms := uitest.Typical()
	bad := "a\x1b]0;x\x07\u202e\u009b2J中"
	vms["work"].Features = map[string]string{"title": bad}
	vms["work"].Own["kernelopts"] = adminapi.Property{Type: "str", Value: bad}
	src := source(t, uitest.Serve(t, vms))
	s := until(t, src, func(s state.System) bool { _, ok := s.Find("work"); return ok && s.Connected })
	q, _ := s.Find("work")
	for _, text := range []string{q.Features[0].Value, q.Prop("kernelopts")} {
		if !strings.HasPrefix(text, "a_]0;x_") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q became %q", bad, text)
		}
	}
}

func TestQuestionsFollowTheAgent(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	numbers := make(chan int)
	first := true
	watch := func(context.Context, string) (<-chan int, error) {
		if first {
			first = false
			return numbers, nil
		}
		return nil, errors.New("gone")
	}
	q := live.NewQuestions(ctx, "", watch, quiet)
	defer q.Wait()
	defer cancel()
	for _, n := range []int{2, 1} {
		numbers <- n
		<-q.Changed()
		if q.Open() != n {
			t.Errorf("%d open, want %d", q.Open(), n)
		}
	}
	close(numbers)
	<-q.Changed()
	if q.Open() != 0 {
		t.Errorf("%d open after the agent's end", q.Open())
	}
}
