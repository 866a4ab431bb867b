package judge_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"qubist/core/internal/judge"
)

// serve answers every question with answer and hands the questions out.
func serve(t *testing.T, answer string) (judge.Judge, <-chan string) {
	path := filepath.Join(t.TempDir(), "policy.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked, done := make(chan string, 10), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var q []string
			for sc := bufio.NewScanner(conn); sc.Scan() && sc.Text() != ""; {
				q = append(q, sc.Text())
			}
			asked <- strings.Join(q, " ")
			_, _ = conn.Write([]byte(answer))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return judge.Judge{Socket: path, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}, asked
}

func TestAnswers(t *testing.T) {
	for answer, want := range map[string]bool{"result=allow": true, "result=allow\ntarget=x\n": true, "result=deny": false, "": false, "result=allowed": false} {
		j, asked := serve(t, answer)
		if got := j.Allowed(context.Background(), "work", "admin.vm.List", "", "personal"); got != want {
			t.Errorf("%q means %v, want %v", answer, got, want)
		}
		if q := <-asked; q != "source=work intended_target=personal service_and_arg=admin.vm.List+ just_evaluate=yes" {
			t.Errorf("asked %q", q)
		}
	}
}

func TestNobodyAnswersMeansNo(t *testing.T) {
	j := judge.Judge{Socket: filepath.Join(t.TempDir(), "none"), Log: slog.New(slog.DiscardHandler)}
	if j.Allowed(context.Background(), "work", "admin.Events", "domain-add", "dom0") {
		t.Error("allowed")
	}
}

func TestDom0AndStrangeNames(t *testing.T) {
	j, asked := serve(t, "result=allow")
	if !j.Allowed(context.Background(), "work", "admin.Events", "domain-add", "dom0") || !strings.Contains(<-asked, "intended_target=@adminvm") {
		t.Error("dom0 is not asked for as @adminvm")
	}
	if j.Allowed(context.Background(), "work", "admin.Events", "x\nsource=dom0", "dom0") {
		t.Error("a line was smuggled in")
	}
}
