package prompt_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"qubist/core/prompt"
	"qubist/core/prompt/wire"
)

const timeout = 60 * time.Second

type result struct {
	answer prompt.Answer
	err    error
}

func question(source, service string) prompt.Question {
	return prompt.Question{Source: prompt.Party{Name: source}, Service: service, Argument: "+", Targets: []prompt.Party{{Name: "vault"}}}
}

// ask puts a question and delivers its end.
func ask(ctx context.Context, q *prompt.Queue, question prompt.Question) <-chan result {
	c := make(chan result, 1)
	go func() {
		a, err := q.Ask(ctx, question)
		c <- result{a, err}
	}()
	synctest.Wait()
	return c
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := prompt.NewQueue(timeout)
		for i := range 4 {
			ask(t.Context(), q, question("loud", fmt.Sprint("a", i)))
		}
		ask(t.Context(), q, question("quiet", "b"))
		ask(t.Context(), q, question("shy", "c"))
		s := q.Attach()
		if q.Attach() != nil {
			t.Error("two screens at once")
		}
		var order []string
		for {
			cur, waiting, _ := s.Current()
			if cur == nil {
				break
			}
			if want := 6 - len(order); waiting != want {
				t.Errorf("%d waiting, want %d", waiting, want)
			}
			order = append(order, cur.Service)
			s.Answer(cur.ID, prompt.Answer{})
		}
		if got := fmt.Sprint(order); got != "[a0 b c a1 a2 a3]" {
			t.Errorf("order %s", got)
		}
		synctest.Wait()
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := prompt.NewQueue(timeout)
		for i := range prompt.MaxPerSource {
			ask(t.Context(), q, question("loud", fmt.Sprint(i)))
		}
		s := q.Attach()
		s.Current() // the shown one counts as well
		if _, err := q.Ask(t.Context(), question("loud", "one more")); !errors.Is(err, prompt.ErrFull) {
			t.Errorf("question %d of one source: %v", prompt.MaxPerSource+1, err)
		}
		other := ask(t.Context(), q, question("other", "x"))
		select {
		case r := <-other:
			t.Errorf("another source's question ended: %+v", r)
		default:
		}
		for i := prompt.MaxPerSource + 1; i < prompt.MaxWaiting; i++ {
			ask(t.Context(), q, question(fmt.Sprint("q", i), "x"))
		}
		if _, err := q.Ask(t.Context(), question("late", "x")); !errors.Is(err, prompt.ErrFull) {
			t.Errorf("question %d: %v", prompt.MaxWaiting+1, err)
		}
		time.Sleep(2*timeout + time.Second)
		if n := q.State().Waiting; n != 0 {
			t.Errorf("%d questions outlived their time", n)
		}
	})
}

func TestEnds(t *testing.T) {
	offered := prompt.Answer{Allow: true, Target: "vault"}
	for _, tc := range []struct {
		name string
		do   func(s *prompt.Screen, id uint64, cancel func())
		want result
	}{
		{"allow", func(s *prompt.Screen, id uint64, _ func()) { s.Answer(id, offered) }, result{answer: offered}},
		{"deny", func(s *prompt.Screen, id uint64, _ func()) { s.Answer(id, prompt.Answer{}) }, result{}},
		{"target not offered", func(s *prompt.Screen, id uint64, _ func()) { s.Answer(id, prompt.Answer{Allow: true, Target: "dom0"}) }, result{err: prompt.ErrLost}},
		{"other id", func(s *prompt.Screen, id uint64, _ func()) { s.Answer(id+1, offered) }, result{err: prompt.ErrTimeout}},
		{"detached", func(s *prompt.Screen, _ uint64, _ func()) { s.Detach() }, result{err: prompt.ErrLost}},
		{"answer after detaching", func(s *prompt.Screen, id uint64, _ func()) { s.Detach(); s.Answer(id, offered) }, result{err: prompt.ErrLost}},
		{"withdrawn", func(_ *prompt.Screen, _ uint64, cancel func()) { cancel() }, result{err: context.Canceled}},
		{"nothing", func(*prompt.Screen, uint64, func()) {}, result{err: prompt.ErrTimeout}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := prompt.NewQueue(timeout)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				end := ask(ctx, q, question("work", "x"))
				s := q.Attach()
				cur, _, _ := s.Current()
				tc.do(s, cur.ID, cancel)
				if got := <-end; got.answer != tc.want.answer || !errors.Is(got.err, tc.want.err) {
					t.Errorf("got %+v, want %+v", got, tc.want)
				}
				if n := q.State().Waiting; n != 0 {
					t.Errorf("%d still waiting", n)
				}
			})
		})
	}
}

// TestTime: a question has its time from when it is shown, and waits as long at most.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := prompt.NewQueue(timeout)
		first, second := ask(t.Context(), q, question("work", "x")), ask(t.Context(), q, question("work", "y"))
		start := time.Now()
		time.Sleep(timeout - time.Second)
		s := q.Attach()
		if cur, _, _ := s.Current(); cur == nil || cur.Remaining != timeout {
			t.Fatalf("shown: %+v", cur)
		}
		if r := <-second; !errors.Is(r.err, prompt.ErrTimeout) || time.Since(start) != timeout {
			t.Errorf("never shown: %+v after %v", r, time.Since(start))
		}
		if r := <-first; !errors.Is(r.err, prompt.ErrTimeout) || time.Since(start) != 2*timeout-time.Second {
			t.Errorf("shown late: %+v after %v", r, time.Since(start))
		}
	})
}

// TestEqualQuestions: a denial holds for equal questions behind, a grant for one call only.
func TestEqualQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := prompt.NewQueue(timeout)
		var ends []<-chan result
		for range 3 {
			ends = append(ends, ask(t.Context(), q, question("work", "x")))
		}
		different := ask(t.Context(), q, question("work", "y"))
		s := q.Attach()
		cur, _, _ := s.Current()
		if cur.Same != 2 {
			t.Errorf("%d equal ones, want 2", cur.Same)
		}
		s.Answer(cur.ID, prompt.Answer{Allow: true, Target: "vault"})
		if r := <-ends[0]; !r.answer.Allow {
			t.Errorf("first: %+v", r)
		}
		cur, waiting, _ := s.Current()
		if waiting != 3 {
			t.Errorf("%d waiting after one grant, want 3", waiting)
		}
		s.Answer(cur.ID, prompt.Answer{})
		for _, end := range ends[1:] {
			if r := <-end; r.answer.Allow || r.err != nil {
				t.Errorf("equal one: %+v", r)
			}
		}
		cur, _, _ = s.Current()
		if cur == nil || cur.Service != "y" {
			t.Fatalf("the different question is gone: %+v", cur)
		}
		s.Answer(cur.ID, prompt.Answer{Allow: true, Target: "vault"})
		if r := <-different; !r.answer.Allow {
			t.Errorf("different one: %+v", r)
		}
	})
}

func TestFromAsk(t *testing.T) {
	q := prompt.FromAsk(wire.Ask{
		Source: "work", Service: "x", Argument: "+", Targets: []string{"vault", "@dispvm:dvm", "odd"}, DefaultTarget: "foreign",
		Icons: map[string]string{"work": "appvm-blue", "vault": "black", "@dispvm:dvm": "dispvm-red", "odd": "appvm-0x123456"},
	})
	want := []prompt.Party{{Name: "@dispvm:dvm", Label: "red", Color: 0xcc0000}, {Name: "odd"}, {Name: "vault", Label: "black"}}
	if q.Source != (prompt.Party{Name: "work", Label: "blue", Color: 0x3465a4}) || fmt.Sprint(q.Targets) != fmt.Sprint(want) || q.DefaultTarget != "" {
		t.Errorf("got %+v", q)
	}
}
