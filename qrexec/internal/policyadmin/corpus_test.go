package policyadmin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"qubist/qrexec/internal/policyadmin"
)

type step struct {
	Call    string             `json:"call"`
	Payload string             `json:"payload"`
	Env     map[string]string  `json:"env"`
	Status  int                `json:"status"`
	Stdout  string             `json:"stdout"`
	Stderr  string             `json:"stderr"`
	Changed map[string]*string `json:"changed"`
	Mode    map[string]string  `json:"mode"`
	Log     string             `json:"log"`
}

type dialogue struct {
	ID    string            `json:"id"`
	Files map[string]string `json:"files"`
	Steps []step            `json:"steps"`
}

const upperReason = "Names of policy files must not contain upper-case letters."

// differs gives the steps in which we answer otherwise on purpose, by dialogue and number
// of the step from 0: a name the loader refuses would lock everybody out, so we refuse to
// write it, and what follows works.
func differs() map[string]step {
	refused := func(name string) step {
		return step{Status: 1, Stderr: "PolicyAdminInvalidFileNameException Invalid policy file name: " + name + "\n" + upperReason}
	}
	changed := func(name, text, log string) step {
		return step{Changed: map[string]*string{name: &text}, Mode: map[string]string{name: "664"}, Log: log}
	}
	return map[string]step{
		"replace 35": refused("UP"),
		"replace 36": changed("fresh.policy", "x.Y * @anyvm @anyvm deny\n", "policy.Replace+fresh (work)"),
		"replace 37": {Stdout: ".hidden\n30-user\n90-default\nfresh\nfresh2\n", Log: "policy.List+ (work)"},
		"upper 0":    refused("Upper"),
		"upper 1":    {Stdout: ".hidden\n30-user\n90-default\n", Log: "policy.List+ (work)"},
		"upper 2":    {Stdout: "30-user\n90-default\n", Log: "policy.GetFiles+a.B (work)"},
		"upper 3":    changed("30-user.policy", "# ok\n", "policy.Replace+30-user (work)"),
		"upper 4":    {Status: 1, Stderr: "PolicyAdminFileNotFoundException Not found: $DIR/etc/Upper.policy"},
	}
}

func TestCorpusPolicyAdmin(t *testing.T) {
	file := filepath.Join("testdata", "policy-agent", "admin.jsonl")
	if root := os.Getenv("QUBIST_CORPUS"); root != "" {
		file = filepath.Join(root, "policy-agent", "admin.jsonl")
		if _, err := os.Stat(filepath.Dir(file)); err != nil {
			t.Skipf("no policy-agent corpus: %v", err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	agreed, total := 0, 0
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var d dialogue
		if err := json.Unmarshal(s.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		total += len(d.Steps)
		agreed += run(t, d)
	}
	if s.Err() != nil || total == 0 {
		t.Fatalf("%d steps, %v", total, s.Err())
	}
	t.Logf("corpus policy-agent: %d/%d", agreed, total)
}

// latin1 gives the bytes of a text whose characters are bytes.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func toLatin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

func run(t *testing.T, d dialogue) (agreed int) {
	root := t.TempDir()
	etc, log := filepath.Join(root, "etc"), filepath.Join(root, "log")
	for _, dir := range []string{"etc/include", "legacy"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range d.Files {
		if err := os.WriteFile(filepath.Join(etc, name), latin1(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := policyadmin.New(policyadmin.Config{Dir: etc, Legacy: filepath.Join(root, "legacy"), Log: log, Now: time.Now, Group: -1})
	for i, s := range d.Steps {
		key := fmt.Sprintf("%s %d", d.ID, i)
		want := s
		if ours, ok := differs()[key]; ok {
			want = ours
		}
		before := tree(t, etc)
		service, argument, _ := strings.Cut(s.Call, "+")
		c := policyadmin.Call{Service: service, Argument: argument, Source: "work", Payload: latin1(s.Payload)}
		if s.Env != nil {
			c.Source, c.RequestedTarget = s.Env["QREXEC_REMOTE_DOMAIN"], s.Env["QREXEC_REQUESTED_TARGET"]
		}
		os.Remove(log)
		out, err := a.Serve(context.Background(), c)
		got := step{Status: policyadmin.Exit(err), Stdout: toLatin1(out), Changed: changes(before, tree(t, etc)), Mode: map[string]string{}}
		if err != nil && s.Env == nil {
			got.Stderr = a.Message(err)
		}
		for name, text := range got.Changed {
			if info, err := os.Stat(filepath.Join(etc, name)); err == nil && text != nil {
				got.Mode[name] = fmt.Sprintf("%o", info.Mode().Perm())
			}
		}
		logged, _ := os.ReadFile(log)
		got.Log = strings.TrimSpace(string(logged))
		if len(got.Log) > 24 {
			got.Log = got.Log[24:] // the time
		}
		if diff := compare(root, got, want); diff != "" {
			t.Errorf("%s: %.60s: %s", key, s.Call, diff)
		} else {
			agreed++
		}
	}
	return agreed
}

// syntaxWords is what follows the place in a syntax error: these words are our own.
var syntaxWords = regexp.MustCompile(`(validation failed: [^ ]*:\d+:).*`)

func compare(root string, got, want step) string {
	clean := func(s string) string {
		return syntaxWords.ReplaceAllString(strings.ReplaceAll(s, root, "$DIR"), "$1")
	}
	switch {
	case got.Status != want.Status:
		return fmt.Sprintf("status %d, want %d (%s)", got.Status, want.Status, got.Stderr)
	case got.Stdout != want.Stdout:
		return fmt.Sprintf("stdout %q, want %q", got.Stdout, want.Stdout)
	case clean(got.Stderr) != clean(string(latin1(want.Stderr))):
		return fmt.Sprintf("stderr %q, want %q", clean(got.Stderr), clean(want.Stderr))
	}
	g, _ := json.Marshal(got.Changed)
	w, _ := json.Marshal(want.Changed)
	if len(got.Changed)+len(want.Changed) > 0 && string(g) != string(w) {
		return fmt.Sprintf("changed %.300s, want %.300s", g, w)
	}
	for name, mode := range want.Mode {
		if got.Mode[name] != mode {
			return fmt.Sprintf("mode of %s is %s, want %s", name, got.Mode[name], mode)
		}
	}
	// A text of several lines is one line in our log, and internal errors are our own.
	if want.Log != "" && want.Status != 2 && !strings.Contains(want.Stderr, "\n") && clean(got.Log) != clean(want.Log) {
		return fmt.Sprintf("log %q, want %q", clean(got.Log), want.Log)
	}
	if strings.Count(got.Log, "\n") > 0 {
		return fmt.Sprintf("log of several lines: %q", got.Log)
	}
	return ""
}

// tree is the content of all files.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = toLatin1(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func changes(before, after map[string]string) map[string]*string {
	out := map[string]*string{}
	for name, text := range after {
		if old, ok := before[name]; !ok || old != text {
			out[name] = &text
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			out[name] = nil
		}
	}
	return out
}
