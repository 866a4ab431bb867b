package qvm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"qubist/core/adminclient"
	"qubist/core/internal/qvm"
)

// recordedRun is one run of an original tool; see the corpus's README.
type recordedRun struct {
	Argv     []string
	Exit     int
	Output   string
	Requests []request
}

// floor is how many runs of each tool agree, of how many. It may only grow; the reasons for
// what is missing: qvm-template is a program of its own.
var floor = map[string][2]int{
	"qubes-prefs": {3, 3}, "qvm-check": {4, 4}, "qvm-clone": {1, 1}, "qvm-create": {5, 5}, "qvm-device": {3, 3}, "qvm-features": {5, 5},
	"qvm-firewall": {7, 7}, "qvm-kill": {2, 2}, "qvm-ls": {16, 16}, "qvm-pause": {1, 1}, "qvm-pool": {5, 5}, "qvm-prefs": {9, 9}, "qvm-remove": {3, 3},
	"qvm-run": {2, 2}, "qvm-service": {6, 6}, "qvm-shutdown": {3, 3}, "qvm-start": {3, 3}, "qvm-tags": {5, 5}, "qvm-template": {0, 1}, "qvm-unpause": {1, 1}, "qvm-volume": {8, 8},
}

// excused are runs in which the recording machine, not the tool, failed: only the requests
// up to there are compared.
func excused(r recordedRun) string {
	switch {
	case strings.Contains(r.Output, "appmenus"):
		return "the original stops at its menus: no group qubes there; it then removes the qube"
	case strings.Contains(r.Output, "FileNotFoundError"):
		return "no qrexec-client there"
	}
	return ""
}

func corpus(t *testing.T) []recordedRun {
	t.Helper()
	dir := filepath.Join("testdata", "cli")
	if d := os.Getenv("QUBIST_CORPUS"); d != "" {
		dir = filepath.Join(d, "cli")
	}
	b, err := os.ReadFile(filepath.Join(dir, "tools.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []recordedRun
	for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
		var r recordedRun
		if err := d.Decode(&r); err != nil {
			t.Fatalf("run %d: %v", len(out), err)
		}
		out = append(out, r)
	}
	return out
}

// TestCorpusCli replays the recorded runs in sequence against the scripted server. Output
// and exit status have to be equal. Requests that change something have to be equal, in
// order; of those that only read, ours may ask nothing the original does not, except
// property.GetAll in place of single properties, and may leave out
//   - what was read before in the same run (the original keeps nothing),
//   - what an answer contained that was read anyway: power states and existence (vm.List),
//     single properties and their names (property.GetAll),
//   - property qrexec_timeout, which qubesd applies by itself.
func TestCorpusCli(t *testing.T) {
	s := newServer(t)
	root := s.listen()
	agreed, total := map[string]int{}, map[string]int{}
	sum := 0
	runs := corpus(t)
	for i, r := range runs {
		total[r.Argv[0]]++
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(context.Background())
		code := qvm.Main(ctx, qvm.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
			Run: func(context.Context, adminclient.Run) (int, error) { return 0, nil }}, append(slices.Clone(r.Argv[:1]), append([]string{"--root", root}, r.Argv[1:]...)...))
		cancel()
		var wrong []string
		why := excused(r)
		if why == "" && code != r.Exit {
			wrong = append(wrong, fmt.Sprintf("exit %d, want %d", code, r.Exit))
		}
		if got, want := plain(out.String()), plain(r.Output); why == "" && got != want {
			wrong = append(wrong, fmt.Sprintf("output:\n%s\nwant:\n%s", got, want))
		}
		if d := requestDiff(s.take(), r.Requests, why != ""); d != "" {
			wrong = append(wrong, d)
		}
		s.after(r)
		if len(wrong) == 0 {
			agreed[r.Argv[0]]++
			sum++
			continue
		}
		if r.Argv[0] != "qvm-template" { // it is a program of its own
			t.Logf("run %d %q:\n%s", i, r.Argv, strings.Join(wrong, "\n"))
		}
	}
	t.Logf("corpus cli: %d/%d", sum, len(runs))
	if os.Getenv("QUBIST_CORPUS") != "" {
		if sum+total["qvm-template"] < len(runs) {
			t.Errorf("%d of %d runs differ", len(runs)-sum, len(runs))
		}
		return
	}
	for tool, n := range total {
		if f := floor[tool]; agreed[tool] < f[0] || n != f[1] {
			t.Errorf("%s: %d of %d agree, the floor is %d of %d", tool, agreed[tool], n, f[0], f[1])
		} else if agreed[tool] > f[0] {
			t.Errorf("%s: %d agree; raise the floor from %d", tool, agreed[tool], f[0])
		}
	}
}

// after brings the scripted system to where the recorded one was: what an excused run of
// the original made is gone again.
func (s *server) after(r recordedRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range r.Requests {
		if q.Method == "admin.vm.Remove" && excused(r) != "" {
			delete(s.vms, q.Dest)
		}
	}
}

var prefix = regexp.MustCompile(`(?m)^(qvm|qubes)-[a-z]+: error: `)

// plain takes out what the recordings do not have: usage lines and the name before "error:".
func plain(s string) string {
	var out []string
	for l := range strings.SplitSeq(s, "\n") {
		if !strings.HasPrefix(l, "usage: ") {
			out = append(out, strings.TrimRight(l, " "))
		}
	}
	return strings.TrimSpace(prefix.ReplaceAllString(strings.Join(out, "\n"), "error: "))
}

var reading = regexp.MustCompile(`\.(List|ListSnapshots|ListDrivers|Get|GetAll|GetDefault|Info|Help|Available|Attached|Assigned|CurrentState|CheckWithTemplate)$`)

func requestDiff(got, want []request, partial bool) string {
	split := func(rs []request) (reads map[request]bool, writes []string) {
		reads = map[request]bool{}
		for _, r := range rs {
			if reading.MatchString(r.Method) {
				reads[r] = true
			} else {
				writes = append(writes, r.String())
			}
		}
		return reads, writes
	}
	gotReads, gotWrites := split(got)
	wantReads, wantWrites := split(want)
	var wrong []string
	if partial { // the original's run ends early, by removing what it made
		wantWrites = slices.DeleteFunc(wantWrites, func(w string) bool { return strings.Contains(w, "vm.Remove+") })
		gotWrites = gotWrites[:min(len(gotWrites), len(wantWrites))]
	}
	if !slices.Equal(gotWrites, wantWrites) {
		wrong = append(wrong, fmt.Sprintf("changes: %q\nwant: %q", gotWrites, wantWrites))
	}
	all := func(dest string) request { return request{"admin.vm.property.GetAll", dest, "", ""} }
	for r := range wantReads {
		covered := gotReads[r] ||
			r.Method == "admin.vm.CurrentState" || r.Method == "admin.vm.List" && !gotReads[r] && len(gotReads) > 0 ||
			strings.HasPrefix(r.Method, "admin.vm.property.") && (gotReads[all(r.Dest)] || r.Arg == "qrexec_timeout") ||
			r.Method == "admin.property.List"
		if !covered {
			wrong = append(wrong, "not asked: "+r.String())
		}
	}
	for r := range gotReads {
		single := slices.ContainsFunc(want, func(q request) bool { return q.Method == "admin.vm.property.Get" && q.Dest == r.Dest })
		if !wantReads[r] && !partial && (r.Method != "admin.vm.property.GetAll" || !single) {
			wrong = append(wrong, "asked without need: "+r.String())
		}
	}
	sort.Strings(wrong)
	return strings.Join(wrong, "\n")
}
