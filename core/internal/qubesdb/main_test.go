package qubesdb_test

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/core/qubesdb/wire"
)

// bin has the real programs, the tools under all their names.
var bin string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "qubesdb-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "qubist/core/cmd/qubesdb", "qubist/core/cmd/qubesdb-daemon")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	for _, n := range []string{"cmd", "read", "write", "rm", "multiread", "list", "watch", "read-bool"} {
		if err := os.Symlink("qubesdb", filepath.Join(dir, "qubesdb-"+n)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	bin = dir
	return m.Run()
}

const (
	patience = 10 * time.Second      // for what must happen
	quiet    = 20 * time.Millisecond // for what must not
)

// testCase is one line of the corpus.
type testCase struct {
	ID        string
	Normative *bool
	Setup     struct {
		Argv     []string
		Entries  [][2]string
		Sockets  []string
		Dom0, VM struct{ Argv []string }
	}
	Steps          []step
	Stdout, Stderr string
	Status         *int
}

type step struct {
	Ch, Dir, Event, Socket, Hex, Text string
	Side, Stdout, Stderr              string
	Optional                          bool
	Blocked                           bool `json:"reference_blocked"`
	Status                            *int
	Names                             []string
	Tool                              []string
}

func (s step) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(s.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// corpus reads one file of the recordings, from $QUBIST_CORPUS when set.
func corpus(t *testing.T, name string) []testCase {
	t.Helper()
	var r io.Reader
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		f, err := os.Open(filepath.Join(dir, "qubesdb", name+".jsonl"))
		if errors.Is(err, os.ErrNotExist) {
			t.Skipf("QUBIST_CORPUS has no %s: %v", name, err)
		} else if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r = f
	} else {
		f, err := os.Open(filepath.Join("testdata", "qubesdb", name+".jsonl.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var out []testCase
	for dec := json.NewDecoder(bufio.NewReader(r)); ; {
		var c testCase
		if err := dec.Decode(&c); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
}

// channel is one connection to a program under test; what comes is collected.
type channel struct {
	net.Conn
	mu   sync.Mutex
	in   []byte
	eof  bool
	news chan struct{}
}

func collect(c net.Conn) *channel {
	ch := &channel{Conn: c, news: make(chan struct{}, 1)}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			ch.mu.Lock()
			ch.in = append(ch.in, buf[:n]...)
			ch.eof = ch.eof || err != nil
			ch.mu.Unlock()
			select {
			case ch.news <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return ch
}

// take waits for n bytes; fewer are returned when no more come.
func (c *channel) take(n int) []byte {
	limit := time.After(patience)
	for {
		c.mu.Lock()
		if len(c.in) >= n || c.eof {
			n = min(n, len(c.in))
			b := c.in[:n:n]
			c.in = c.in[n:]
			c.mu.Unlock()
			return b
		}
		c.mu.Unlock()
		select {
		case <-c.news:
		case <-limit:
			c.mu.Lock()
			n = len(c.in)
			c.mu.Unlock()
		}
	}
}

// ended waits for the end and returns what came before it.
func (c *channel) ended() ([]byte, bool) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		if c.eof {
			defer c.mu.Unlock()
			return c.in, true
		}
		c.mu.Unlock()
	}
	return nil, false
}

func (c *channel) pending() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in
}

// daemon is a running qubesdb-daemon.
type daemon struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed at READY
	done  chan struct{}
	log   *strings.Builder
}

// start runs a daemon with its sockets in dir and vchans in vchans.
func start(t *testing.T, dir, vchans, domain string, args []string) *daemon {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	d := &daemon{ready: make(chan struct{}), done: make(chan struct{}), log: &strings.Builder{}}
	d.cmd = exec.Command(filepath.Join(bin, "qubesdb-daemon"), append([]string{"--socket-dir", dir, "--ready-fd", "3"}, args...)...)
	d.cmd.Env = []string{"QUBIST_ROOT=" + filepath.Dir(dir), "QUBIST_VCHAN=socket", "VCHAN_SOCKET_DIR=" + vchans, "VCHAN_DOMAIN=" + domain}
	d.cmd.ExtraFiles = []*os.File{w}
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer r.Close()
		if b, _ := io.ReadAll(r); string(b) == "READY\n" {
			close(d.ready)
		}
	}()
	go func() { defer close(d.done); _ = d.cmd.Wait() }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
		if t.Failed() {
			t.Log(d.log.String())
		}
	})
	return d
}

func waitFor(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// shortDir has room for socket names.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "qdb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"run", "vchan"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// connect dials until somebody listens.
func connect(t testing.TB, path string) *channel {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("unix", path)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return collect(c)
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// messages is readable text of bytes.
func messages(b []byte) string {
	var out []string
	for len(b) >= wire.HeaderSize {
		h, _ := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		b = b[wire.HeaderSize:]
		n := min(int(h.Len), len(b))
		out = append(out, fmt.Sprintf("%v %q %.40q", h.Type, h.Path, b[:n]))
		b = b[n:]
	}
	if len(b) > 0 {
		out = append(out, fmt.Sprintf("%d bytes more", len(b)))
	}
	return strings.Join(out, "; ")
}
