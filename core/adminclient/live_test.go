package adminclient_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/internal/admin"
	"qubist/core/internal/domain"
	"qubist/core/internal/lifetest"
	"qubist/core/qube"
)

// serve puts a system on a socket; the returned function ends it.
func serve(t *testing.T, path string, s *lifetest.System) func() {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	api := &admin.API{Sys: s.System, Log: slog.New(slog.DiscardHandler), Status: []domain.KV{{Key: "accel", Value: "TCG"}}, Allowed: func(context.Context, qube.Name, string, string, qube.Name) bool { return false }}
	go func() { done <- api.Serve(ctx, l, admin.AdminSet()) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		os.Remove(path)
	}
	t.Cleanup(stop)
	return stop
}

func system(t *testing.T) *lifetest.System {
	s := lifetest.New(t, lifetest.Options{})
	s.Add(t, domain.NewVM{Class: qube.TemplateVM, Name: "deb"}, "")
	s.Add(t, domain.NewVM{Class: qube.AppVM, Name: "work", Label: "blue"}, "deb")
	return s
}

func socket(t *testing.T) string {
	dir, err := os.MkdirTemp("", "qb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// until waits for a snapshot that satisfies ok.
func until(t *testing.T, l *adminclient.Live, what string, ok func(*adminclient.Snapshot) bool) *adminclient.Snapshot {
	t.Helper()
	end := time.After(10 * time.Second)
	for {
		s := l.Snapshot()
		if ok(s) {
			return s
		}
		select {
		case <-l.Changed():
		case <-end:
			t.Fatalf("waited in vain for %s; last: %+v", what, s)
		}
	}
}

func watch(t *testing.T, path string) (*adminclient.Live, *adminclient.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	c := adminclient.New(path)
	l := adminclient.Watch(ctx, c, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { cancel(); l.Wait() })
	return l, c
}

func TestLiveFollowsEvents(t *testing.T) {
	path := socket(t)
	serve(t, path, system(t))
	l, c := watch(t, path)
	ctx := t.Context()
	s := until(t, l, "a connection", func(s *adminclient.Snapshot) bool { return s.Connected })
	if len(s.VMs) != 3 || s.VMs[0].Name != "dom0" || s.VM("work").Template() != "deb" || s.VM("work").Label.Color != 0x3465a4 || s.Status["accel"] != "TCG" || len(s.Labels) != 8 {
		t.Fatalf("first picture: %+v %+v", s, s.VM("work"))
	}
	before := s.VM("work")
	for _, step := range []struct {
		what string
		do   func() error
		ok   func(*adminclient.VM) bool
	}{
		{"running", func() error { return c.Start(ctx, "work") }, func(v *adminclient.VM) bool { return v.State == qube.Running && v.XID() == 1 }},
		{"paused", func() error { return c.Pause(ctx, "work") }, func(v *adminclient.VM) bool { return v.State == qube.Paused }},
		{"killed", func() error { return c.Kill(ctx, "work") }, func(v *adminclient.VM) bool { return v.State == qube.Halted && v.XID() == -1 }},
		{"label", func() error { return c.SetProperty(ctx, "work", "label", "red") }, func(v *adminclient.VM) bool { return v.Label.Name == "red" }},
		{"inherited", func() error { return c.SetProperty(ctx, "deb", "memory", "600") }, func(v *adminclient.VM) bool { return v.MemoryMiB() == 600 }},
		{"feature", func() error { return c.SetFeature(ctx, "work", "a", "b") }, func(v *adminclient.VM) bool { return v.Features["a"] == "b" }},
		{"tag", func() error { _, err := c.Call(ctx, "admin.vm.tag.Set", "work", "t1", nil); return err }, func(v *adminclient.VM) bool { return slices.Contains(v.Tags, "t1") }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		until(t, l, step.what, func(s *adminclient.Snapshot) bool { return step.ok(s.VM("work")) })
	}
	if before.State != qube.Halted || before.Label.Name != "blue" || len(before.Features) != 0 {
		t.Error("a published qube was changed")
	}
	if err := c.Create(ctx, qube.AppVM, "new", "green", "deb"); err != nil {
		t.Fatal(err)
	}
	until(t, l, "the new qube", func(s *adminclient.Snapshot) bool {
		return s.VM("new") != nil && s.VM("new").Label.Name == "green" && slices.Contains(s.VM("new").Tags, "created-by-dom0")
	})
	if err := c.Remove(ctx, "new"); err != nil {
		t.Fatal(err)
	}
	until(t, l, "its removal", func(s *adminclient.Snapshot) bool { return s.VM("new") == nil })
	if err := c.SetProperty(ctx, "", "default_template", "deb"); err != nil {
		t.Fatal(err)
	}
	until(t, l, "a system property", func(s *adminclient.Snapshot) bool { return s.Globals["default_template"].Value == "deb" })
}

func TestLiveReconnects(t *testing.T) {
	path := socket(t)
	l, _ := watch(t, path)
	until(t, l, "an error", func(s *adminclient.Snapshot) bool { return !s.Connected && s.Err != "" && !s.Ever })
	s := system(t)
	stop := serve(t, path, s)
	until(t, l, "a connection", func(s *adminclient.Snapshot) bool { return s.Connected && s.Err == "" })
	stop()
	snap := until(t, l, "its loss", func(s *adminclient.Snapshot) bool { return !s.Connected })
	if !snap.Ever || snap.VM("work") == nil || snap.Err == "" {
		t.Errorf("what was known is gone: %+v", snap)
	}
	s.Add(t, domain.NewVM{Class: qube.AppVM, Name: "later"}, "deb")
	serve(t, path, s)
	until(t, l, "the second connection", func(s *adminclient.Snapshot) bool { return s.Connected && s.VM("later") != nil })
}

func TestErrorsKeepTheirKind(t *testing.T) {
	path := socket(t)
	serve(t, path, system(t))
	c := adminclient.New(path)
	if err := c.Start(t.Context(), "nosuch"); adminapi.KindOf(err) != adminapi.VMNotFound {
		t.Errorf("got %v", err)
	}
	if _, err := c.Feature(t.Context(), "work", "x"); !errors.Is(err, &adminapi.Error{Kind: adminapi.FeatureNotFound}) {
		t.Errorf("got %v", err)
	}
	if n, err := c.CreateDisposable(t.Context(), "work"); err == nil {
		t.Errorf("made %s of a qube that is no template", n)
	}
}

// TestHostileServer: whatever a server sends, the client ends with an error.
func TestHostileServer(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":    "",
		"garbage":    "\xff\xfe\x00garbage",
		"cut":        "2\x00Qubes",
		"bad name":   "0\x00../../etc class=AppVM state=Halted uuid=x\n",
		"escape":     "0\x00a\x1b[31m class=AppVM state=Halted\n",
		"endless":    "0\x00" + strings.Repeat("a class=AppVM state=Halted\n", 2<<20),
		"wrong type": "1\x00x\x00y\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			path := socket(t)
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				fmt.Fprint(conn, answer)
			}()
			vms, err := adminclient.New(path).List(t.Context(), "dom0")
			if err == nil {
				t.Errorf("accepted: %d qubes", len(vms))
			}
			l.Close()
			<-done
		})
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	path := socket(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody accepts, nobody answers
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := adminclient.New(path).Call(ctx, "m", "d", "", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
