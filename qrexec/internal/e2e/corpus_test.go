package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qubist/qrexec/wire"
)

type step struct {
	Ch       string `json:"ch"`
	Dir      string `json:"dir"`
	Hex      string `json:"hex"`
	Event    string `json:"event"`
	Status   *int   `json:"status"`
	Stdout   string `json:"stdout_hex"`
	Volatile bool   `json:"volatile"`
}

type transcript struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Setup   struct {
		Argv         []string          `json:"argv"`
		Env          map[string]string `json:"env"`
		User         string            `json:"user"`
		Service      map[string]string `json:"service"`
		Services     map[string]string `json:"services"`
		Config       map[string]string `json:"config"`
		Sockets      []string          `json:"sockets"`
		PolicyStdout string            `json:"policy_program_stdout"`
		PolicyExit   int               `json:"policy_program_exit"`
		PolicySocket bool              `json:"policy_socket"`
		Stdin        *string           `json:"stdin"`
	} `json:"setup"`
	Steps []step `json:"steps"`
}

func corpusDir(t *testing.T) string {
	if d := os.Getenv("QUBIST_CORPUS"); d != "" {
		d = filepath.Join(d, "qrexec")
		if _, err := os.Stat(d); err != nil {
			t.Skipf("QUBIST_CORPUS has no folder qrexec: %v", err)
		}
		return d
	}
	return "../../testdata/qrexec"
}

func TestCorpusQrexecDaemon(t *testing.T)   { replayFile(t, "daemon.json") }
func TestCorpusQrexecAgent(t *testing.T)    { replayFile(t, "agent.json") }
func TestCorpusQrexecClient(t *testing.T)   { replayFile(t, "qrexec-client.json") }
func TestCorpusQrexecClientVM(t *testing.T) { replayFile(t, "qrexec-client-vm.json") }

func replayFile(t *testing.T, name string) {
	path := filepath.Join(corpusDir(t), name)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no %s in the corpus", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []transcript
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	var agreed, shown atomic.Int32
	t.Run("transcripts", func(t *testing.T) {
		for _, tr := range all {
			t.Run(tr.Name, func(t *testing.T) {
				t.Parallel()
				if strings.Contains(tr.Setup.User, "nobody") && os.Geteuid() != 0 {
					t.Skip("needs root, to run the agent as nobody")
				}
				adapt(t, &tr)
				if diffs := replay(t, tr); len(diffs) == 0 {
					agreed.Add(1)
				} else if shown.Add(1) <= 10 {
					t.Error(strings.Join(diffs, "\n"))
				} else {
					t.Fail()
				}
			})
		}
	})
	t.Logf("corpus qrexec: %d/%d (%s)", agreed.Load(), len(all), name)
}

// adapt changes the expectation of the transcripts in which ours differs on purpose.
func adapt(t *testing.T, tr *transcript) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	last := func(dir, ch string) *step {
		for i := len(tr.Steps) - 1; i >= 0; i-- {
			if s := &tr.Steps[i]; s.Dir == dir && s.Ch == ch {
				return s
			}
		}
		t.Fatalf("no step %s %s", dir, ch)
		return nil
	}
	switch tr.Name {
	case "daemon-client-bad-max-len":
		// The original stops after the header of a body larger than its ring; ours passes
		// the body on, with the port that the client was told.
		req := unhex(last("to-subject", "client1").Hex)
		binary.LittleEndian.PutUint32(req[wire.HeaderLen+4:], wire.FirstPort)
		last("from-subject", "control").Hex = hex.EncodeToString(req)
	case "daemon-trigger-v3-name-65000":
		// The same the other way round: ours reads the request and refuses it by policy.
		for i := range tr.Steps {
			if s := &tr.Steps[i]; s.Event == "silence" && s.Ch == "control" {
				id := decode(unhex(last("to-subject", "control").Hex))[0].body[wire.NameLen : wire.NameLen+wire.IdentLen]
				*s = step{Ch: "control", Dir: "from-subject", Hex: hex.EncodeToString(wire.Append(nil, wire.ServiceRefused, []byte(id)))}
			}
		}
	case "agent-trigger-max":
		downgrade(last("from-subject", "control"), unhex(last("to-subject", "local").Hex))
	case "agent-trigger-v4", "agent-trigger-ident-ignored":
		// The original sends TRIGGER_SERVICE4 even to a daemon that said 3, which ends such
		// a daemon; ours sends what the negotiated version has.
		s := last("from-subject", "control")
		downgrade(s, unhex(s.Hex))
	}
}

// downgrade expects a version 4 trigger as version 3.
func downgrade(s *step, b []byte) {
	body := decode(b)[0].body
	s.Hex = hex.EncodeToString(wire.Append(nil, wire.TriggerService3, []byte(body[wire.NameLen:])))
}

// run is one transcript being replayed.
type run struct {
	t      *testing.T
	dir    string
	tr     transcript
	chans  map[string]*channel
	want   map[string][]byte
	snap   map[string][]byte
	vol    map[string]bool
	closed map[string]int // how often the harness closed a channel
	cmd    *exec.Cmd
	done   chan struct{}
	out    strings.Builder
	diffs  []string
}

func (r *run) sub(s string) string { return strings.ReplaceAll(s, "$DIR", r.dir) }

func (r *run) diff(format string, args ...any) {
	r.diffs = append(r.diffs, fmt.Sprintf(format, args...))
}

func replay(t *testing.T, tr transcript) []string {
	r := &run{t: t, dir: shortDir(t), tr: tr, chans: map[string]*channel{}, want: map[string][]byte{}, vol: map[string]bool{}, snap: map[string][]byte{}, closed: map[string]int{}, done: make(chan struct{})}
	r.prepare()
	defer func() {
		r.cmd.Process.Kill()
		<-r.done
		for _, c := range r.chans {
			c.close()
		}
	}()
	r.start()
	for i, s := range tr.Steps {
		before := len(r.diffs)
		r.step(i, s)
		for j := before; j < len(r.diffs); j++ {
			r.diffs[j] = fmt.Sprintf("step %d: %s", i, r.diffs[j])
		}
		if len(r.diffs) > 0 {
			break
		}
	}
	if len(r.diffs) == 0 {
		r.compare()
	}
	return r.diffs
}

// prepare makes the files and the sockets that exist before the subject.
func (r *run) prepare() {
	t, s := r.t, r.tr.Setup
	root := mkdir(t, r.dir, "root")
	mkdir(t, root, "run")
	dom0 := mkdir(t, root, "etc", "qubes-rpc")
	for n, text := range s.Service {
		write(t, filepath.Join(dom0, n), r.sub(text), 0o755)
	}
	rpc, conf := mkdir(t, r.dir, "rpc"), mkdir(t, r.dir, "rpc-config")
	for n, text := range s.Services {
		write(t, filepath.Join(rpc, n), r.sub(text), 0o755)
	}
	for n, text := range s.Config {
		write(t, filepath.Join(conf, n), text, 0o644)
	}
	for _, n := range s.Sockets {
		r.chans["service"] = serve(t, filepath.Join(rpc, n))
	}
	write(t, filepath.Join(r.dir, "policy"), fmt.Sprintf("#!/bin/sh\nprintf '%%s' '%s'\nexit %d\n", s.PolicyStdout, s.PolicyExit), 0o755)
	at := func(name string) string { return filepath.Join(r.dir, name) }
	switch r.tr.Subject {
	case "qrexec-daemon", "daemon":
		r.chans["control"] = serve(t, at("vchan.42.0.512.sock"))
		r.chans["data"] = serve(t, at("vchan.42.0.513.sock"))
		for _, s := range r.tr.Steps {
			if s.Ch == "target-daemon" && r.chans[s.Ch] == nil {
				name := "qrexec.vm2"
				if strings.Contains(string(r.policyAnswer()), "target_uuid=") {
					name = "qrexec.uuid:11111111-2222-3333-4444-555555555555"
				}
				r.chans[s.Ch] = serve(t, at(name))
			}
		}
		if s.PolicySocket {
			r.servePolicy(filepath.Join(root, "run", "policy.sock"))
		}
	case "qrexec-agent", "agent":
		r.chans["data"] = serve(t, at("vchan.43.42.1024.sock"))
	case "qrexec-client":
		r.chans["daemon"] = serve(t, at("qrexec.vm1"))
	case "qrexec-client-vm":
		r.chans["agent"] = serve(t, at("agent.sock"))
	default:
		t.Fatalf("unknown subject %q", r.tr.Subject)
	}
}

func (r *run) policyAnswer() []byte {
	var b []byte
	for _, s := range r.tr.Steps {
		if s.Ch == "policy" && s.Dir == "to-subject" {
			p, _ := hex.DecodeString(s.Hex)
			b = append(b, p...)
		}
	}
	return b
}

// servePolicy answers each question as recorded and closes.
func (r *run) servePolicy(path string) {
	c := newChannel()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	c.l = l
	answer := r.policyAnswer()
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(limit))
			var q []byte
			b := make([]byte, 4096)
			for !strings.HasSuffix(string(q), "\n\n") {
				n, err := conn.Read(b)
				q = append(q, b[:n]...)
				if err != nil {
					break
				}
			}
			c.mu.Lock()
			c.got = append(c.got, q...)
			c.mu.Unlock()
			conn.Write(answer)
			conn.Close()
		}
	})
	r.chans["policy"] = c
}

func (r *run) start() {
	argv := r.tr.Setup.Argv
	r.cmd = exec.Command(filepath.Join(bin, argv[0]))
	for _, a := range argv[1:] {
		r.cmd.Args = append(r.cmd.Args, r.sub(a))
	}
	r.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "QUBIST_VCHAN=socket", "QUBIST_ROOT=" + filepath.Join(r.dir, "root")}
	for k, v := range r.tr.Setup.Env {
		r.cmd.Env = append(r.cmd.Env, k+"="+r.sub(v))
	}
	r.cmd.Dir = r.dir
	r.cmd.Stdout = &r.out
	if s := r.tr.Setup.Stdin; s != nil {
		r.cmd.Stdin = strings.NewReader(*s)
	}
	if strings.Contains(r.tr.Setup.User, "nobody") {
		r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { defer close(r.done); r.cmd.Wait() }()
}

func (r *run) step(i int, s step) {
	switch {
	case s.Dir == "to-subject":
		r.toSubject(i, s)
	case s.Dir == "from-subject":
		r.fromSubject(s)
	default:
		r.event(s)
	}
}

// closing says whether the subject closes the channel of step i next, perhaps before it.
func (r *run) closing(i int) bool {
	for _, s := range r.tr.Steps[i+1:] {
		if s.Ch == r.tr.Steps[i].Ch && s.Dir == "" {
			return s.Event == "eof-from-subject"
		}
	}
	return false
}

func (r *run) toSubject(i int, s step) {
	if s.Ch == "policy" {
		return
	}
	b, err := hex.DecodeString(s.Hex)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.chans[s.Ch].write([]byte(r.sub(string(b)))); err != nil && !r.closing(i) {
		r.diff("writing on %s: %v", s.Ch, err)
	}
}

// raw says whether a channel carries no messages.
func raw(ch string) bool { return ch == "policy" || ch == "service" }

func (r *run) fromSubject(s step) {
	b, err := hex.DecodeString(s.Hex)
	if err != nil {
		r.t.Fatal(err)
	}
	r.want[s.Ch] = append(r.want[s.Ch], r.sub(string(b))...)
	r.vol[s.Ch] = r.vol[s.Ch] || s.Volatile
	c := r.chans[s.Ch]
	if c == nil {
		r.diff("no channel %s", s.Ch)
		return
	}
	reached := func() bool {
		got, eof, _ := c.state()
		if raw(s.Ch) {
			return len(got) >= len(r.want[s.Ch])
		}
		return weight(decode(got), r.vol[s.Ch]) >= weight(decode(r.want[s.Ch]), r.vol[s.Ch]) || eof
	}
	for end := time.Now().Add(limit); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.quiet(s.Ch)
			r.compareOne(s.Ch)
			r.diff("on %s the expected bytes did not come", s.Ch)
			return
		}
	}
	r.quiet(s.Ch)
}

// quiet waits until nothing more comes, as the recording harness did, and keeps what came:
// what a subject writes after the last time it was listened to was not recorded.
func (r *run) quiet(ch string) {
	for n := -1; ; time.Sleep(40 * time.Millisecond) {
		got, _, _ := r.chans[ch].state()
		if len(got) == n {
			r.snap[ch] = got
			return
		}
		n = len(got)
	}
}

func (r *run) event(s step) {
	c := r.chans[s.Ch]
	switch s.Event {
	case "subject-connected":
		need := 1 + r.closed[s.Ch]
		r.await(s, func() bool { _, _, seen := c.state(); return seen >= need })
	case "connected-to-subject":
		r.connect(s.Ch)
	case "eof-from-subject":
		r.await(s, func() bool { _, eof, _ := c.state(); return eof })
		r.quiet(s.Ch)
	case "silence":
		r.quiet(s.Ch)
		if got, eof, _ := c.state(); eof || len(got) > len(r.want[s.Ch]) {
			r.diff("%s is not silent: %d bytes for %d, eof %v", s.Ch, len(got), len(r.want[s.Ch]), eof)
		}
	case "close":
		r.closed[s.Ch]++
		c.conn.Close()
	case "shutdown-write":
		c.conn.CloseWrite()
	case "subject-exit":
		r.exit(s)
	case "subject-still-running":
		select {
		case <-r.done:
			r.diff("the subject has ended: %v", r.cmd.ProcessState)
		default:
		}
	case "no-connection":
		time.Sleep(50 * time.Millisecond)
		for name, c := range r.chans {
			if _, _, seen := c.state(); seen > 0 {
				r.diff("the subject connected to %s", name)
			}
		}
	default:
		r.t.Fatalf("unknown event %q", s.Event)
	}
}

func (r *run) await(s step, cond func() bool) {
	for end := time.Now().Add(limit); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.diff("%s on %s did not happen", s.Event, s.Ch)
			return
		}
	}
}

func (r *run) connect(ch string) {
	paths := map[string]string{
		"client": "qrexec.42", "local": "agent.sock", "control": "vchan.42.0.512.sock",
	}
	name := paths[strings.TrimRight(ch, "0123456789")]
	switch {
	case r.tr.Subject == "qrexec-client" && ch == "data":
		name = "vchan.0.42.513.sock"
	case r.tr.Subject == "qrexec-client-vm" && ch == "data":
		name = "vchan.42.43.600.sock"
	}
	r.chans[ch] = dial(r.t, filepath.Join(r.dir, name))
}

func (r *run) exit(s step) {
	select {
	case <-r.done:
	case <-time.After(limit):
		r.diff("the subject did not end")
		return
	}
	if s.Status == nil {
		return
	}
	if got := r.cmd.ProcessState.ExitCode(); got != *s.Status {
		r.diff("exit status %d, want %d", got, *s.Status)
	}
	if want, _ := hex.DecodeString(s.Stdout); r.tr.Setup.Stdin != nil && string(want) != r.out.String() {
		r.diff("stdout %q, want %q", r.out.String(), want)
	}
}

// compare checks all that the subject wrote on every channel.
func (r *run) compare() {
	for ch := range r.chans {
		if r.want[ch] != nil || r.snap[ch] != nil {
			r.compareOne(ch)
		} else if got, _, _ := r.chans[ch].state(); len(got) > 0 {
			r.diff("%s: nothing was expected, got %q", ch, got)
		}
	}
}

func (r *run) compareOne(ch string) {
	got := r.snap[ch]
	if raw(ch) {
		if string(got) != string(r.want[ch]) {
			r.diff("%s: got %q\nwant %q", ch, got, r.want[ch])
		}
		return
	}
	gm, wm := idents(decode(got)), idents(decode(r.want[ch]))
	g, w := normal(gm, r.vol[ch]), normal(wm, r.vol[ch])
	if g != w {
		r.diff("%s:\ngot\n%.2000s\nwant\n%.2000s", ch, g, w)
	}
}

// idents takes the number out of an agent's own idents.
func idents(ms []message) []message {
	for i, m := range ms {
		at := map[wire.Type]int{wire.TriggerService3: wire.NameLen, wire.TriggerService4: 2 * wire.NameLen}[m.t]
		if at == 0 || len(m.body) < at+wire.IdentLen || !strings.HasPrefix(m.body[at:], "SOCKET") {
			continue
		}
		ms[i].body = m.body[:at] + "SOCKET" + m.body[at+wire.IdentLen:]
	}
	return ms
}
