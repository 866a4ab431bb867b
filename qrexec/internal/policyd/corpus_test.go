package policyd_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/qrexec/internal/policyd"
	"qubist/qrexec/policy"
)

type agentCall struct {
	Service   string         `json:"service"`
	Via       string         `json:"via"`
	Header    string         `json:"header"`
	Argv      []string       `json:"argv"`
	JSON      map[string]any `json:"json"`
	Answer    *string        `json:"answer"`
	AnswerHex *string        `json:"answer_hex"`
	Exit      int            `json:"exit"`
}

type dialogue struct {
	ID            string      `json:"id"`
	Description   string      `json:"description"`
	System        string      `json:"system"`
	Policy        string      `json:"policy"`
	Socket        string      `json:"socket"`
	RequestHex    string      `json:"request_hex"`
	AgentCalls    []agentCall `json:"agent_calls"`
	Response      *string     `json:"response"`
	ResponseLines []string    `json:"response_lines"`
	Exit          *int        `json:"exit"`
}

type setup struct {
	Systems  map[string]json.RawMessage   `json:"systems"`
	Policies map[string]map[string]string `json:"policies"`
}

func corpusFile(t *testing.T, name string) []byte {
	t.Helper()
	dir := filepath.Join("testdata", "policy-agent")
	if root := os.Getenv("QUBIST_CORPUS"); root != "" {
		dir = filepath.Join(root, "policy-agent")
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("no policy-agent corpus: %v", err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rig is a running daemon whose agent answers by script.
type rig struct {
	dir     string
	sockets map[string]string
	stop    func()

	mu     sync.Mutex
	script []agentCall // answers still to give
	got    []agentCall
}

func newRig(t *testing.T, s setup, system, policyID string, agent bool) (*rig, error) {
	t.Helper()
	r := &rig{dir: t.TempDir(), sockets: map[string]string{}}
	r.writePolicy(t, s.Policies[policyID])
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	r.stop = func() { cancel(); wg.Wait() }
	sock := filepath.Join(r.dir, "agent.sock")
	if agent {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		context.AfterFunc(ctx, func() { l.Close() })
		wg.Add(1)
		go func() { defer wg.Done(); r.serveAgent(l) }()
	}
	d, err := policyd.New(policyd.Config{
		FS: os.DirFS(r.dir), Dirs: policy.Dirs{Runtime: "run", Permanent: "etc", Legacy: "legacy"},
		System:      func(context.Context) ([]byte, error) { return s.Systems[system], nil },
		AgentSocket: sock, RunInQube: r.runInQube, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	})
	if err != nil {
		r.stop()
		return nil, err
	}
	var l policyd.Sockets
	for name, to := range map[string]**net.UnixListener{"policy.sock": &l.Policy, "policy.EvalSimple": &l.EvalSimple, "policy.EvalGUI": &l.EvalGUI} {
		r.sockets[name] = filepath.Join(r.dir, name)
		if *to, err = policyd.Listen(r.sockets[name]); err != nil {
			t.Fatal(err)
		}
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		if err := d.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	}()
	return r, nil
}

func (r *rig) writePolicy(t *testing.T, files map[string]string) {
	t.Helper()
	for _, d := range []string{"run", "etc", "legacy"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// next records a call and gives the answer the recording says comes now.
func (r *rig) next(c agentCall) (answer string, exit int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if list, ok := c.JSON["targets"].([]any); ok {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	i := len(r.got)
	r.got = append(r.got, c)
	if i >= len(r.script) {
		return "deny", 1
	}
	s := r.script[i]
	if s.AnswerHex != nil {
		raw, _ := hex.DecodeString(*s.AnswerHex)
		return string(raw), s.Exit
	}
	if s.Answer != nil {
		return *s.Answer, s.Exit
	}
	return "", s.Exit
}

func (r *rig) serveAgent(l *net.UnixListener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		data, _ := io.ReadAll(conn)
		header, body, _ := strings.Cut(string(data), "\x00")
		c := agentCall{Service: strings.Split(header, " ")[0], Via: "socket", Header: header + "\x00"}
		_ = json.Unmarshal([]byte(body), &c.JSON)
		answer, _ := r.next(c)
		_, _ = io.WriteString(conn, answer)
		conn.Close()
	}
}

func (r *rig) runInQube(_ context.Context, vm, command string, stdin []byte) ([]byte, error) {
	c := agentCall{Via: "qrexec-client", Argv: []string{"qrexec-client", "-d", vm, "DEFAULT:" + command}}
	c.Service = strings.Fields(command)[1]
	_ = json.Unmarshal(stdin, &c.JSON)
	answer, exit := r.next(c)
	if exit != 0 {
		return nil, fmt.Errorf("status %d", exit)
	}
	return []byte(answer), nil
}

// talk sends a request and returns the answer; nil when there was none.
func (r *rig) talk(socket string, request []byte, halfClose bool) (*string, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.sockets[socket], Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(request); err != nil {
		return nil, nil // the daemon refused before it had everything
	}
	if halfClose {
		if err := conn.CloseWrite(); err != nil {
			return nil, nil
		}
	}
	data, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, err
	}
	if err != nil || len(data) == 0 {
		return nil, nil
	}
	s := string(data)
	return &s, nil
}

// TestCorpusPolicyAgentDaemon replays every connection recorded at the reference daemon.
func TestCorpusPolicyAgentDaemon(t *testing.T) {
	var s setup
	if err := json.Unmarshal(corpusFile(t, "setup.json"), &s); err != nil {
		t.Fatal(err)
	}
	var good, noAgent *rig
	for to, agent := range map[**rig]bool{&good: true, &noAgent: false} {
		r, err := newRig(t, s, "main", "main", agent)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.stop)
		*to = r
	}
	total, agreed := 0, 0
	lines := bufio.NewScanner(strings.NewReader(string(corpusFile(t, "daemon.jsonl"))))
	lines.Buffer(nil, 16<<20)
	var differences []string
	for lines.Scan() {
		var c dialogue
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		total++
		r := good
		if strings.HasPrefix(c.Description, "agent socket missing") {
			r = noAgent
		}
		if err := c.check(t, s, r); err != nil {
			differences = append(differences, fmt.Sprintf("%s: %v\n%s", c.ID, err, lines.Bytes()))
			continue
		}
		agreed++
	}
	t.Logf("corpus policy-agent: %d/%d (daemon.jsonl)", agreed, total)
	for i, d := range differences {
		if i == 10 {
			t.Errorf("and %d more", len(differences)-i)
			break
		}
		t.Error(d)
	}
}

func (c *dialogue) check(t *testing.T, s setup, r *rig) error {
	if c.Exit != nil {
		if bad, err := newRig(t, s, c.System, c.Policy, true); err == nil {
			bad.stop()
			return fmt.Errorf("the daemon started with a broken policy")
		}
		return nil
	}
	if c.System != "main" {
		return fmt.Errorf("unknown system %q", c.System)
	}
	r.writePolicy(t, s.Policies[c.Policy])
	if c.Policy != "main" {
		defer os.Remove(filepath.Join(r.dir, "etc/30-bad.policy"))
	}
	request, err := hex.DecodeString(c.RequestHex)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.script, r.got = c.AgentCalls, nil
	r.mu.Unlock()
	halfClose := c.Socket != "policy.sock" || strings.HasPrefix(c.ID, "raw-eof")
	response, err := r.talk(c.Socket, request, halfClose)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := sameCalls(r.got, c.AgentCalls); err != nil {
		return err
	}
	if c.Response == nil {
		// Where the reference fails, closing and denying are both right (README).
		if response != nil && (*response != "result=deny" || c.Socket != "policy.sock") {
			return fmt.Errorf("got %q, the reference closes", *response)
		}
		return nil
	}
	if response == nil {
		return fmt.Errorf("got no answer, want %q", *c.Response)
	}
	got := strings.Split(*response, "\n")
	slices.Sort(got)
	if want := slices.Clone(c.ResponseLines); c.Socket == "policy.sock" && !slices.Equal(got, want) || c.Socket != "policy.sock" && *response != *c.Response {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

func sameCalls(got, want []agentCall) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d calls of the agent, want %d: %+v", len(got), len(want), got)
	}
	for i, g := range got {
		w := want[i]
		if g.Service != w.Service || g.Via != w.Via || g.Header != w.Header || !slices.Equal(g.Argv, w.Argv) || !reflect.DeepEqual(g.JSON, w.JSON) {
			return fmt.Errorf("call %d\n got %+v\nwant %+v", i, g, w)
		}
	}
	return nil
}
