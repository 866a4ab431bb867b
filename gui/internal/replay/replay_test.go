package replay

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// workers is how many conversations are replayed at once.
const workers = 2

// build builds the real daemon.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "qubes-guid")
	cmd := exec.Command("go", "build", "-o", bin, "qubist/gui/cmd/qubes-guid")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the daemon: %v\n%s", err, out)
	}
	return bin
}

// TestCorpusGuiConversations replays all conversations. $REPLAY_ONLY (a part of the name)
// selects some, then without the floors.
func TestCorpusGuiConversations(t *testing.T) {
	path := filepath.Join("testdata", "conversations.jsonl.gz")
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		path = filepath.Join(dir, "gui", "conversations.jsonl.gz")
	}
	all, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	only := os.Getenv("REPLAY_ONLY")
	var todo []*Conversation
	for _, c := range all {
		if strings.Contains(c.Name(), only) {
			todo = append(todo, c)
		}
	}
	bin := build(t)
	results := make([]*Mismatch, len(todo))
	var next sync.Mutex
	at := 0
	var done sync.WaitGroup
	for range workers {
		done.Go(func() {
			for {
				next.Lock()
				i := at
				at++
				next.Unlock()
				if i >= len(todo) {
					return
				}
				results[i] = Play(t, bin, todo[i], accepted)
			}
		})
	}
	done.Wait()
	report(t, todo, results, only == "")
}

func report(t *testing.T, todo []*Conversation, results []*Mismatch, floors bool) {
	agreed, total := map[string]int{}, map[string]int{}
	sum := 0
	for i, c := range todo {
		total[c.Group]++
		if results[i] == nil {
			agreed[c.Group]++
			sum++
			continue
		}
		if !floors || os.Getenv("REPLAY_VERBOSE") != "" {
			t.Logf("%s: %s\n%s", c.Name(), results[i], tail(results[i].Log))
		}
	}
	for _, g := range slices.Sorted(maps.Keys(total)) {
		t.Logf("corpus gui/%s: %d/%d", g, agreed[g], total[g])
		if floor := notYet[g]; floors && agreed[g] < total[g]-floor.missing {
			t.Errorf("group %s: %d conversations agree, want %d", g, agreed[g], total[g]-floor.missing)
		}
	}
	t.Logf("corpus gui: %d/%d", sum, len(todo))
	if floors && t.Failed() {
		for i, c := range todo {
			if results[i] != nil {
				t.Logf("%s: %s", c.Name(), results[i])
			}
		}
	}
}

func tail(s string) string {
	const most = 1500
	if len(s) > most {
		return fmt.Sprintf("… %s", s[len(s)-most:])
	}
	return s
}
