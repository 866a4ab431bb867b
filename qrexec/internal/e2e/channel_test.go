package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/qrexec/wire"
)

// channel is the harness's end of one connection of a transcript.
type channel struct {
	l *net.UnixListener // nil where the harness is the client

	mu   sync.Mutex
	cond *sync.Cond
	conn *net.UnixConn
	seen int // connections accepted so far
	got  []byte
	eof  bool
	wg   sync.WaitGroup
}

func newChannel() *channel {
	c := &channel{}
	c.cond = sync.NewCond(&c.mu)
	return c
}

// serve accepts at path.
func serve(t *testing.T, path string) *channel {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o777)
	c := newChannel()
	c.l = l
	c.wg.Go(func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			c.adopt(conn)
		}
	})
	return c
}

// dial connects to path once somebody serves it.
func dial(t *testing.T, path string) *channel {
	t.Helper()
	c := newChannel()
	eventually(t, "connecting to "+path, func() bool {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			c.adopt(conn)
		}
		return err == nil
	})
	return c
}

func (c *channel) adopt(conn *net.UnixConn) {
	c.mu.Lock()
	c.conn, c.eof = conn, false
	c.seen++
	c.mu.Unlock()
	c.wg.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, err := conn.Read(b)
			c.mu.Lock()
			c.got = append(c.got, b[:n]...)
			if err != nil && c.conn == conn {
				c.eof = true
			}
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

func (c *channel) close() {
	if c.l != nil {
		c.l.Close()
	}
	c.mu.Lock()
	if c.conn != nil {
		c.conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

func (c *channel) state() (got []byte, eof bool, seen int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.got), c.eof, c.seen
}

func (c *channel) write(b []byte) error {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	conn.SetWriteDeadline(time.Now().Add(limit))
	_, err := conn.Write(b)
	return err
}

// message is one decoded message; a tail that is none has type 0.
type message struct {
	t    wire.Type
	body string
}

func decode(b []byte) []message {
	var out []message
	for len(b) > 0 {
		if len(b) < wire.HeaderLen || uint64(binary.LittleEndian.Uint32(b[4:])) > uint64(len(b)-wire.HeaderLen) {
			return append(out, message{body: string(b)})
		}
		n := int(binary.LittleEndian.Uint32(b[4:]))
		out = append(out, message{wire.Type(binary.LittleEndian.Uint32(b)), string(b[wire.HeaderLen : wire.HeaderLen+n])})
		b = b[wire.HeaderLen+n:]
	}
	return out
}

func isData(t wire.Type) bool { return t >= wire.DataStdin && t <= wire.DataStderr }

// weight measures how far a conversation is, however data is cut. Volatile texts count one.
func weight(ms []message, volatile bool) int {
	n := 0
	for _, m := range ms {
		if isData(m.t) && m.body != "" && !volatile {
			n += len(m.body)
		} else {
			n++
		}
	}
	return n
}

// normal is a conversation with the freedom the corpus leaves taken out: data joined per
// type, other messages sorted, but a hello first and an exit code last.
func normal(ms []message, volatile bool) string {
	joined := map[wire.Type]string{}
	var other []string
	for i, m := range ms {
		switch {
		case isData(m.t) && m.body == "":
			joined[m.t] += "<EOF>"
		case isData(m.t) && volatile && m.t == wire.DataStderr:
			joined[m.t] = "text"
		case isData(m.t):
			joined[m.t] += m.body
		case m.t == wire.Hello && i == 0:
			other = append(other, fmt.Sprintf(" first hello %x", m.body))
		case m.t == wire.DataExitCode && i == len(ms)-1:
			other = append(other, fmt.Sprintf("last code %x", m.body))
		default:
			other = append(other, fmt.Sprintf("%v %x", m.t, m.body))
		}
	}
	for t, s := range joined {
		other = append(other, fmt.Sprintf("%v %q", t, s))
	}
	sort.Strings(other)
	return strings.Join(other, "\n")
}
