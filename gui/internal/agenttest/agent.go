// Package agenttest is a scripted window agent: the far end of the GUI protocol for tests of
// the daemon, over a socket vchan and a region file. For tests only.
package agenttest

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/socket"
	"qubist/gui/wire"
)

// Limit bounds every wait, so that a test fails instead of hanging.
const Limit = 15 * time.Second

// Message is one message of the daemon.
type Message struct {
	wire.Header
	Body []byte
}

// Agent is one qube's agent with its window region.
type Agent struct {
	T      testing.TB
	Region string // path of the region file
	XConf  wire.XConf

	driver   vchan.Driver
	region   *os.File
	next     uint32 // free page
	conn     net.Conn
	messages chan Message
	deaf     bool
}

// New makes an agent of domain xid whose vchan sockets are in dir, with a region of size
// bytes.
func New(t testing.TB, dir string, xid qube.DomID, size int64) *Agent {
	t.Helper()
	f, err := os.CreateTemp("/dev/shm", fmt.Sprintf("qubist-test-%d-*", xid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		os.Remove(f.Name())
	})
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return &Agent{T: t, Region: f.Name(), region: f, driver: socket.New(dir, xid)}
}

// Deaf makes later connections never read what the daemon sends after the handshake.
func (a *Agent) Deaf() { a.deaf = true }

// Accept waits for the daemon and shakes hands.
func (a *Agent) Accept() {
	a.T.Helper()
	conn := a.Offer(wire.Current)
	var answer [wire.VersionSize + wire.XConfSize]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		a.T.Fatalf("handshake: %v", err)
	}
	v, err := wire.ParseVersion(answer[:4])
	if err != nil || v != wire.Current {
		a.T.Fatalf("version %v, %v", v, err)
	}
	if a.XConf, err = wire.ParseXConf(answer[4:]); err != nil {
		a.T.Fatal(err)
	}
	a.messages = make(chan Message, 4096)
	if a.deaf {
		return
	}
	go read(conn, a.messages)
}

// Offer waits for the daemon and offers it a version.
func (a *Agent) Offer(v wire.Version) net.Conn {
	a.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	l, err := a.driver.Listen(ctx, 0, vchan.PortGUI)
	if err != nil {
		a.T.Fatal(err)
	}
	defer l.Close()
	if a.conn, err = l.Accept(ctx); err != nil {
		a.T.Fatalf("waiting for the daemon: %v", err)
	}
	conn := a.conn
	a.T.Cleanup(func() { conn.Close() })
	if _, err := conn.Write(v.Append(nil)); err != nil {
		a.T.Fatal(err)
	}
	return conn
}

func read(conn net.Conn, out chan<- Message) {
	defer close(out)
	for {
		var b [wire.HeaderSize]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return
		}
		h, err := wire.ParseHeader(b[:])
		if err != nil {
			return
		}
		n, _, err := h.BodyFromDaemon()
		if err != nil {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		out <- Message{h, body}
	}
}

// Close hangs up.
func (a *Agent) Close() { a.conn.Close() }

// Gone waits until the daemon has hung up.
func (a *Agent) Gone() {
	a.T.Helper()
	deadline := time.After(Limit)
	for {
		select {
		case _, ok := <-a.messages:
			if !ok {
				return
			}
		case <-deadline:
			a.T.Fatal("the daemon does not hang up")
		}
	}
}

// Raw sends bytes as they are.
func (a *Agent) Raw(b []byte) error {
	_, err := a.conn.Write(b)
	return err
}

// Send sends one message.
func (a *Agent) Send(window uint32, m wire.Message) {
	a.T.Helper()
	if err := a.Raw(wire.Append(nil, window, m)); err != nil && !errors.Is(err, net.ErrClosed) {
		a.T.Fatalf("sending type %d: %v", m.Type(), err)
	}
}

// Await returns the next message of a type for a window; others are passed over.
func (a *Agent) Await(t wire.Type, window uint32) Message {
	a.T.Helper()
	return a.AwaitThat(t, window, func(Message) bool { return true })
}

// AwaitThat is Await for a message that also satisfies ok; type 0 stands for any message.
func (a *Agent) AwaitThat(t wire.Type, window uint32, ok func(Message) bool) Message {
	a.T.Helper()
	deadline := time.After(Limit)
	var seen []string
	for {
		select {
		case m, open := <-a.messages:
			if !open {
				a.T.Fatalf("the daemon hung up before type %d for %#x; seen %v", t, window, seen)
			}
			if (t == 0 || m.Type == t && m.Window == window) && ok(m) {
				return m
			}
			seen = append(seen, fmt.Sprintf("%d:%#x:%x", m.Type, m.Window, m.Body))
		case <-deadline:
			a.T.Fatalf("no message of type %d for %#x; seen %v", t, window, seen)
		}
	}
}

// Draw writes img into the region and says that it is window's picture, all of it new.
func (a *Agent) Draw(window uint32, img *image.RGBA) {
	a.T.Helper()
	page := a.Put(img)
	w, h := uint32(img.Rect.Dx()), uint32(img.Rect.Dy())
	a.Send(window, wire.WindowDump{Kind: wire.DumpRegion, Width: w, Height: h, BPP: 32, Offset: page})
	a.Send(window, wire.ShmImage{Width: int32(w), Height: int32(h)})
}

// Put writes img into free pages of the region and returns the first page.
func (a *Agent) Put(img *image.RGBA) uint32 {
	a.T.Helper()
	b := make([]byte, len(img.Pix))
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2] = img.Pix[i+2], img.Pix[i+1], img.Pix[i]
	}
	page := a.next
	if _, err := a.region.WriteAt(b, int64(page)*wire.PageSize); err != nil {
		a.T.Fatal(err)
	}
	a.next += uint32((len(b) + wire.PageSize - 1) / wire.PageSize)
	return page
}

// Show creates, names, draws and maps a managed window.
func (a *Agent) Show(window uint32, at image.Point, title string, img *image.RGBA) {
	a.T.Helper()
	size := img.Rect.Size()
	a.Send(window, wire.Create{X: int32(at.X), Y: int32(at.Y), Width: uint32(size.X), Height: uint32(size.Y)})
	a.Send(window, wire.WMName(title))
	a.Send(window, wire.Map{})
	a.Draw(window, img)
}

// Menu creates, draws and maps an override-redirect window.
func (a *Agent) Menu(window uint32, at image.Point, img *image.RGBA) {
	a.T.Helper()
	size := img.Rect.Size()
	a.Send(window, wire.Create{X: int32(at.X), Y: int32(at.Y), Width: uint32(size.X), Height: uint32(size.Y), OverrideRedirect: true})
	a.Draw(window, img)
	a.Send(window, wire.Map{OverrideRedirect: true})
}

// Dir makes a short directory for sockets.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "q-gui-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Clean(dir)
}
