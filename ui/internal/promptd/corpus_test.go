package promptd_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qubist/core/prompt/wire"
	"qubist/ui/internal/promptd"
)

type recorded struct {
	ID         string  `json:"id"`
	Choice     *string `json:"user_choice"`
	RequestHex string  `json:"request_hex"`
	Shown      []struct {
		Prompt *struct {
			Source        string  `json:"source"`
			Service       string  `json:"service"`
			Argument      string  `json:"argument"`
			Targets       any     `json:"targets"` // a list of texts, or the text of a wrong type
			DefaultTarget *string `json:"default_target"`
		} `json:"prompt"`
		Notification *struct {
			Title string `json:"title"`
		} `json:"notification"`
	} `json:"shown"`
	Response *string `json:"response"`
	Timeout  bool    `json:"timeout"`
}

// expectedDifferences are cases where we differ on purpose.
var expectedDifferences = map[string]string{
	"ask-types": "targets given as a text is a wrong type; the reference shows it all the same",
}

// TestCorpusPolicyAgentAgent replays what was recorded at the reference agent, with a front
// end in place of its window.
func TestCorpusPolicyAgentAgent(t *testing.T) {
	dir := filepath.Join("testdata", "policy-agent")
	if root := os.Getenv("QUBIST_CORPUS"); root != "" {
		dir = filepath.Join(root, "policy-agent")
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("no policy-agent corpus: %v", err)
		}
	}
	f, err := os.Open(filepath.Join(dir, "agent.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	total, agreed, expected := 0, 0, 0
	for lines.Scan() {
		var c recorded
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		total++
		err := c.replay(t)
		why, known := expectedDifferences[c.ID]
		switch {
		case err == nil && known:
			t.Errorf("%s agrees now; remove its row: %s", c.ID, why)
		case err == nil:
			agreed++
		case known:
			expected++
		default:
			t.Errorf("%s: %v\n%s", c.ID, err, lines.Bytes())
		}
	}
	t.Logf("corpus policy-agent: %d/%d (agent.jsonl; %d expected differences)", agreed, total, expected)
}

// replay runs one case against a fresh agent.
func (c *recorded) replay(t *testing.T) error {
	r := start(t, promptd.Config{Timeout: time.Minute})
	front := attach(t, r)
	request, err := hex.DecodeString(c.RequestHex)
	if err != nil {
		return err
	}
	conn := r.dial(t, string(request), !c.Timeout)
	if c.Timeout {
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil || !err.(net.Error).Timeout() {
			return fmt.Errorf("before end of file: %d bytes, %v", n, err)
		}
		return nil
	}
	end := make(chan string, 1)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	go func() {
		data, _ := io.ReadAll(conn)
		end <- string(data)
	}()
	questions := make(chan wire.Question, 1)
	go func() {
		for {
			u, err := front.Next()
			if err != nil {
				return
			}
			if u.Question != nil {
				questions <- *u.Question
				return
			}
		}
	}()
	var got string
	select {
	case q := <-questions:
		if err := c.compare(q); err != nil {
			return err
		}
		reply := wire.Reply{ID: q.ID}
		if c.Choice != nil && *c.Choice != "cancel" {
			reply.Allow, reply.Target = true, *c.Choice
		}
		if err := front.Reply(reply); err != nil {
			return err
		}
		got = <-end
	case got = <-end:
		if len(c.Shown) > 0 && c.Shown[0].Prompt != nil {
			return fmt.Errorf("nothing was shown, answer %q", got)
		}
	}
	if c.Response == nil || got != *c.Response {
		return fmt.Errorf("answer %q", got)
	}
	if err := r.stop(); err != nil {
		return err
	}
	notified := strings.Contains(r.logs.String(), `msg="call `)
	if want := len(c.Shown) > 0 && c.Shown[0].Notification != nil; notified != want {
		return fmt.Errorf("notified: %v\n%s", notified, r.logs.String())
	}
	return nil
}

func (c *recorded) compare(q wire.Question) error {
	if len(c.Shown) == 0 || c.Shown[0].Prompt == nil {
		return fmt.Errorf("a question was shown")
	}
	p := c.Shown[0].Prompt
	var targets []string
	for _, t := range q.Targets {
		targets = append(targets, t.Name)
	}
	var want []string
	list, _ := p.Targets.([]any)
	for _, t := range list {
		want = append(want, t.(string))
	}
	slices.Sort(want)
	def := "" // the reference passes a foreign default on to its window, which ignores it
	if p.DefaultTarget != nil && slices.Contains(want, *p.DefaultTarget) {
		def = *p.DefaultTarget
	}
	if q.Source.Name != p.Source || q.Service != p.Service || q.Argument != p.Argument || q.DefaultTarget != def ||
		!slices.Equal(targets, want) {
		return fmt.Errorf("shown %+v", q)
	}
	return nil
}
