package qubesdb_test

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

	daemon "qubist/core/internal/qubesdb"
	"qubist/core/qubesdb"
	"qubist/core/qubesdb/wire"
)

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "qdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve runs dom0's own database and returns what ends it.
func serve(t *testing.T, dir string) func() {
	t.Helper()
	ready, done := make(chan struct{}), make(chan error, 1)
	s := daemon.New(daemon.Config{Name: "dom0", Dir: dir, Perms: 0o666, Ready: func() { close(ready) }, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- s.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if cancel(); !stopped {
			if err := <-done; err != nil {
				t.Error(err)
			}
			stopped = true
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestCalls(t *testing.T) {
	dir := shortDir(t)
	serve(t, dir)
	ctx := limit(t)
	c := qubesdb.New(dir, "") // through the links of dom0's own database
	defer c.Close()
	for k, v := range map[string]string{"/b": "2", "/a/x": "", "/a/y": "\xff\x01"} {
		if err := c.Write(ctx, k, v); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := c.Read(ctx, "/a/y"); v != "\xff\x01" || err != nil {
		t.Errorf("read %q, %v", v, err)
	}
	if _, err := c.Read(ctx, "/none"); !errors.Is(err, qubesdb.ErrNotExist) {
		t.Errorf("reading what is not there: %v", err)
	}
	if l, err := c.List(ctx, "/a/"); !slices.Equal(l, []string{"/a/x", "/a/y"}) || err != nil {
		t.Errorf("list %q, %v", l, err)
	}
	want := []qubesdb.Entry{{Path: "/a/x"}, {Path: "/a/y", Value: "\xff\x01"}, {Path: "/b", Value: "2"}}
	if m, err := c.MultiRead(ctx, "/"); !slices.Equal(m, want) || err != nil {
		t.Errorf("multiread %q, %v", m, err)
	}
	if err := errors.Join(c.Remove(ctx, "/a/"), c.Remove(ctx, "/none"), c.Unwatch(ctx, "/none")); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "a", "/" + strings.Repeat("x", 63)} {
		if err := c.Write(ctx, bad, ""); !errors.Is(err, qubesdb.ErrPath) {
			t.Errorf("path %q: %v", bad, err)
		}
	}
	if err := c.Write(ctx, "/x y", ""); !errors.Is(err, qubesdb.ErrRefused) {
		t.Errorf("forbidden character: %v", err)
	}
	if err := c.Write(ctx, "/long", strings.Repeat("x", wire.MaxValue+1)); err == nil {
		t.Error("a value that is too long is taken")
	}
	if v, err := c.Read(ctx, "/b"); v != "2" || err != nil {
		t.Errorf("after all that: %q, %v", v, err)
	}
}

func TestEventsAndReconnection(t *testing.T) {
	dir := shortDir(t)
	stop := serve(t, dir)
	ctx := limit(t)
	c, other := qubesdb.New(dir, "dom0"), qubesdb.New(dir, "dom0")
	defer c.Close()
	defer other.Close()
	if _, err := c.Next(ctx); err == nil {
		t.Error("an event without a watch")
	}
	if err := c.Watch(ctx, "/w/"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := other.Write(ctx, fmt.Sprint("/w/", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Write(ctx, "/else", ""); err != nil { // events come before its answer
		t.Fatal(err)
	}
	for i := range 3 {
		if p, err := c.Next(ctx); p != fmt.Sprint("/w/", i) || err != nil {
			t.Errorf("event %d: %q, %v", i, p, err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := c.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting too long: %v", err)
	}
	if _, err := other.Read(ctx, "/else"); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := other.Read(ctx, "/else"); err == nil {
		t.Error("an answer without a daemon")
	}
	if _, err := other.Read(ctx, "/else"); !errors.Is(err, qubesdb.ErrConnect) {
		t.Errorf("without a daemon: %v", err)
	}
	serve(t, dir)
	if _, err := other.Read(ctx, "/else"); !errors.Is(err, qubesdb.ErrNotExist) {
		t.Errorf("a new daemon: %v", err)
	}
}

// FuzzAnswers: a daemon that answers anything does not hurt its client.
func FuzzAnswers(f *testing.F) {
	f.Add(wire.Append(wire.Append(nil, wire.RespMultiRead, "/a", "v"), wire.RespMultiRead, "", ""), byte(0))
	f.Add(wire.Append(nil, wire.RespWatch, "/a", ""), byte(1))
	f.Add(wire.Append(nil, wire.RespOK, "/b", "data"), byte(2))
	dir, err := os.MkdirTemp("/tmp", "qdb")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "qubesdb.sock"), Net: "unix"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, answer []byte, call byte) {
		served := make(chan struct{})
		go func() {
			defer close(served)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, wire.HeaderSize))
			_, _ = conn.Write(answer)
		}()
		c, ctx := qubesdb.New(dir, ""), limit(t)
		defer func() { c.Close(); <-served }()
		switch call % 4 {
		case 0:
			es, err := c.MultiRead(ctx, "/")
			for _, e := range es {
				if !wire.ValidPath(e.Path) || len(e.Value) > wire.MaxValue || err != nil {
					t.Fatalf("took %+v, %v", e, err)
				}
			}
		case 1:
			_ = c.Watch(ctx, "/a")
			_, _ = c.Next(ctx)
		case 2:
			_ = c.Write(ctx, "/a", "")
		case 3:
			v, err := c.Read(ctx, "/a")
			if err != nil && v != "" || len(v) > wire.MaxValue {
				t.Fatalf("took %q, %v", v, err)
			}
		}
	})
}
