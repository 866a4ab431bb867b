package link

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"qubist/core/vchan/wire"
)

// ports returns the two ends of a cable without a relay.
func ports(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@qubist-handshake-" + t.Name() + time.Now().String(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// FuzzHandshake: whatever bytes are left over in both directions, two peers find each
// other, and the bytes after the handshake arrive as they were sent.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("noise"), []byte{})
	f.Add(wire.Frame{Kind: wire.SYN, Own: wire.Epoch{1}}.Append(nil), []byte{0xF5})
	f.Add(wire.Frame{Kind: wire.ACK, Own: wire.Epoch{1}, Peer: wire.Epoch{2}}.Append(nil), wire.Flush()[:50])
	f.Fuzz(func(t *testing.T, noiseA, noiseB []byte) {
		if len(noiseA) > 10000 || len(noiseB) > 10000 {
			return
		}
		a, b := ports(t)
		a.Write(noiseA)
		b.Write(noiseB)
		var both sync.WaitGroup
		for _, port := range []*net.UnixConn{a, b} {
			both.Go(func() {
				p := newPlink(port)
				for {
					err := p.handshake()
					if err == nil {
						break
					}
					if !errors.Is(err, errAgain) {
						t.Errorf("handshake: %v", err)
						return
					}
				}
				if _, err := port.Write([]byte("hello")); err != nil {
					t.Errorf("first write: %v", err)
				}
				b, err := p.r.Peek(5)
				if err != nil || string(b) != "hello" {
					t.Errorf("after the handshake: %q, %v", b, err)
				}
			})
		}
		both.Wait()
	})
}

// TestGreeterAnswersEachPeerOnce: a peer that restarts during the handshake gets an ACK of
// its own, one that repeats itself does not.
func TestGreeterAnswersEachPeerOnce(t *testing.T) {
	a, b := ports(t)
	g := startGreeter(a, wire.Epoch{9})
	peer := newPlink(b)
	b.SetReadDeadline(time.Now().Add(10 * time.Second))
	if f, err := peer.nextFrame(); err != nil || f.Kind != wire.SYN {
		t.Fatalf("first frame %+v, %v", f, err)
	}
	for i := range 3 {
		epoch := wire.Epoch{byte(i + 1)}
		g.answer(epoch)
		g.answer(epoch)
		if err := g.wait(); err != nil {
			t.Fatal(err)
		}
		g.answer(epoch)
		for {
			f, err := peer.nextFrame()
			if err != nil {
				t.Fatal(err)
			}
			if f.Kind == wire.ACK {
				if f.Peer != epoch {
					t.Fatalf("ACK of %x, want %x", f.Peer, epoch)
				}
				break
			}
		}
	}
	g.stop()
	b.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if f, err := peer.nextFrame(); err == nil {
		t.Errorf("another frame: %+v", f)
	}
}
