package qubesdb_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qubist/core/qubesdb/wire"
)

// latin1 is what the recordings call text: a code point for each byte.
func latin1(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

func unLatin1(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// TestCorpusQubesdbTools plays the daemon to each recorded call of a tool.
func TestCorpusQubesdbTools(t *testing.T) {
	cases := corpus(t, "tools")
	agreed := 0
	for _, c := range cases {
		if t.Run(c.ID, func(t *testing.T) { toolCase(t, c) }) {
			agreed++
		}
	}
	t.Logf("corpus qubesdb/tools: %d/%d", agreed, len(cases))
}

// listenAs makes the sockets that a tool is to see.
func listenAs(t *testing.T, dir string, names []string) map[string]*net.UnixListener {
	t.Helper()
	out := map[string]*net.UnixListener{}
	for _, n := range names {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, n), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		kind := "rw"
		if strings.HasSuffix(n, ".ro.sock") {
			kind = "ro"
		}
		out[kind] = l
	}
	return out
}

func toolCase(t *testing.T, c testCase) {
	dir := shortDir(t)
	socks := listenAs(t, dir+"/run", c.Setup.Sockets)
	args := make([]string, len(c.Setup.Argv))
	for i, a := range c.Setup.Argv {
		args[i] = unLatin1(a)
	}
	cmd := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
	cmd.Env = []string{"QUBIST_ROOT=" + dir}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill(); <-done }()
	playDaemon(t, c, socks, cmd)
	if c.Status == nil {
		return // it was killed, and what it had printed was lost
	}
	waitFor(t, done, "the tool's end")
	status, text := *c.Status, c.Stderr
	if c.ID == "tool-write-then-after-error" { // an error instead of SIGPIPE
		status, text = 1, text+"Failed to write /ok\n"
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
	if got := latin1(stdout.Bytes()); got != c.Stdout {
		t.Errorf("stdout %q, want %q", got, c.Stdout)
	}
	// The usage is in our own words.
	got, want := latin1(stderr.Bytes()), text
	for _, mark := range []string{"Usage: ", "usage: "} {
		if i, j := strings.Index(got, mark), strings.Index(want, mark); i >= 0 && j >= 0 {
			got, _, _ = strings.Cut(got[:i]+strings.TrimPrefix(got[i:], mark), " ")
			want, _, _ = strings.Cut(want[:j]+strings.TrimPrefix(want[j:], mark), " ")
		}
	}
	if got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

func playDaemon(t *testing.T, c testCase, socks map[string]*net.UnixListener, cmd *exec.Cmd) {
	t.Helper()
	chans := map[string]*channel{}
	for _, s := range c.Steps {
		ch := chans[s.Ch]
		switch {
		case s.Event == "tool-connected":
			l := socks[s.Ch[:2]]
			l.SetDeadline(time.Now().Add(patience))
			conn, err := l.Accept()
			if err != nil {
				t.Fatalf("the tool does not connect: %v", err)
			}
			defer conn.Close()
			chans[s.Ch] = collect(conn)
		case s.Dir == "tool-to-daemon":
			if got, want := ch.take(len(s.Hex)/2), s.bytes(t); !bytes.Equal(got, want) {
				t.Fatalf("it says\n%s, want\n%s", messages(got), messages(want))
			}
		case s.Dir == "daemon-to-tool":
			if _, err := ch.Write(s.bytes(t)); err != nil {
				t.Fatal(err)
			}
		case s.Event == "tool-closed":
			if c.Status == nil {
				_ = cmd.Process.Kill()
			}
			if b, ok := ch.ended(); !ok || len(b) > 0 {
				t.Errorf("no end, but %s", messages(b))
			}
		case s.Event == "daemon-closed":
			ch.Close()
		case s.Event != "other-client":
			t.Fatalf("unknown step %+v", s)
		}
	}
}

// pair is both daemons with a link between them that the test holds.
type pair struct {
	*testing.T
	dir   string
	sides map[string]*daemon
	link  map[string]*channel // what the daemon of that side sent
	steps []step
	ran   []bool
}

// TestCorpusQubesdbPair runs both daemons and the tools, and compares what crosses the link.
func TestCorpusQubesdbPair(t *testing.T) {
	cases := corpus(t, "pair")
	agreed := 0
	for _, c := range cases {
		if t.Run(c.ID, func(t *testing.T) { pairCase(t, c) }) {
			agreed++
		}
	}
	t.Logf("corpus qubesdb/pair: %d/%d", agreed, len(cases))
}

func pairCase(t *testing.T, c testCase) {
	if c.ID == "pair-cross" { // dom0's value wins on both sides
		for i := range c.Steps {
			c.Steps[i].Stdout = strings.ReplaceAll(c.Steps[i].Stdout, "/x = V", "/x = D")
		}
	}
	p := &pair{T: t, dir: shortDir(t), sides: map[string]*daemon{}, steps: c.Steps, ran: make([]bool, len(c.Steps))}
	for _, d := range []string{"dom0", "vm"} {
		for _, sub := range []string{"run", "vchan"} {
			if err := os.MkdirAll(filepath.Join(p.dir, d, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for side, domain := range map[string]string{"dom0": "0", "vm": "5"} {
		args := c.Setup.Dom0.Argv
		if side == "vm" {
			args = c.Setup.VM.Argv
		}
		p.sides[side] = start(t, filepath.Join(p.dir, side, "run"), filepath.Join(p.dir, side, "vchan"), domain, args[1:])
	}
	waitFor(t, p.sides["dom0"].ready, "dom0's readiness")
	for i := range p.steps {
		if t.Failed() {
			t.FailNow()
		}
		p.step(i)
	}
}

func (p *pair) step(i int) {
	p.Helper()
	s := p.steps[i]
	switch {
	case s.Tool != nil:
		p.tool(i)
	case s.Dir == "vm-to-dom0":
		p.carry(i, "vm", "dom0")
	case s.Dir == "dom0-to-vm":
		p.carry(i, "dom0", "vm")
	case s.Event == "link-up":
		p.up()
	case s.Event == "link-down":
		p.down()
	case s.Event == "ready":
		waitFor(p.T, p.sides[s.Side].ready, "readiness of "+s.Side)
	case s.Event == "exit": // of the reference; ours drop the link, and connect again
		if _, ok := p.link[s.Side].ended(); !ok {
			p.Errorf("%s keeps the link", s.Side)
		}
		if i == len(p.steps)-1 {
			p.down()
			p.up()
			p.link["dom0"].Write(p.link["vm"].take(wire.HeaderSize))
			if got := messages(p.link["dom0"].take(wire.HeaderSize)); !strings.HasPrefix(got, "R_MULTIREAD") {
				p.Errorf("after the new link: %s", got)
			}
		}
	default:
		p.Errorf("unknown step %+v", s)
	}
}

func (p *pair) tool(i int) {
	p.Helper()
	if p.ran[i] {
		return
	}
	p.ran[i] = true
	s := p.steps[i]
	cmd := exec.Command(filepath.Join(bin, s.Tool[0]), s.Tool[1:]...)
	cmd.Env = []string{"QUBIST_ROOT=" + filepath.Join(p.dir, s.Side)}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != *s.Status || latin1(stdout.Bytes()) != s.Stdout || latin1(stderr.Bytes()) != s.Stderr {
		p.Errorf("%s %q: %v %.200q %q, want %d %.200q %q", s.Side, s.Tool, err, stdout.String(), stderr.String(), *s.Status, s.Stdout, s.Stderr)
	}
}

// carry passes on what one side sends; if a tool makes it send that, the tool runs first.
func (p *pair) carry(i int, from, to string) {
	p.Helper()
	want := p.steps[i].bytes(p.T)
	for b := want; len(b) >= wire.HeaderSize; {
		h, _ := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		b = b[wire.HeaderSize+int(h.Len):]
		if h.Type == wire.Write || h.Type == wire.Rm {
			p.cause(i, from, h.Path)
		}
	}
	got := p.link[from].take(len(want))
	if !bytes.Equal(got, want) {
		p.Fatalf("from %s at step %d:\n%s, want\n%s", from, i, messages(got), messages(want))
	}
	if _, err := p.link[to].Write(got); err != nil {
		p.Error(err)
	}
}

func (p *pair) cause(i int, side, path string) {
	p.Helper()
	for j := i + 1; j < len(p.steps); j++ {
		s := p.steps[j]
		if s.Tool == nil || s.Side != side || p.ran[j] {
			continue
		}
		if strings.Contains(strings.Join(s.Tool, " ")+" ", " "+path+" ") {
			p.tool(j)
		}
		return
	}
}

func (p *pair) up() {
	p.Helper()
	path := filepath.Join(p.dir, "vm", "vchan", "vchan.0.5.111.sock")
	os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		p.Fatal(err)
	}
	defer l.Close()
	l.SetDeadline(time.Now().Add(patience))
	vm, err := l.Accept()
	if err != nil {
		p.Fatalf("the VM's side does not connect: %v", err)
	}
	p.Cleanup(func() { vm.Close() })
	p.link = map[string]*channel{"vm": collect(vm), "dom0": connect(p.T, filepath.Join(p.dir, "dom0", "vchan", "vchan.0.5.111.sock"))}
}

func (p *pair) down() {
	for _, c := range p.link {
		c.Close()
	}
	p.link = nil
}
