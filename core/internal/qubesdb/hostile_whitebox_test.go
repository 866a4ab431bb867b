package qubesdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"qubist/core/qubesdb"
	"qubist/core/qubesdb/wire"
	"qubist/core/vchan/socket"
)

// world is a daemon of dom0's side in this process, and the VM's end of its link.
type world struct {
	*testing.T
	s   *Server
	dir string
	vm  *socket.Driver
}

func run(t *testing.T, change func(*Config)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "qdb")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, dir: dir, vm: socket.New(dir, 5)}
	ready := make(chan struct{})
	cfg := Config{
		Driver: socket.New(dir, 0), Remote: 5, Name: "vm1", Dir: dir, Perms: 0o666, Stall: 200 * time.Millisecond, Pause: 10 * time.Millisecond,
		Ready: func() { close(ready) }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&cfg)
	}
	w.s = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("files remain: %v", left)
		}
		os.RemoveAll(dir)
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return w
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (w *world) client() *qubesdb.Client {
	c := qubesdb.New(w.dir, "vm1")
	w.Cleanup(c.Close)
	return c
}

func (w *world) raw(suffix string) net.Conn {
	w.Helper()
	c, err := net.Dial("unix", w.dir+"/qubesdb.vm1"+suffix)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// peer connects as the VM and takes its copy.
func (w *world) peer() net.Conn {
	w.Helper()
	c, err := w.vm.Dial(limited(w.T), 0, 111)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	send(w.T, c, wire.MultiRead, "", "")
	for {
		if h, _ := receive(w.T, c); h.Path == "" {
			return c
		}
	}
}

func send(t *testing.T, c net.Conn, typ wire.Type, path, data string) {
	t.Helper()
	if _, err := c.Write(wire.Append(nil, typ, path, data)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn) (wire.Header, string) {
	t.Helper()
	var b [wire.HeaderSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		t.Fatal(err)
	}
	h, err := wire.ParseHeader(&b)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, h.Len)
	if _, err := io.ReadFull(c, data); err != nil {
		t.Fatal(err)
	}
	return h, string(data)
}

// ends reads until the connection's end, which must come.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays")
	}
}

func (w *world) serves(what string) {
	w.Helper()
	c := w.client()
	if err := c.Write(limited(w.T), "/alive", what); err != nil {
		w.Fatalf("after %s: %v", what, err)
	}
	if v, err := c.Read(limited(w.T), "/alive"); v != what || err != nil {
		w.Fatalf("after %s: %q, %v", what, v, err)
	}
}

// TestClientThatDoesNotRead asks for much and takes nothing, through the read-only socket.
func TestClientThatDoesNotRead(t *testing.T) {
	w := run(t, nil)
	c := w.client()
	for i := range 40 {
		if err := c.Write(limited(t), fmt.Sprintf("/fill/%d", i), strings.Repeat("x", 3000)); err != nil {
			t.Fatal(err)
		}
	}
	mute := w.raw(".ro.sock")
	for range 200 {
		send(t, mute, wire.MultiRead, "/", "")
	}
	w.serves("a client that asks and does not read")
	time.Sleep(3 * w.s.cfg.Stall)
	n, err := io.Copy(io.Discard, mute)
	if errors.Is(err, os.ErrDeadlineExceeded) || n > 10<<20 {
		t.Errorf("it still got %d bytes, %v", n, err)
	}
}

// TestWatcherThatDoesNotRead lets events pile up.
func TestWatcherThatDoesNotRead(t *testing.T) {
	w := run(t, func(c *Config) { c.Stall = time.Hour })
	mute := w.raw(".ro.sock")
	for range MaxWatches {
		send(t, mute, wire.Watch, "/x", "")
		if h, _ := receive(t, mute); h.Type != wire.RespOK {
			t.Fatal(h)
		}
	}
	send(t, mute, wire.Watch, "/x", "")
	if h, _ := receive(t, mute); h.Type != wire.RespError {
		t.Errorf("watch %d: %v", MaxWatches+1, h)
	}
	c := w.client()
	for i := range 50 {
		if err := c.Write(limited(t), "/x", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	ends(t, mute)
	w.serves("a watcher that does not read")
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if len(w.s.watches) != 0 {
		t.Errorf("%d watched paths remain", len(w.s.watches))
	}
}

// TestHalfMessages: whoever stops in the middle of a message holds up nobody.
func TestHalfMessages(t *testing.T) {
	w := run(t, nil)
	m := wire.Append(nil, wire.Write, "/a", "value")
	for _, n := range []int{1, 71, 72, 76} {
		c := w.raw(".sock")
		if _, err := c.Write(m[:n]); err != nil {
			t.Fatal(err)
		}
	}
	p := w.peer()
	if _, err := p.Write(m[:75]); err != nil {
		t.Fatal(err)
	}
	w.serves("half messages")
	if h, v := receive(t, p); h.Path != "/alive" || v != "half messages" {
		t.Errorf("the peer got %v %q", h, v)
	}
}

// TestVMCannotFillTheDatabase: its entries are refused at some point, dom0's are not.
func TestVMCannotFillTheDatabase(t *testing.T) {
	w := run(t, nil)
	p := w.peer()
	big := strings.Repeat("x", wire.MaxValue)
	go func() {
		for i := range 2000 {
			if _, err := p.Write(wire.Append(nil, wire.Write, fmt.Sprintf("/fill/%d", i), big)); err != nil {
				return
			}
		}
	}()
	refused := 0
	for range 2000 {
		if h, _ := receive(t, p); h.Type == wire.RespError {
			refused++
		}
	}
	w.s.mu.Lock()
	size := w.s.db.bytes
	w.s.mu.Unlock()
	if refused == 0 || size > vmLimit.bytes {
		t.Errorf("%d refused, %d bytes stored", refused, size)
	}
	w.serves("a full database")
}

// TestPeerThatDoesNotRead: local changes are answered; the link ends when too many wait.
func TestPeerThatDoesNotRead(t *testing.T) {
	w := run(t, nil)
	p := w.peer()
	c := w.client()
	big := strings.Repeat("x", wire.MaxValue)
	for i := range 2 * maxChanges / len(big) {
		if err := c.Write(limited(t), "/x", big[i%9:]); err != nil {
			t.Fatal(err)
		}
	}
	ends(t, p)
	w.peer() // the next one is served
	w.serves("a peer that does not read")
}

// TestPeerThatTalksAndDoesNotListen writes for ever without reading answers.
func TestPeerThatTalksAndDoesNotListen(t *testing.T) {
	w := run(t, nil)
	p := w.peer()
	m := bytes.Repeat(wire.Append(nil, wire.Write, "/x", ""), 100)
	for i := 0; ; i++ {
		if _, err := p.Write(m); err != nil {
			break
		}
		if i > 10*maxChanges/len(m) {
			t.Fatal("it may write without end")
		}
	}
	w.serves("a peer that does not listen")
}

// TestUserLimits: a user other than root and us cannot have all connections.
func TestUserLimits(t *testing.T) {
	s := New(Config{Log: slog.New(slog.DiscardHandler), Name: "vm1"})
	admitted := func(uid uint32, n int) int {
		got := 0
		for range n {
			if s.admit(t.Context(), &client{uid: uid}) {
				got++
			}
		}
		return got
	}
	const a, b = 1234567, 1234568
	if n := admitted(a, MaxClients); n != MaxPerUser {
		t.Errorf("one user has %d connections", n)
	}
	if n := admitted(b, MaxClients); n != maxOtherUsers-MaxPerUser {
		t.Errorf("the second user has %d connections", n)
	}
	if n := admitted(0, 2*MaxClients); n != MaxClients-maxOtherUsers {
		t.Errorf("root has %d connections", n)
	}
}

// TestMemoryIsBounded opens many connections that all stall on a large answer.
func TestMemoryIsBounded(t *testing.T) {
	w := run(t, func(c *Config) { c.Stall = time.Hour })
	c := w.client()
	for i := range 600 {
		if err := c.Write(limited(t), fmt.Sprintf("/fill/%d", i), strings.Repeat("x", 3000)); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		mute := w.raw(".ro.sock")
		send(t, mute, wire.Watch, "/", "")
		for range 20 {
			send(t, mute, wire.MultiRead, "/", "")
		}
	}
	for i := range 2000 {
		if err := c.Write(limited(t), "/x", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if limit := uint64(200*(maxEvents+4*chunk) + 4*MaxBytes); m.HeapAlloc > limit {
		t.Errorf("%d MiB in use, limit %d", m.HeapAlloc>>20, limit>>20)
	}
}

// TestStore compares the database with a map, and checks that what was handed out stays.
func TestStore(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s store
	model := map[string]string{}
	keys := []string{"/a", "/a/b", "/a/b/c", "/a-b", "/a/c", "/b", "/b/", "/", "/a/", "/c/d"}
	for i := range 20000 {
		k := keys[rng.IntN(len(keys))]
		handed := s.list("/a")
		copied := slices.Clone(handed)
		switch {
		case rng.IntN(3) > 0 && wire.ValidKey(k):
			v := strings.Repeat("v", rng.IntN(9))
			if fits := s.set(k, v, limit{5, 500}); fits {
				model[k] = v
			} else if _, there := model[k]; there || len(model) < 5 {
				t.Fatalf("step %d: %s was refused among %d", i, k, len(model))
			}
		default:
			n := len(model)
			for m := range model {
				if m == k || strings.HasSuffix(k, "/") && strings.HasPrefix(m, k) {
					delete(model, m)
				}
			}
			if got := s.remove(k); got != (len(model) < n) {
				t.Fatalf("step %d: remove %s: %v", i, k, got)
			}
		}
		if !slices.Equal(handed, copied) {
			t.Fatalf("step %d: what was handed out changed", i)
		}
		check(t, &s, model)
	}
}

func check(t *testing.T, s *store, model map[string]string) {
	t.Helper()
	bytes := 0
	for k, v := range model {
		bytes += len(k) + len(v) + entryCost
		if got, ok := s.get(k); !ok || got != v {
			t.Fatalf("%s: %q, %v; want %q", k, got, ok, v)
		}
	}
	if len(s.entries) != len(model) || s.bytes != bytes || !sort.SliceIsSorted(s.entries, func(i, j int) bool { return s.entries[i].key < s.entries[j].key }) {
		t.Fatalf("%v (%d bytes), want %v", s.entries, s.bytes, model)
	}
}

// FuzzConversation lets a local client and a peer say anything, on both sides of a link: the
// daemon goes on, and its database keeps its rules.
func FuzzConversation(f *testing.F) {
	seed := wire.Append(nil, wire.Watch, "/", "")
	seed = wire.Append(seed, wire.Write, "/a/b", "value")
	seed = wire.Append(seed, wire.MultiRead, "", "")
	seed = wire.Append(seed, wire.Rm, "/a/", "")
	f.Add(seed, seed, false)
	f.Add(wire.Append(nil, wire.List, "/", ""), wire.Append(nil, wire.RespMultiRead, "/k", "v"), true)
	f.Add(wire.Append(nil, wire.Read, "/", "data"), wire.Append(wire.Append(nil, wire.RespMultiRead, "", ""), wire.RespOK, "/", "x"), true)
	f.Fuzz(func(t *testing.T, local, remote []byte, inVM bool) {
		cfg := Config{Name: "vm1", Log: slog.New(slog.DiscardHandler), Stall: time.Second}
		if inVM {
			cfg.Name = ""
		}
		s := New(cfg)
		s.ready()
		say := func(b []byte, serve func(net.Conn)) {
			ours, theirs := net.Pipe()
			s.wg.Go(func() { serve(ours); ours.Close() })
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			_, _ = theirs.Write(b)
			theirs.Close()
		}
		say(remote, func(c net.Conn) { _ = s.serveLink(t.Context(), c) })
		say(local, func(c net.Conn) { s.newClient(c, 0, false).serve(t.Context()) })
		s.wg.Wait()
		for _, e := range s.db.entries {
			if !wire.ValidKey(e.key) || !wire.ValidValue(e.val) {
				t.Fatalf("stored %q = %q", e.key, e.val)
			}
		}
		if len(s.watches) != 0 || s.peer != nil {
			t.Fatal("a connection that ended is remembered")
		}
	})
}
