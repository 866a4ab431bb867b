package link

import (
	"bufio"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"time"

	"qubist/core/vchan/wire"
)

// past interrupts whatever waits on a port.
var past = time.Unix(1, 0)

// errAgain: the handshake began but did not end; another one is due.
var errAgain = errors.New("handshake not completed")

// plink is an open port with the bytes read ahead from it, which survive sessions: the
// handshake of the next one may be among them.
type plink struct {
	port Port
	r    *bufio.Reader
}

func newPlink(port Port) *plink {
	return &plink{port: port, r: bufio.NewReaderSize(port, wire.HeaderSize+wire.MaxPayload)}
}

// handshake makes sure that the bytes which follow, in both directions, belong to one
// session of two peers that know of each other. What comes before is discarded.
func (p *plink) handshake() error {
	var own wire.Epoch
	rand.Read(own[:])
	g := startGreeter(p.port, own)
	defer g.stop()
	defer p.port.SetReadDeadline(time.Time{})
	heard := false
	for {
		f, err := p.nextFrame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errAgain
		}
		if err != nil {
			return err
		}
		if f.Own == own {
			continue // an echo of ours
		}
		if !heard {
			heard = true
			p.port.SetReadDeadline(time.Now().Add(HandshakeLimit))
		}
		g.answer(f.Own)
		if f.Kind == wire.ACK && f.Peer == own {
			return g.wait()
		}
	}
}

// nextFrame returns the next handshake frame among whatever else comes.
func (p *plink) nextFrame() (wire.Frame, error) {
	for {
		b, _ := p.r.Peek(p.r.Buffered())
		f, used, ok := wire.Scan(b)
		p.r.Discard(used)
		if ok {
			return f, nil
		}
		if _, err := p.r.Peek(p.r.Buffered() + 1); err != nil {
			return wire.Frame{}, err
		}
	}
}

// greeter writes this side's frames: a flush, then SYN until a peer was heard, then one
// ACK for each peer (a peer that restarts meanwhile is another one). It never repeats an
// ACK: the second would be taken for content.
type greeter struct {
	port     Port
	own      wire.Epoch
	wake     chan struct{} // target changed
	progress chan struct{} // sent changed
	quit     chan struct{}
	done     chan struct{}

	mu           sync.Mutex
	target, sent wire.Epoch
	err          error // set before done is closed
}

func startGreeter(port Port, own wire.Epoch) *greeter {
	g := &greeter{port: port, own: own,
		wake: make(chan struct{}, 1), progress: make(chan struct{}, 1),
		quit: make(chan struct{}), done: make(chan struct{})}
	go g.run()
	return g
}

// answer makes the peer of that epoch the one to acknowledge.
func (g *greeter) answer(peer wire.Epoch) {
	g.mu.Lock()
	g.target = peer
	g.mu.Unlock()
	notify(g.wake)
}

// wait returns when the peer last given to answer was acknowledged.
func (g *greeter) wait() error {
	for {
		g.mu.Lock()
		reached := g.sent == g.target
		g.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-g.progress:
		case <-g.done:
			return g.err
		}
	}
}

// stop ends the greeter, whatever it waits for.
func (g *greeter) stop() {
	close(g.quit)
	g.port.SetWriteDeadline(past)
	<-g.done
	g.port.SetWriteDeadline(time.Time{})
}

func (g *greeter) run() {
	defer close(g.done)
	if g.err = g.greet(); g.err != nil && !errors.Is(g.err, os.ErrDeadlineExceeded) {
		g.port.Close() // ends the reader too
	}
}

func (g *greeter) greet() error {
	syn := wire.Frame{Kind: wire.SYN, Own: g.own}.Append(nil)
	if _, err := g.port.Write(append(wire.Flush(), syn...)); err != nil {
		return err
	}
	tick := time.NewTicker(SynInterval)
	defer tick.Stop()
	for {
		g.mu.Lock()
		target, sent := g.target, g.sent
		g.mu.Unlock()
		if target != sent {
			tick.Stop()
			ack := wire.Frame{Kind: wire.ACK, Own: g.own, Peer: target}
			if _, err := g.port.Write(ack.Append(nil)); err != nil {
				return err
			}
			g.mu.Lock()
			g.sent = target
			g.mu.Unlock()
			notify(g.progress)
			continue
		}
		select {
		case <-g.quit:
			return nil
		case <-g.wake:
		case <-tick.C:
			if target == (wire.Epoch{}) {
				if _, err := g.port.Write(syn); err != nil {
					return err
				}
			}
		}
	}
}

// notify leaves a note in a channel of one place.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
