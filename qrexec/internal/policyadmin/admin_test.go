package policyadmin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/qrexec/internal/policyadmin"
)

func newAdmin(t *testing.T) (*policyadmin.Admin, string) {
	t.Helper()
	etc := filepath.Join(t.TempDir(), "etc")
	if err := os.MkdirAll(filepath.Join(etc, "include"), 0o755); err != nil {
		t.Fatal(err)
	}
	return policyadmin.New(policyadmin.Config{Dir: etc, Legacy: etc + "/none", Log: etc + "/../log", Now: time.Now, Group: -1}), etc
}

// TestOneWinner: of many callers who replace the same version of a file, one succeeds.
func TestOneWinner(t *testing.T) {
	a, etc := newAdmin(t)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, errs[i] = a.Serve(context.Background(), policyadmin.Call{Service: "policy.Replace", Argument: "30-user", Payload: fmt.Appendf(nil, "new\n# %d\n", i)})
		}()
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		var e *policyadmin.Error
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("%d and %d both made the new file", winner, i)
		case !errors.As(err, &e) || e.Kind != policyadmin.KindToken:
			t.Errorf("%d: %v", i, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(etc, "30-user.policy")); err != nil || string(b) != fmt.Sprintf("# %d\n", winner) {
		t.Errorf("%q, %v, winner %d", b, err, winner)
	}
	if left, _ := filepath.Glob(etc + "/!*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestBrokenPolicy: while a file is broken, only the call that repairs it succeeds.
func TestBrokenPolicy(t *testing.T) {
	a, etc := newAdmin(t)
	if err := os.WriteFile(etc+"/20-bad.policy", []byte("broken\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		call    policyadmin.Call
		status  int
		message string
	}{
		{policyadmin.Call{Service: "policy.Replace", Argument: "30-user", Payload: []byte("any\n# x\n")}, 1, "PolicyAdminSyntaxException"},
		{policyadmin.Call{Service: "policy.GetFiles", Argument: "a.B"}, 2, "Internal error."},
		{policyadmin.Call{Service: "policy.RegisterArgument", Argument: "a.B", Source: "b", RequestedTarget: "f", Payload: []byte("x")}, 1, ""},
		{policyadmin.Call{Service: "policy.Replace", Argument: "20-bad", Payload: []byte("any\n# good\n")}, 0, ""},
		{policyadmin.Call{Service: "policy.Replace", Argument: "30-user", Payload: []byte("any\n# x\n")}, 0, ""},
		{policyadmin.Call{Service: "policy.RegisterArgument", Argument: "a.B", Source: "b b", RequestedTarget: "f", Payload: []byte("x")}, 1, ""},
		{policyadmin.Call{Service: "policy.RegisterArgument", Argument: "a.B * * * allow\nx", Source: "b", RequestedTarget: "f", Payload: []byte("x")}, 1, ""},
	} {
		_, err := a.Serve(context.Background(), row.call)
		if got := policyadmin.Exit(err); got != row.status || err != nil && !strings.HasPrefix(a.Message(err), row.message) {
			t.Errorf("%s+%s: %d, %v", row.call.Service, row.call.Argument, got, err)
		}
	}
	log, err := os.ReadFile(etc + "/../log")
	if err != nil || strings.Count(string(log), "\n") != 7 {
		t.Errorf("a line for each call: %q, %v", log, err)
	}
}
