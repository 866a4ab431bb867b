package policy_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"qubist/qrexec/policy"
)

var dirs = policy.Dirs{Runtime: "run", Permanent: "etc", Legacy: "legacy"}

type place struct {
	File string `json:"file"`
	Line *int   `json:"line"`
}

type expectation struct {
	Outcome        string                     `json:"outcome"`
	Class          string                     `json:"class"`
	Stage          string                     `json:"stage"`
	Reason         string                     `json:"reason"`
	File           *string                    `json:"file"`
	Line           *int                       `json:"line"`
	Notify         bool                       `json:"notify"`
	Rule           *place                     `json:"rule"`
	VerifiedTarget *string                    `json:"verified_target"`
	User           *string                    `json:"user"`
	Autostart      bool                       `json:"autostart"`
	Target         string                     `json:"target"`
	Response       []string                   `json:"response"`
	Execute        *struct{ Reason string }   `json:"execute"`
	TargetsForAsk  []string                   `json:"targets_for_ask"`
	DefaultTarget  *string                    `json:"default_target"`
	Choices        map[string]json.RawMessage `json:"choices"`
}

type corpusCase struct {
	ID      string            `json:"id"`
	System  string            `json:"system"`
	Files   map[string]string `json:"files"`
	Request struct {
		ServiceAndArg   string  `json:"service_and_arg"`
		Source          string  `json:"source"`
		Target          string  `json:"target"`
		RequestedSource *string `json:"requested_source"`
	} `json:"request"`
	Expect expectation `json:"expect"`
}

// corpusFiles are the *.name files of the policy corpus.
func corpusFiles(t testing.TB, pattern string) []string {
	dir := filepath.Join("testdata", "policy")
	if root := os.Getenv("QUBIST_CORPUS"); root != "" {
		dir = filepath.Join(root, "policy")
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("no policy corpus: %v", err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return files
}

func gunzip(t testing.TB, name string) io.Reader {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func corpusSystems(t testing.TB) map[string]*policy.System {
	systems := map[string]*policy.System{}
	for _, name := range corpusFiles(t, "systems*.json.gz") {
		var raw map[string]json.RawMessage
		if err := json.NewDecoder(gunzip(t, name)).Decode(&raw); err != nil {
			t.Fatal(err)
		}
		for id, data := range raw {
			sys, err := policy.ParseSystem(data)
			if err != nil {
				t.Fatalf("system %s: %v", id, err)
			}
			systems[id] = sys
		}
	}
	return systems
}

func caseFS(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for _, d := range []string{"run", "etc", "legacy"} {
		m[d] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return m
}

// TestCorpusPolicy replays every recorded evaluation of the reference engine.
func TestCorpusPolicy(t *testing.T) {
	systems := corpusSystems(t)
	total, agreed := 0, 0
	var differences []string
	for _, name := range corpusFiles(t, "cases*.jsonl.gz") {
		lines := bufio.NewScanner(gunzip(t, name))
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var c corpusCase
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			total++
			if err := c.check(systems[c.System]); err != nil {
				if len(differences) < 10 {
					differences = append(differences, fmt.Sprintf("%s: %v\n%s", c.ID, err, lines.Bytes()))
				}
				continue
			}
			agreed++
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("corpus policy: %d/%d", agreed, total)
	for _, d := range differences {
		t.Error(d)
	}
	if agreed != total {
		t.Errorf("%d cases differ", total-agreed)
	}
}

func (c *corpusCase) check(sys *policy.System) error {
	p, err := policy.Load(caseFS(c.Files), dirs)
	e := c.Expect
	if e.Outcome == "policy-error" {
		return checkLoadError(err, e)
	}
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	service, argument := policy.SplitService(c.Request.ServiceAndArg)
	r := policy.Request{Service: service, Argument: argument, Source: c.Request.Source, Target: c.Request.Target}
	if c.Request.RequestedSource != nil {
		r.RequestedSource = *c.Request.RequestedSource
	}
	v := p.Evaluate(sys, r)
	if e.Outcome == "internal-error" {
		if v.Action != policy.Deny {
			return fmt.Errorf("got %s, the reference fails", v.Action)
		}
		return nil
	}
	return checkVerdict(&v, e)
}

func checkLoadError(err error, e expectation) error {
	var pe *policy.Error
	if !errors.As(err, &pe) {
		return fmt.Errorf("got error %v", err)
	}
	got := []any{string(pe.Reason), "", 0}
	want := []any{e.Reason, "", 0}
	if e.File != nil {
		got[1], want[1] = pe.File, *e.File
	}
	if e.Line != nil {
		got[2], want[2] = pe.Line, *e.Line
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func checkVerdict(v *policy.Verdict, e expectation) error {
	type summary struct {
		Action, Reason, Rule, Verified, User, Target, Default string
		Notify, Autostart                                     bool
		Targets                                               []string
	}
	got := summary{Action: string(v.Action), Reason: string(v.Reason), Notify: v.Notify, Verified: v.VerifiedTarget, Target: v.Target, Default: v.DefaultTarget, Targets: v.Targets}
	want := summary{Action: e.Outcome, Reason: e.Reason, Notify: e.Notify, Target: e.Target, Targets: e.TargetsForAsk}
	if v.Rule != nil {
		got.Rule = v.Rule.Where()
	}
	if e.Rule != nil {
		want.Rule = e.Rule.File
		if e.Rule.Line != nil {
			want.Rule = fmt.Sprintf("%s:%d", e.Rule.File, *e.Rule.Line)
		}
	}
	if v.Action != policy.Deny {
		got.User, got.Autostart, want.Autostart = v.User, v.Autostart, e.Autostart
	}
	for _, s := range []struct{ from, to *string }{{e.VerifiedTarget, &want.Verified}, {e.User, &want.User}, {e.DefaultTarget, &want.Default}} {
		if s.from != nil {
			*s.to = *s.from
		}
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("\n got %+v\nwant %+v", got, want)
	}
	switch v.Action {
	case policy.Allow:
		refused := ""
		if e.Execute != nil {
			refused = e.Execute.Reason
		}
		return checkResponse(v, e.Response, refused)
	case policy.Ask:
		return checkChoices(v, e.Choices)
	}
	return nil
}

func checkResponse(v *policy.Verdict, lines []string, refused string) error {
	r, reason := v.Respond()
	if string(reason) != refused && !(refused == "internal" && reason != "") {
		return fmt.Errorf("response refused %q, want %q", reason, refused)
	}
	if refused != "" {
		return nil
	}
	got := slices.Sorted(slices.Values(r.Lines()))
	if !slices.Equal(got, lines) {
		return fmt.Errorf("response\n got %q\nwant %q", got, lines)
	}
	return nil
}

func checkChoices(v *policy.Verdict, choices map[string]json.RawMessage) error {
	for target, raw := range choices {
		chosen := v.Choose(target)
		if chosen.Action != policy.Allow {
			return fmt.Errorf("choice %q: %s", target, chosen.Reason)
		}
		var lines []string
		var refused struct{ Denied, Internal string }
		if json.Unmarshal(raw, &lines) != nil {
			if err := json.Unmarshal(raw, &refused); err != nil {
				return err
			}
			if refused.Internal != "" {
				refused.Denied = "internal"
			}
		}
		if err := checkResponse(&chosen, lines, refused.Denied); err != nil {
			return fmt.Errorf("choice %q: %w", target, err)
		}
	}
	return nil
}
