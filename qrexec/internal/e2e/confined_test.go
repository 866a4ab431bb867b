package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The real daemon is confined as it serves, and what that keeps it from fails.
func TestDaemonIsConfined(t *testing.T) {
	w := newWorld(t)
	check := exec.Command(filepath.Join(bin, "qrexec-daemon"), "--root", w.dir, "--check-confinement", "-u", uuid(9), "--", "9", "other")
	check.Env = w.env(0)
	out, err := check.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "NOT CONFINED TO ITS FILES") { // no Landlock in this kernel
		t.Errorf("%v\n%s", err, out)
	}
	w.agent(7)
	d := w.daemon(7, "work")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in the status of the daemon:\n%s", want, status)
		}
	}
}
