package link_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/link"
	"qubist/core/vchan/link/linktest"
	"qubist/core/vchan/wire"
)

// rawGuest is a VM that does what it likes.
type rawGuest struct {
	t    testing.TB
	port link.Port
	read []byte // received, not yet looked at
}

// newRawGuest attaches a guest to the cable and completes the handshake as a good one.
func newRawGuest(t testing.TB, cable *linktest.Cable) *rawGuest {
	t.Helper()
	port, err := cable.OpenGuest(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	g := &rawGuest{t: t, port: port}
	g.greet()
	return g
}

// greet does a handshake; it returns when the host's session has begun.
func (g *rawGuest) greet() {
	g.t.Helper()
	var own wire.Epoch
	rand.Read(own[:])
	g.send(wire.Frame{Kind: wire.SYN, Own: own}.Append(wire.Flush()))
	acked := wire.Epoch{}
	for {
		f := g.frame()
		if f.Own != acked {
			acked = f.Own
			g.send(wire.Frame{Kind: wire.ACK, Own: own, Peer: acked}.Append(nil))
		}
		if f.Kind == wire.ACK && f.Peer == own {
			return
		}
	}
}

// frame returns the next handshake frame of the host.
func (g *rawGuest) frame() wire.Frame {
	g.t.Helper()
	g.port.SetReadDeadline(time.Now().Add(patience))
	for {
		f, used, ok := wire.Scan(g.read)
		g.read = g.read[used:]
		if ok {
			return f
		}
		buf := make([]byte, 4096)
		n, err := g.port.Read(buf)
		if err != nil {
			g.t.Fatalf("waiting for a handshake frame: %v", err)
		}
		g.read = append(g.read, buf[:n]...)
	}
}

// dataFrame reads the host's yamux frames up to and with one of data.
func (g *rawGuest) dataFrame() {
	g.t.Helper()
	r := io.MultiReader(bytes.NewReader(g.read), g.port)
	g.port.SetReadDeadline(time.Now().Add(patience))
	for {
		var h [wire.HeaderSize]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			g.t.Fatalf("waiting for a data frame: %v", err)
		}
		if n := wire.Payload(h); n > 0 {
			io.CopyN(io.Discard, r, int64(n))
			return
		}
	}
}

func (g *rawGuest) send(b []byte) {
	g.t.Helper()
	g.port.SetWriteDeadline(time.Now().Add(patience))
	if _, err := g.port.Write(b); err != nil {
		g.t.Fatalf("writing to the port: %v", err)
	}
}

// header makes a yamux header.
func header(kind byte, flags uint16, stream, length uint32) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, kind}, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return binary.BigEndian.AppendUint32(b, length)
}

const (
	data, window, ping, goAway = 0, 1, 2, 3
	syn, fin                   = 1, 4
)

// TestMalformed: each of these ends the session, a new handshake follows, and neither a
// good guest afterwards nor another VM notices anything.
func TestMalformed(t *testing.T) {
	for name, bad := range map[string][]byte{
		"garbage":                bytes.Repeat([]byte("garbage "), 100),
		"SYN in the session":     wire.Frame{Kind: wire.SYN, Own: wire.Epoch{1}}.Append(nil),
		"ping":                   header(ping, syn, 0, 1),
		"go away":                header(goAway, 0, 0, 0),
		"frame too long":         header(data, 0, 2, wire.MaxPayload+1),
		"our stream number":      header(window, syn, 1, 0),
		"duplicate stream":       append(header(window, syn, 2, 0), header(window, syn, 2, 0)...),
		"window exceeded":        append(header(window, syn, 2, 0), tooMuch(2)...),
		"FIN twice":              append(header(window, syn|fin, 2, 0), header(window, fin, 2, 0)...),
		"more streams than fair": streams(20 * link.MaxStreams),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := linktest.NewWorld(t)
			w.AddVM(4)
			cable := linktest.NewCable(t)
			w.StartHost(3, cable.OpenHost)
			s, _ := call(t, w.VM(4), w.Dom0(), 512)
			g := newRawGuest(t, cable)
			go g.port.Write(bad) // the host may hang up in the middle
			if f := g.frame(); f.Kind != wire.SYN {
				t.Fatalf("frame %+v, want a new SYN", f)
			}
			w.StartGuest(3, cable.OpenGuest)
			call(t, w.VM(3), w.Dom0(), 512)
			if _, err := s.Write([]byte("x")); err != nil {
				t.Errorf("another VM's vchan: %v", err)
			}
		})
	}
}

// tooMuch is data beyond the largest window.
func tooMuch(stream uint32) (b []byte) {
	for sent := 0; sent <= link.StreamWindow; sent += wire.MaxPayload {
		b = append(b, header(data, 0, stream, wire.MaxPayload)...)
		b = append(b, make([]byte, wire.MaxPayload)...)
	}
	return b
}

// streams opens n streams with a request that has to wait.
func streams(n int) (b []byte) {
	for i := range n {
		id := uint32(2 + 2*i)
		b = append(b, header(window, syn, id, 0)...)
		b = append(b, header(data, 0, id, wire.RequestSize)...)
		b = wire.Request{Op: wire.OpDial, Server: 0, Client: 3, Port: uint32(i)}.Append(b)
	}
	return b
}

// TestRebootInsideFrame: the guest vanishes in the middle of a data frame. Its successor's
// handshake is not taken for the frame's content.
func TestRebootInsideFrame(t *testing.T) {
	for _, sent := range []int{1, 11, 12, 13, wire.HeaderSize + wire.RequestSize, 30000} {
		w := linktest.NewWorld(t)
		cable := linktest.NewCable(t)
		w.StartHost(3, cable.OpenHost)
		g := newRawGuest(t, cable)
		frame := append(header(window, syn, 2, 0), header(data, 0, 2, wire.MaxPayload)...)
		frame = append(frame, make([]byte, wire.MaxPayload)...)
		g.send(frame[:wire.HeaderSize+sent])
		w.StartGuest(3, cable.OpenGuest)
		call(t, w.VM(3), w.Dom0(), 512)
	}
}

// TestHostRules: a VM that does not check its programs' requests itself is checked.
func TestHostRules(t *testing.T) {
	w := linktest.NewWorld(t)
	w.AddVM(4)
	cable := linktest.NewCable(t)
	w.StartHost(3, cable.OpenHost)
	for _, server := range []vchan.Driver{w.Dom0(), w.VM(4)} {
		for _, client := range []uint32{3, 4, 5, 0} {
			l, err := server.Listen(context.Background(), qube.DomID(client), 700)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
	}
	g := newRawGuest(t, cable)
	g.port.SetReadDeadline(time.Time{})
	g.port.SetWriteDeadline(time.Time{})
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.LogOutput = io.Discard
	session, err := yamux.Server(struct {
		io.Reader
		io.WriteCloser
	}{io.MultiReader(bytes.NewReader(g.read), g.port), g.port}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	zeros := make([]byte, wire.RequestSize)
	dial := wire.OpDial
	for _, c := range []struct {
		name string
		b    []byte
		want wire.Answer
	}{
		{"as another VM to dom0", wire.Request{Op: dial, Server: 0, Client: 4, Port: 700}.Append(nil), wire.Denied},
		{"as dom0 to a VM", wire.Request{Op: dial, Server: 4, Client: 0, Port: 700}.Append(nil), wire.Denied},
		{"as a third VM to a VM", wire.Request{Op: dial, Server: 4, Client: 5, Port: 700}.Append(nil), wire.Denied},
		{"to itself", wire.Request{Op: dial, Server: 3, Client: 3, Port: 700}.Append(nil), wire.Denied},
		{"to a VM without grant", wire.Request{Op: dial, Server: 4, Client: 3, Port: 700}.Append(nil), wire.Denied},
		{"grants itself", wire.Request{Op: wire.OpGrant, Server: 4, Client: 3, Port: 700}.Append(nil), wire.Denied},
		{"still without grant", wire.Request{Op: dial, Server: 4, Client: 3, Port: 700}.Append(nil), wire.Denied},
		{"zeros", zeros, wire.Denied},
		{"a good one", wire.Request{Op: dial, Server: 0, Client: 3, Port: 700}.Append(nil), wire.OK},
	} {
		stream, err := session.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		stream.SetDeadline(time.Now().Add(patience))
		stream.Write(c.b)
		var a [1]byte
		if _, err := io.ReadFull(stream, a[:]); err != nil || wire.Answer(a[0]) != c.want {
			t.Errorf("%s: answer %d, %v; want %d", c.name, a[0], err, c.want)
		}
		stream.Close()
	}
}

// TestPendingBound: a VM can have only so many dials wait.
func TestPendingBound(t *testing.T) {
	w := linktest.NewWorld(t)
	w.AddVM(3)
	vm := w.VM(3)
	ctx, cancel := context.WithCancel(context.Background())
	denied := make(chan error, link.MaxPending+10)
	for i := range link.MaxPending + 10 {
		go func() {
			_, err := vm.Dial(ctx, 0, vchan.Port(1000+i))
			denied <- err
		}()
	}
	for range 10 {
		if err := <-denied; !errors.Is(err, vchan.ErrDenied) {
			t.Errorf("Dial beyond the limit: %v, want ErrDenied", err)
		}
	}
	cancel()
	for range link.MaxPending {
		if err := <-denied; !errors.Is(err, context.Canceled) {
			t.Errorf("waiting Dial: %v, want context.Canceled", err)
		}
	}
	call(t, w.Dom0(), vm, 512) // the places are free again
}

// TestLastWords: what a VM sent before it was gone reaches a program that reads later. It
// is more than the sockets on the way hold.
func TestLastWords(t *testing.T) {
	w := linktest.NewWorld(t)
	cable := linktest.NewCable(t)
	w.StartHost(3, cable.OpenHost)
	l, err := w.Dom0().Listen(within(t, patience), 3, 700)
	if err != nil {
		t.Fatal(err)
	}
	g := newRawGuest(t, cable)
	before := cable.ToHost()
	b := append(header(window, syn, 2, 0), header(data, 0, 2, wire.RequestSize)...)
	b = wire.Request{Op: wire.OpDial, Server: 0, Client: 3, Port: 700}.Append(b)
	g.send(b)
	c, err := l.Accept(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g.dataFrame() // the answer; the window is open now
	const frames = 12
	chunk := append(header(data, 0, 2, wire.MaxPayload), make([]byte, wire.MaxPayload)...)
	for range frames {
		g.send(chunk)
	}
	sent := before + int64(len(b)+frames*len(chunk))
	for end := time.Now().Add(patience); cable.ToHost() < sent; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d bytes crossed the cable", cable.ToHost(), sent)
		}
	}
	cable.Cut()
	if got, err := io.ReadAll(c); err != nil || len(got) != frames*wire.MaxPayload {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, frames*wire.MaxPayload)
	}
}
