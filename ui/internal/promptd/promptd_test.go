package promptd_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qubist/core/prompt"
	"qubist/core/prompt/wire"
	"qubist/ui/internal/promptd"
)

const header = "policy.Ask dom0 name dom0\x00"

const ask = header + `{"source":"work","service":"x.Y","argument":"+","targets":["vault","personal"],"default_target":"","icons":{"work":"appvm-blue"},"rule":"/a.policy:1"}`

// rig is a running agent.
type rig struct {
	dir  string
	logs strings.Builder
	stop func() error
}

func start(t *testing.T, cfg promptd.Config) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir()}
	cfg.Log = slog.New(slog.NewTextHandler(&r.logs, nil))
	agent, err := promptd.Listen(r.agent())
	if err != nil {
		t.Fatal(err)
	}
	screens, err := promptd.Listen(r.prompt())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- promptd.New(cfg).Serve(ctx, agent, screens) }()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			t.Error("the agent does not end")
			return nil
		}
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) agent() string  { return filepath.Join(r.dir, "agent.sock") }
func (r *rig) prompt() string { return filepath.Join(r.dir, "prompt.sock") }

// dial sends a request and half-closes.
func (r *rig) dial(t *testing.T, request string, halfClose bool) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.agent(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if halfClose {
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

func answer(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func attach(t *testing.T, r *rig) *prompt.FrontEnd {
	t.Helper()
	f, err := prompt.Attach(t.Context(), r.prompt())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// question waits for the next question at a front end.
func question(t *testing.T, f *prompt.FrontEnd) wire.Question {
	t.Helper()
	for {
		u, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if u.Question != nil {
			return *u.Question
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name string
		line string // what the front end sends, %ID replaced
		want string
	}{
		{"deny", `{"id":ID,"allow":false}`, "deny"},
		{"allow", `{"id":ID,"allow":true,"target":"vault"}`, "allow:vault"},
		{"not offered", `{"id":ID,"allow":true,"target":"dom0"}`, ""},
		{"allow nothing", `{"id":ID,"allow":true}`, ""},
		{"garbage", "allow:vault", ""},
		{"unknown key", `{"id":ID,"allow":true,"target":"vault","really":true}`, ""},
		{"two values", `{"id":ID,"allow":true,"target":"vault"}{}`, ""},
		{"a string for a bool", `{"id":ID,"allow":"true","target":"vault"}`, ""},
		{"other id, then silence", `{"id":99,"allow":true,"target":"vault"}`, "deny"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, promptd.Config{Timeout: 700 * time.Millisecond})
			conn := r.dial(t, ask, true)
			f, err := net.Dial("unix", r.prompt())
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := io.WriteString(f, `{"role":"attach"}`+"\n"); err != nil {
				t.Fatal(err)
			}
			lines := prompt.NewLines(f)
			var q *wire.Question
			for q == nil {
				line, err := lines.Next()
				if err != nil {
					t.Fatal(err)
				}
				u, err := wire.ParseUpdate(line)
				if err != nil {
					t.Fatal(err)
				}
				q = u.Question
			}
			if q.ID != 1 || q.Source.Label != "blue" || q.Rule != "/a.policy:1" {
				t.Errorf("question %+v", q)
			}
			if _, err := io.WriteString(f, strings.ReplaceAll(tc.line, "ID", "1")+"\n"); err != nil {
				t.Fatal(err)
			}
			if got := answer(t, conn); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestFrontEndLost(t *testing.T) {
	r := start(t, promptd.Config{Timeout: time.Minute})
	first, second := r.dial(t, ask, true), r.dial(t, strings.Replace(ask, "x.Y", "x.Z", 1), true)
	f := attach(t, r)
	q := question(t, f)
	if f2 := attach(t, r); f2 != nil {
		if _, err := f2.Next(); err == nil || !strings.Contains(err.Error(), prompt.ErrBusy.Error()) {
			t.Errorf("second front end: %v", err)
		}
	}
	f.Close()
	lost, other := first, second
	if q.Service == "x.Z" {
		lost, other = second, first
	}
	if got := answer(t, lost); got != "" {
		t.Errorf("lost question answered %q", got)
	}
	f = attach(t, r)
	q = question(t, f)
	if err := f.Reply(wire.Reply{ID: q.ID, Allow: true, Target: "vault"}); err != nil {
		t.Fatal(err)
	}
	if got := answer(t, other); got != "allow:vault" {
		t.Errorf("the other question: %q", got)
	}
}

func TestWithdrawnAndEnd(t *testing.T) {
	r := start(t, promptd.Config{Timeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	numbers, err := prompt.Watch(ctx, r.prompt())
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want int) {
		t.Helper()
		for n := range numbers {
			if n == want {
				return
			}
		}
		t.Fatalf("the watch ended before it said %d", want)
	}
	expect(0)
	first := r.dial(t, ask, true)
	expect(1)
	first.Close() // the caller went away
	expect(0)
	second := r.dial(t, ask, true)
	expect(1)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if got := answer(t, second); strings.HasPrefix(got, "allow") {
		t.Errorf("after the end: %q", got)
	}
	for range numbers { //nolint:revive // the channel must close
	}
	for _, s := range []string{r.agent(), r.prompt()} {
		if _, err := os.Stat(s); err == nil {
			t.Errorf("%s is left", s)
		}
	}
}

// TestOpen: a window is opened for a question nobody shows, at once or after the grace
// time of a watcher that does not attach, and not while a front end is attached.
func TestOpen(t *testing.T) {
	for _, tc := range []struct {
		name            string
		watch, attached bool
		opens           bool
	}{
		{"nobody", false, false, true},
		{"idle watcher", true, false, true},
		{"attached", false, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			opened := make(chan time.Time, 10)
			r := start(t, promptd.Config{Timeout: 1500 * time.Millisecond, Grace: 300 * time.Millisecond, Open: func(context.Context) error {
				opened <- time.Now()
				return nil
			}})
			if tc.watch {
				numbers, err := prompt.Watch(t.Context(), r.prompt())
				if err != nil {
					t.Fatal(err)
				}
				<-numbers // it counts as watching now
			}
			if tc.attached {
				f := attach(t, r)
				if _, err := f.Next(); err != nil { // it counts as attached now
					t.Fatal(err)
				}
			}
			asked := time.Now()
			if got := answer(t, r.dial(t, ask, true)); got != "deny" {
				t.Errorf("got %q", got)
			}
			select {
			case at := <-opened:
				if !tc.opens {
					t.Error("opened a window")
				}
				if tc.watch && at.Sub(asked) < 300*time.Millisecond {
					t.Errorf("gave the watcher only %v", at.Sub(asked))
				}
			default:
				if tc.opens {
					t.Error("opened no window")
				}
			}
		})
	}
}

func TestSocketModes(t *testing.T) {
	r := start(t, promptd.Config{Timeout: time.Second})
	for _, s := range []string{r.agent(), r.prompt()} {
		info, err := os.Stat(s)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", s, info.Mode(), err)
		}
		if l, err := promptd.Listen(s); err == nil {
			l.Close()
			t.Errorf("took over %s from a living agent", s)
		}
	}
}
