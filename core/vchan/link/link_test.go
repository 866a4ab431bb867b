package link_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/link/linktest"
	"qubist/core/vchan/wire"
)

// within is the ctx of one step of a test.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = 20 * time.Second

// call connects client to server and proves it with a message each way.
func call(t testing.TB, server, client vchan.Driver, port vchan.Port) (s, c vchan.Conn) {
	t.Helper()
	ctx := within(t, patience)
	l, err := server.Listen(ctx, client.Local(), port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan vchan.Conn, 1)
	go func() {
		conn, err := l.Accept(ctx)
		if err != nil {
			t.Errorf("Accept: %v", err)
		}
		accepted <- conn
	}()
	c, err = client.Dial(ctx, server.Local(), port)
	if err != nil {
		t.Fatal(err)
	}
	if s = <-accepted; s == nil {
		t.FailNow()
	}
	t.Cleanup(func() { s.Close(); c.Close() })
	for _, way := range [][2]vchan.Conn{{s, c}, {c, s}} {
		got := make([]byte, 5)
		way[0].Write([]byte("hello"))
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "hello" {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	return s, c
}

// ends proves that a connection ends soon.
func ends(t testing.TB, c vchan.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("Read of a vchan whose session ended: %d, %v; want EOF", n, err)
	}
}

func TestGuestReboot(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := linktest.NewCable(t)
	w.StartHost(3, cable.OpenHost)
	for range 3 {
		stop := w.StartGuest(3, cable.OpenGuest)
		s, c := call(t, w.VM(3), w.Dom0(), 512)
		stop() // the host's end of the port notices nothing
		ends(t, s)
		stop = w.StartGuest(3, cable.OpenGuest)
		ends(t, c)
		call(t, w.VM(3), w.Dom0(), 512)
		stop()
	}
}

func TestHostRestart(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := linktest.NewCable(t)
	w.StartGuest(3, cable.OpenGuest)
	for range 3 {
		stop := w.StartHost(3, cable.OpenHost)
		s, c := call(t, w.VM(3), w.Dom0(), 512)
		stop()
		ends(t, s)
		ends(t, c)
	}
}

// TestDialSurvivesReboot: a dial that waits is not disturbed by a reboot meanwhile.
func TestDialSurvivesReboot(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := linktest.NewCable(t)
	w.StartHost(3, cable.OpenHost)
	stop := w.StartGuest(3, cable.OpenGuest)
	call(t, w.VM(3), w.Dom0(), 512)
	result := make(chan error, 1)
	go func() {
		c, err := w.Dom0().Dial(within(t, patience), 3, 600)
		if err == nil {
			c.Close()
		}
		result <- err
	}()
	time.Sleep(50 * time.Millisecond)
	stop()
	w.StartGuest(3, cable.OpenGuest)
	l, err := w.VM(3).Listen(within(t, patience), 0, 600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// TestRestartStorm restarts both ends at once, over and over, under traffic.
func TestRestartStorm(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := linktest.NewCable(t)
	for i := range 8 {
		stopHost := w.StartHost(3, cable.OpenHost)
		stopGuest := w.StartGuest(3, cable.OpenGuest)
		s, _ := call(t, w.VM(3), w.Dom0(), 512)
		go s.Write(make([]byte, 1<<20))
		go s.Close()
		if i%2 == 0 {
			stopHost()
			stopGuest()
		} else {
			stopGuest()
			stopHost()
		}
	}
}

func TestGone(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := w.AddVM(3)
	_, c := call(t, w.VM(3), w.Dom0(), 512)
	result := make(chan error, 1)
	go func() {
		_, err := w.Dom0().Dial(within(t, patience), 3, 600)
		result <- err
	}()
	time.Sleep(50 * time.Millisecond)
	cable.Cut()
	if err := <-result; !errors.Is(err, vchan.ErrGone) {
		t.Errorf("Dial of a VM that ends: %v, want ErrGone", err)
	}
	ends(t, c)
}

// request puts r to a mux socket and returns the answer.
func request(t testing.TB, path string, b []byte) (answer byte, err error) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	var a [1]byte
	_, err = io.ReadFull(c, a[:])
	return a[0], err
}

func TestRules(t *testing.T) {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	w.AddVM(4)
	// Something listens everywhere, so that only the rules stand in the way.
	for _, server := range []vchan.Driver{w.Dom0(), w.VM(3), w.VM(4)} {
		for _, client := range []qube.DomID{0, 3, 4} {
			l, err := server.Listen(context.Background(), client, 700)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
	}
	dial, grant := wire.OpDial, wire.OpGrant
	for _, c := range []struct {
		name string
		mux  string
		r    wire.Request
		want wire.Answer
	}{
		{"VM as another VM", w.GuestMux(3), wire.Request{Op: dial, Server: 0, Client: 4, Port: 700}, wire.Denied},
		{"VM as dom0", w.GuestMux(3), wire.Request{Op: dial, Server: 4, Client: 0, Port: 700}, wire.Denied},
		{"VM to VM without grant", w.GuestMux(3), wire.Request{Op: dial, Server: 4, Client: 3, Port: 700}, wire.Denied},
		{"VM grants itself", w.GuestMux(3), wire.Request{Op: grant, Server: 4, Client: 3, Port: 700}, wire.Denied},
		{"VM to VM after that", w.GuestMux(3), wire.Request{Op: dial, Server: 4, Client: 3, Port: 700}, wire.Denied},
		{"dom0 asks the wrong mux", w.HostMux(3), wire.Request{Op: dial, Server: 4, Client: 0, Port: 700}, wire.Denied},
		{"dom0 grants on the wrong mux", w.HostMux(3), wire.Request{Op: grant, Server: 3, Client: 4, Port: 700}, wire.Denied},
		{"dom0's port", w.GuestMux(3), wire.Request{Op: dial, Server: 0, Client: 3, Port: 700}, wire.OK},
		{"dom0 to VM", w.HostMux(3), wire.Request{Op: dial, Server: 3, Client: 0, Port: 700}, wire.OK},
		{"dom0 grants", w.HostMux(3), wire.Request{Op: grant, Server: 4, Client: 3, Port: 700}, wire.OK},
		{"VM to VM, other port", w.GuestMux(3), wire.Request{Op: dial, Server: 4, Client: 3, Port: 701}, wire.Denied},
		{"VM to VM, granted", w.GuestMux(3), wire.Request{Op: dial, Server: 4, Client: 3, Port: 700}, wire.OK},
		{"VM to VM, used up", w.GuestMux(3), wire.Request{Op: dial, Server: 4, Client: 3, Port: 700}, wire.Denied},
		{"VM to a VM that does not run", w.GuestMux(3), wire.Request{Op: dial, Server: 9, Client: 3, Port: 700}, wire.Denied},
	} {
		answer, err := request(t, c.mux, c.r.Append(nil))
		if err != nil || wire.Answer(answer) != c.want {
			t.Errorf("%s: answer %d, %v; want %d", c.name, answer, err, c.want)
		}
	}
	if _, err := request(t, w.HostMux(3), make([]byte, 16)); err == nil {
		t.Error("a request of zeros is answered")
	}
}

func TestGrantedVMGone(t *testing.T) {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	if err := w.Dom0().Grant(within(t, patience), 3, 9, 700); err != nil {
		t.Fatal(err)
	}
	if _, err := w.VM(3).Dial(within(t, patience), 9, 700); !errors.Is(err, vchan.ErrGone) {
		t.Errorf("Dial: %v, want ErrGone", err)
	}
}

func TestGrantExpires(t *testing.T) {
	var now atomic.Int64
	w := linktest.NewWorld(t)
	w.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	w.AddVM(3)
	w.AddVM(4)
	for _, c := range []struct {
		after time.Duration
		ok    bool
	}{{vchan.GrantLife - time.Second, true}, {vchan.GrantLife, false}} {
		if err := w.Dom0().Grant(within(t, patience), 3, 4, 700); err != nil {
			t.Fatal(err)
		}
		now.Add(int64(c.after / time.Second))
		l, err := w.VM(4).Listen(within(t, patience), 3, 700)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := w.VM(3).Dial(within(t, patience), 4, 700)
		if c.ok && err != nil || !c.ok && !errors.Is(err, vchan.ErrDenied) {
			t.Errorf("%v after the grant: %v", c.after, err)
		}
		if err == nil {
			conn.Close()
		}
		l.Close()
	}
}

// TestSplicePreservesData: a large transfer between VMs, closed right after the last byte.
func TestSplicePreservesData(t *testing.T) {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	w.AddVM(4)
	if err := w.Dom0().Grant(within(t, patience), 4, 3, 700); err != nil {
		t.Fatal(err)
	}
	s, c := call(t, w.VM(3), w.VM(4), 700)
	want := make([]byte, 5<<20)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	go func() {
		s.Write(want)
		s.Close()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d of %d bytes, %v", len(got), len(want), err)
	}
}

func TestSocketFiles(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := linktest.NewCable(t)
	stop := w.StartHost(3, cable.OpenHost)
	info, err := os.Stat(w.HostMux(3))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(info.Mode()); got != "Srw-rw----" {
		t.Errorf("mux socket is %s, want Srw-rw----", got)
	}
	stop()
	if _, err := os.Stat(w.HostMux(3)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mux socket after the end: %v", err)
	}
}
