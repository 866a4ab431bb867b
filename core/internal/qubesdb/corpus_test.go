package qubesdb_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qubist/core/qubesdb/wire"
)

// replay plays one recorded dialogue with a daemon.
type replay struct {
	*testing.T
	dir    string
	vm     bool // the subject is the VM's side
	d      *daemon
	l      *net.UnixListener // dom0's end of the vchan, when we play dom0
	chans  map[string]*channel
	silent map[string]bool // channels whose silence was only the reference's hang
	acks   bool            // answer what the subject forwards
	ready  bool
	dead   bool // the reference ended
}

// TestCorpusQubesdbDom0 and TestCorpusQubesdbVM replay the recorded dialogues of both sides.
func TestCorpusQubesdbDom0(t *testing.T) { daemonCorpus(t, "dom0", false) }
func TestCorpusQubesdbVM(t *testing.T)   { daemonCorpus(t, "vm", true) }

func daemonCorpus(t *testing.T, file string, vm bool) {
	cases := corpus(t, file)
	agreed := 0
	for _, c := range cases {
		if t.Run(c.ID, func(t *testing.T) { runCase(t, c, vm) }) {
			agreed++
		}
	}
	t.Logf("corpus qubesdb/%s: %d/%d", file, agreed, len(cases))
}

func runCase(t *testing.T, c testCase, vm bool) {
	if change := deliberate[c.ID]; change != nil {
		change(&c)
	} else if c.Normative != nil && !*c.Normative {
		t.Fatal("not normative, and nothing says what to do instead")
	}
	r := &replay{T: t, dir: shortDir(t), vm: vm, chans: map[string]*channel{}, silent: map[string]bool{}}
	r.acks = !vm && !slices.ContainsFunc(c.Steps, func(s step) bool {
		return s.Ch == "vchan" && s.Dir == "to-subject" && strings.HasPrefix(s.Hex, "07")
	})
	domain := "0"
	if vm {
		domain = "5"
		r.listen()
	}
	r.d = start(t, r.dir+"/run", r.dir+"/vchan", domain, c.Setup.Argv[1:])
	last := fatalStep(c.Steps)
	var before string
	for i, s := range c.Steps {
		if i == last {
			before = r.dump()
			r.dead = true
		}
		if r.Failed() {
			r.Fatalf("at step %d: %+v", i, s)
		}
		r.step(s)
	}
	if r.dead {
		if after := r.dump(); after != before {
			t.Errorf("what ended the link was obeyed:\n%s, before\n%s", after, before)
		}
	}
	for name, ch := range r.chans {
		if b := ch.pending(); len(b) > 0 && !r.dead {
			t.Errorf("more on %s: %s", name, messages(b))
		}
	}
}

// fatalStep finds the last thing the reference heard before it ended by itself, -1 if it
// did not: the link must close, and everything else may go on.
func fatalStep(steps []step) int {
	last := -1
	for i, s := range steps {
		switch {
		case s.Event == "sigterm":
			return -1
		case s.Dir == "to-subject", s.Event == "close":
			last = i
		case s.Event == "subject-exit":
			return last
		}
	}
	return -1
}

func (r *replay) listen() {
	path := filepath.Join(r.dir, "vchan", "vchan.0.5.111.sock")
	os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { l.Close() })
	r.l = l
}

func (r *replay) socket(name string) string {
	base := "qubesdb.vm1."
	if r.vm {
		base = "qubesdb."
	}
	if files, _ := filepath.Glob(r.dir + "/run/qubesdb.dom0.sock"); len(files) > 0 {
		base = "qubesdb.dom0."
	}
	return filepath.Join(r.dir, "run", base+map[string]string{"rw": "", "ro": "ro."}[name]+"sock")
}

func (r *replay) step(s step) {
	r.Helper()
	ch := r.chans[s.Ch]
	if r.dead && !(s.Ch == "vchan" && ch != nil) {
		return // the reference's end; ours goes on
	}
	switch {
	case s.Dir == "to-subject":
		ch.SetWriteDeadline(time.Now().Add(patience))
		if _, err := ch.Write(s.bytes(r.T)); err != nil && !r.dead {
			r.Errorf("writing to %s: %v", s.Ch, err)
		}
	case s.Dir == "from-subject":
		r.expect(s, ch)
	default:
		r.event(s, ch)
	}
}

func (r *replay) expect(s step, ch *channel) {
	r.Helper()
	want := s.bytes(r.T)
	if r.silent[s.Ch] {
		r.early(s, ch, want)
		return
	}
	got := ch.take(len(want))
	if !bytes.Equal(got, want) && !(s.Optional && len(got) == 0) {
		r.Errorf("on %s:\n%s, want\n%s", s.Ch, messages(got), messages(want))
	}
	if !r.acks || s.Ch != "vchan" {
		return
	}
	for b := got; len(b) >= wire.HeaderSize; {
		h, _ := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		b = b[wire.HeaderSize+int(h.Len):]
		if h.Type == wire.Write || h.Type == wire.Rm {
			_, _ = ch.Write(wire.Append(nil, wire.RespOK, h.Path, ""))
		}
	}
}

// early takes an answer that we gave while the reference was held up by somebody else: the
// same, or what was true before that somebody went on.
func (r *replay) early(s step, ch *channel, want []byte) {
	r.Helper()
	delete(r.silent, s.Ch)
	got := ch.take(wire.HeaderSize)
	h, err := wire.ParseHeader((*[wire.HeaderSize]byte)(got))
	if err != nil {
		r.Fatal(err)
	}
	got = append(got, ch.take(int(h.Len))...)
	if before := wire.Append(nil, wire.RespNoEnt, h.Path, ""); !bytes.Equal(got, want) && !(bytes.Equal(got, before) && bytes.Equal(want[1:1+len(h.Path)], []byte(h.Path))) {
		r.Errorf("on %s:\n%s, want\n%s", s.Ch, messages(got), messages(want))
	}
}

func (r *replay) event(s step, ch *channel) {
	r.Helper()
	switch s.Event {
	case "ready":
		waitFor(r.T, r.d.ready, "readiness")
		r.ready = true
	case "not-ready":
		select {
		case <-r.d.ready:
			r.Error("ready too early")
		case <-time.After(quiet):
		}
	case "connected-to-subject":
		r.connect(s)
	case "subject-connected":
		if r.l == nil {
			r.listen()
		}
		r.l.SetDeadline(time.Now().Add(patience))
		c, err := r.l.Accept()
		if err != nil {
			r.Fatalf("the daemon does not connect: %v", err)
		}
		r.l.Close()
		r.l = nil
		r.Cleanup(func() { c.Close() })
		r.chans[s.Ch] = collect(c)
	case "silence":
		r.silence(s)
	case "close":
		ch.Close()
		delete(r.chans, s.Ch)
	case "shutdown-write":
		if err := ch.Conn.(*net.UnixConn).CloseWrite(); err != nil {
			r.Error(err)
		}
	case "eof-from-subject":
		if _, ok := ch.ended(); !ok {
			r.Errorf("%s stays open", s.Ch)
		}
	case "sigterm":
		if err := r.d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.Error(err)
		}
	case "subject-exit":
		waitFor(r.T, r.d.done, "the daemon's end")
		if got := r.d.cmd.ProcessState.ExitCode(); got != *s.Status {
			r.Errorf("exit status %d, want %d", got, *s.Status)
		}
	case "files":
		r.files(s.Names)
	default:
		r.Errorf("unknown step %+v", s)
	}
}

func (r *replay) connect(s step) {
	path := filepath.Join(r.dir, "vchan", "vchan.0.5.111.sock")
	if s.Socket != "" {
		path = r.socket(s.Socket)
	}
	if s.Ch == "vchan2" { // not served there, refused here
		if c, err := net.Dial("unix", path); err == nil {
			r.Cleanup(func() { c.Close() })
			r.chans[s.Ch] = collect(c)
		} else {
			a, b := net.Pipe()
			r.Cleanup(func() { a.Close(); b.Close() })
			go func() { _, _ = b.Read(make([]byte, 4096)) }()
			r.chans[s.Ch] = collect(a)
		}
		return
	}
	r.chans[s.Ch] = connect(r.T, path)
}

func (r *replay) silence(s step) {
	r.Helper()
	if s.Blocked {
		r.silent[s.Ch] = true
		return
	}
	time.Sleep(quiet)
	for name, ch := range r.chans {
		if b := ch.pending(); len(b) > 0 && (s.Ch == "" || s.Ch == name) && !r.silent[name] {
			r.Errorf("%s is not silent: %s", name, messages(b))
		}
	}
}

// files compares the socket directory; names with modes are only part of what is there.
func (r *replay) files(want []string) {
	r.Helper()
	dir := r.dir + "/run"
	if len(want) > 0 && strings.HasPrefix(want[0], "vchan") {
		dir = r.dir + "/vchan"
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.Fatal(err)
	}
	var plain, full []string
	for _, e := range entries {
		plain = append(plain, e.Name())
		info, err := e.Info()
		if err != nil {
			r.Fatal(err)
		}
		text := fmt.Sprintf("%s %o", e.Name(), info.Mode().Perm())
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			text = e.Name() + " -> " + to
		}
		full = append(full, text)
	}
	if len(want) == 0 || !strings.Contains(want[0], " ") {
		if !slices.Equal(plain, want) && len(plain)+len(want) > 0 {
			r.Errorf("files %q, want %q", plain, want)
		}
		return
	}
	for _, w := range want {
		if !slices.Contains(full, w) && !slices.Contains(plain, w) {
			r.Errorf("files %q, want %q", full, w)
		}
	}
}

// dump is the whole database as a client sees it.
func (r *replay) dump() string {
	r.Helper()
	if !r.ready {
		return ""
	}
	c := connect(r.T, r.socket("ro"))
	defer c.Close()
	if _, err := c.Write(wire.Append(nil, wire.MultiRead, "/", "")); err != nil {
		r.Fatal(err)
	}
	var all []byte
	for {
		b := c.take(wire.HeaderSize)
		if len(b) < wire.HeaderSize {
			r.Fatal("clients are not served")
		}
		h, err := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		if err != nil {
			r.Fatal(err)
		}
		all = append(append(all, b...), c.take(int(h.Len))...)
		if h.Path == "" {
			return messages(all)
		}
	}
}

// deliberate says where we do what the specification says instead of what was recorded.
var deliberate = map[string]func(*testCase){
	// Data of a WATCH is not taken for a header: it is refused like that of other requests.
	"data-on-watch": func(c *testCase) {
		value := wire.Append(nil, wire.RespError, "/k", "")
		read := func() string { // what READ /k answers at the end of the recording
			for i := len(c.Steps) - 1; ; i-- {
				if strings.HasPrefix(c.Steps[i].Hex, "0a") && c.Steps[i].Ch == "c" {
					return c.Steps[i].Hex
				}
			}
		}()
		n := map[string]int{}
		for i := range c.Steps {
			s := &c.Steps[i]
			if s.Dir != "from-subject" || s.Ch != "a" && s.Ch != "b" {
				continue
			}
			if s.Hex = read; n[s.Ch] == 0 {
				s.Hex = fmt.Sprintf("%x", value)
			}
			n[s.Ch]++
		}
	},
	// Data of an OK is not taken for a message: the link ends.
	"vchan-vm-ok-data": func(c *testCase) {
		for i, s := range c.Steps {
			if s.Dir == "to-subject" && strings.HasPrefix(s.Hex, "07") {
				c.Steps = append(c.Steps[:i+1:i+1], step{Ch: "vchan", Event: "eof-from-subject"}, step{Event: "subject-exit"})
				return
			}
		}
	},
	// Client 257 is turned away (TestClientLimit); here, the daemon lives on.
	"many-clients": func(c *testCase) {
		zero := 0
		c.Steps = []step{{Event: "ready"}}
		for i := range 257 {
			c.Steps = append(c.Steps, step{Ch: fmt.Sprint(i), Event: "connected-to-subject", Socket: "rw"})
		}
		read := fmt.Sprintf("%x", wire.Append(nil, wire.Read, "/a", ""))
		c.Steps = append(c.Steps,
			step{Ch: "256", Event: "eof-from-subject"},
			step{Ch: "255", Dir: "to-subject", Hex: read},
			step{Ch: "255", Dir: "from-subject", Hex: fmt.Sprintf("%x", wire.Append(nil, wire.RespNoEnt, "/a", ""))},
			step{Event: "sigterm"}, step{Event: "subject-exit", Status: &zero}, step{Event: "files"})
	},
	// Local writes are answered although the VM does not read, and reach it later.
	"vchan-not-reading": func(c *testCase) {
		var steps []step
		forwarded := ""
		for _, s := range c.Steps {
			if s.Ch == "vchan" && len(steps) < 5 || s.Event == "ready" || s.Event == "connected-to-subject" {
				steps = append(steps, s)
			} else if s.Ch == "a" && s.Dir == "to-subject" && strings.HasPrefix(s.Hex, "01") {
				h := s.Hex[:2*wire.HeaderSize]
				ok := "07" + h[2:2*68] + "00000000"
				steps = append(steps, s, step{Ch: "a", Dir: "from-subject", Hex: ok})
				forwarded += s.Hex
			}
		}
		c.Steps = append(steps, step{Ch: "vchan", Dir: "from-subject", Hex: forwarded})
	},
	// Clients in the VM are served while dom0's daemon is away.
	"vm-reconnect": func(c *testCase) {
		for i := range c.Steps {
			if s := &c.Steps[i]; s.Ch == "a" && s.Event == "silence" {
				s.Blocked = true
				return
			}
		}
	},
	// The VM's side connects again.
	"vm-sync-close": func(c *testCase) {
		zero := 0
		for i, s := range c.Steps {
			if s.Event == "close" {
				c.Steps = append(c.Steps[:i+1:i+1], step{Ch: "vchan", Event: "subject-connected"}, c.Steps[1], step{Event: "not-ready"},
					step{Event: "sigterm"}, step{Event: "subject-exit", Status: &zero})
				return
			}
		}
	},
}
