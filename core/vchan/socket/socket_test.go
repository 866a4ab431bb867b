package socket_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"qubist/core/vchan/socket"
	"qubist/core/vchan/vchantest"
)

// shortDir is a directory whose name leaves room for a socket's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vchan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func open(t testing.TB) vchantest.Pair {
	dir := shortDir(t)
	return vchantest.Pair{Server: socket.New(dir, 42), Client: socket.New(dir, 0)}
}

func TestConformance(t *testing.T)      { vchantest.Run(t, open) }
func BenchmarkConformance(b *testing.B) { vchantest.Bench(b, open) }

func TestPath(t *testing.T) {
	if got, want := socket.Path("/run/vchan", 42, 0, 512), "/run/vchan/vchan.42.0.512.sock"; got != want {
		t.Errorf("Path = %q, want %q", got, want)
	}
	d := socket.New(strings.Repeat("x", 120), 1)
	if _, err := d.Listen(context.Background(), 0, 512); err == nil {
		t.Error("Listen takes a path that is too long")
	}
	if _, err := d.Dial(context.Background(), 0, 512); err == nil {
		t.Error("Dial takes a path that is too long")
	}
}

// TestForeignPeers plays the other role with bare sockets, as another implementation would.
func TestForeignPeers(t *testing.T) {
	dir := shortDir(t)
	d := socket.New(dir, 5)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	l, err := d.Listen(ctx, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("unix", dir+"/vchan.5.0.512.sock")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir + "/vchan.5.0.512.sock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket file after Accept: %v, want it gone", err)
	}
	// Not one byte of greeting in either direction.
	raw.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := raw.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("greeting: %d bytes, %v", n, err)
	}
	raw.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read after the peer's close: %v, want EOF", err)
	}
	c.Close()

	// A stale file gives ECONNREFUSED: not there yet.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/vchan.0.5.513.sock", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	short, cancelShort := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancelShort()
	if _, err := d.Dial(short, 0, 513); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial of a stale socket: %v, want it to wait", err)
	}
	if err := os.Remove(dir + "/vchan.0.5.513.sock"); err != nil {
		t.Fatal(err)
	}
	fresh, err := net.Listen("unix", dir+"/vchan.0.5.513.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	c, err = d.Dial(ctx, 0, 513)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestForeignReplacement: a name that another process took over is not removed.
func TestForeignReplacement(t *testing.T) {
	dir := shortDir(t)
	ctx := context.Background()
	first, second := socket.New(dir, 5), socket.New(dir, 5) // as two processes
	l1, err := first.Listen(ctx, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	l2, err := second.Listen(ctx, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	l1.Close()
	if _, err := os.Lstat(socket.Path(dir, 5, 0, 512)); err != nil {
		t.Errorf("the successor's socket: %v", err)
	}
}
