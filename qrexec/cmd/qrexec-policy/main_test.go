package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const system = `{"domains": {
"dom0": {"type": "AdminVM", "tags": [], "uuid": "00000000-0000-0000-0000-000000000000", "power_state": "Running"},
"work": {"type": "AppVM", "tags": [], "uuid": "u1", "power_state": "Running"},
"vault": {"type": "AppVM", "tags": [], "uuid": "u2", "power_state": "Halted"}}}`

const daemonLog = `time=2026-11-21T10:00:00.000Z level=INFO msg=allowed service=my.Price source=work target=vault rule=/x:1
time=2026-11-21T10:00:01.000Z level=INFO msg="policy loaded" rules=3
time=2026-11-21T10:00:02.000Z level=INFO msg=denied service=my.Price+a source=vault target=work why="no rule matched"
time=2026-11-21T10:00:03.000Z level=INFO msg=allowed service=my.Price source=work target=vault rule=/x:1
`

// instance is a root with a policy, an edited policy and recorded calls.
func instance(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/policy.d/30-user.policy":     "my.Price * work vault allow\nmy.Price * work vault deny\n",
		"edited/30-user.policy":           "my.Price * work vault ask\n",
		"broken/30-user.policy":           "my.Price *\n",
		"log/qrexec-policy-daemon.log":    daemonLog,
		"system.json":                     system,
		"calls":                           "# source target service\nwork vault my.Price\n",
		"run/policy.d/.keep":              "",
		"etc/qubes-rpc/policy/.not-there": "",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCommands(t *testing.T) {
	root := instance(t)
	for _, row := range []struct {
		args   string
		status int
		want   []string
	}{
		{"explain work vault my.Price+x", 0, []string{"allow  decided by the rule", "/30-user.policy:1: my.Price * work vault allow", "an earlier rule decides"}},
		{"explain vault work my.Price", 1, []string{"deny   no rule matched"}},
		{"explain work work my.Price", 1, []string{"target work is not vault"}},
		{"--policy-dir ROOT/broken explain work vault my.Price", 1, []string{"every call", "30-user.policy:1"}},
		{"lint", 1, []string{"30-user.policy:2: useless: never decides"}},
		{"--policy-dir ROOT/edited lint", 0, nil},
		{"graph", 0, []string{"work -> vault  my.Price  allow"}},
		{"graph --dot --source work", 0, []string{"digraph", `"work" -> "vault" [label="my.Price", style=solid]`}},
		{"simulate --edited ROOT/edited", 1, []string{"work -> vault  my.Price+  (2×)", "- allow target=vault", "+ ask offering vault", "3 recorded calls, 1 decided otherwise"}},
		{"simulate --policy-dir ROOT/edited --calls ROOT/calls", 1, []string{"1 recorded calls, 1 decided otherwise"}},
		{"simulate --edited ROOT/broken", 1, []string{"every call would be denied"}},
	} {
		args := strings.Fields("--root " + root + " --system " + root + "/system.json " + strings.ReplaceAll(row.args, "ROOT", root))
		var out bytes.Buffer
		status, err := run(context.Background(), &out, args)
		if err != nil || status != row.status {
			t.Errorf("%s: %d, %v", row.args, status, err)
		}
		for _, w := range row.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: no %q in\n%s", row.args, w, &out)
			}
		}
	}
	for _, args := range [][]string{{}, {"unknown"}, {"explain", "a"}, {"simulate"}} {
		if status, err := run(context.Background(), &bytes.Buffer{}, append([]string{"--root", root}, args...)); err == nil || status != exitUsage {
			t.Errorf("%v: %d, %v", args, status, err)
		}
	}
}
