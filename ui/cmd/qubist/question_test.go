package main_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"qubist/core/prompt/wire"
	"qubist/ui/internal/uitest"
)

// agent runs the real policy agent for the instance at root until the test ends.
func agent(t *testing.T, root string) {
	t.Helper()
	bin := filepath.Join(filepath.Dir(binary), "qrexec-policy-agent")
	build := exec.Command("go", "build", "-o", bin, "qubist/ui/cmd/qrexec-policy-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	ready, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	c := exec.Command(bin, "--root", root, "--terminal", "", "--ready-fd", "3")
	c.ExtraFiles = []*os.File{write}
	err = c.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	if b, _ := io.ReadAll(ready); string(b) != "READY\n" {
		t.Fatalf("the agent said %q", b)
	}
}

// ask sends one question and gives the answer when it comes.
func ask(t *testing.T, root string) <-chan string {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(root, "run", "policy-agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := wire.Ask{Source: "work", Service: "qubes.Filecopy", Targets: []string{"vault", "personal"},
		Icons: map[string]string{"work": "appvm-blue", "vault": "appvm-black", "personal": "appvm-yellow"}}.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append(wire.Header(wire.AskService), body...)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		defer conn.Close()
		b, _ := io.ReadAll(conn)
		answer <- string(b)
	}()
	return answer
}

// A question takes the console's terminal, is answered in its own program, and the console
// comes back as it was.
func TestQuestionOnTheConsolesTerminal(t *testing.T) {
	root := filepath.Join(t.TempDir(), "q")
	if err := os.MkdirAll(filepath.Join(root, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	agent(t, root)
	s := uitest.Serve(t, uitest.Typical())
	c := exec.Command(binary, "--root", root, "--socket", s.Socket)
	c.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor")
	r := uitest.Run(t, 80, 24, c)
	r.See("● live", "sys-firewall")
	answer := ask(t, root)
	r.See("qubes.Filecopy", "Deny")
	r.Gone("● live")
	r.Gone("keys count in a moment")
	r.Press("esc")
	select {
	case a := <-answer:
		if a != "deny" {
			t.Errorf("answered %q", a)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no answer\n%s", r.Term.Screen())
	}
	r.See("● live", "sys-firewall")
	leave(t, r, "q")
}
