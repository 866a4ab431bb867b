// Package vchantest is the conformance suite of the vchan drivers: what every transport
// promises to the programs above it. A driver's test hands Run a way to make two domains.
package vchantest

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"qubist/core/vchan"
)

// patience bounds every wait of the suite; a driver that works comes nowhere near.
const patience = 30 * time.Second

// Pair is two domains of one transport. Server offers ports to Client.
type Pair struct {
	Server, Client vchan.Driver
	// Allow is called before Client dials port of Server; nil if no leave is needed.
	Allow func(t testing.TB, port vchan.Port)
}

// Run runs the suite. Each test calls open for a fresh pair, whose resources open must
// release with t.Cleanup.
func Run(t *testing.T, open func(t testing.TB) Pair) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"ListenThenDial", listenThenDial},
		{"DialThenListen", dialThenListen},
		{"DialCancelled", dialCancelled},
		{"AcceptCancelledThenUsed", acceptCancelled},
		{"ListenerUsedUp", listenerUsedUp},
		{"ListenerClosed", listenerClosed},
		{"ListenerReplaced", listenerReplaced},
		{"PortReused", portReused},
		{"EOFAfterData", eofAfterData},
		{"CloseFlushes", closeFlushes},
		{"CloseTwice", closeTwice},
		{"UseAfterClose", useAfterClose},
		{"WriteToGonePeer", writeToGonePeer},
		{"CloseUnblocksReader", closeUnblocksReader},
		{"Deadlines", deadlines},
		{"LargeBothWays", largeBothWays},
		{"Parallel", parallel},
		{"StalledDoesNotStallOthers", stalled},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			t.Run("", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				t.Cleanup(cancel)
				c.test(&fixture{TB: t, Pair: open(t), ctx: ctx})
			})
			noLeak(t, before)
		})
	}
}

// fixture is what one test has at hand.
type fixture struct {
	testing.TB
	Pair
	ctx context.Context
}

// noLeak waits until no more goroutines run than before the test.
func noLeak(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
			t.Fatalf("%d goroutines left behind, %d before:\n%s", runtime.NumGoroutine(), before, strings.Join(stacks, "\n\n"))
		}
	}
}

func (f *fixture) listen(port vchan.Port) vchan.Listener {
	f.Helper()
	l, err := f.Server.Listen(f.ctx, f.Client.Local(), port)
	if err != nil {
		f.Fatalf("Listen: %v", err)
	}
	f.Cleanup(func() { l.Close() })
	return l
}

// dialed is the outcome of a Dial in the background.
type dialed struct {
	conn vchan.Conn
	err  error
}

func (f *fixture) startDial(ctx context.Context, port vchan.Port) <-chan dialed {
	if f.Allow != nil {
		f.Allow(f, port)
	}
	result := make(chan dialed, 1)
	go func() {
		c, err := f.Client.Dial(ctx, f.Server.Local(), port)
		result <- dialed{c, err}
	}()
	return result
}

// connect accepts on l and returns both ends of the connection that result is about.
func (f *fixture) connect(l vchan.Listener, result <-chan dialed) (server, client vchan.Conn) {
	f.Helper()
	server, err := l.Accept(f.ctx)
	if err != nil {
		f.Fatalf("Accept: %v", err)
	}
	f.Cleanup(func() { server.Close() })
	d := <-result
	if d.err != nil {
		f.Fatalf("Dial: %v", d.err)
	}
	f.Cleanup(func() { d.conn.Close() })
	return server, d.conn
}

// pair connects port, server first.
func (f *fixture) pair(port vchan.Port) (server, client vchan.Conn) {
	f.Helper()
	l := f.listen(port)
	return f.connect(l, f.startDial(f.ctx, port))
}
