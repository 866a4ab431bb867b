package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "policy-test")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "qrexec-policy-daemon")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

const systemInfo = `{"domains":{
"dom0":{"type":"AdminVM","tags":[],"icon":"adminvm-black","guivm":null,"uuid":"00000000-0000-0000-0000-000000000000","power_state":"Running","template_for_dispvms":false,"default_dispvm":null,"internal":null,"relayvm":null,"transport_rpc":null},
"work":{"type":"AppVM","tags":[],"icon":"appvm-blue","guivm":"dom0","uuid":"u-work","power_state":"Running","template_for_dispvms":false,"default_dispvm":null,"internal":null,"relayvm":null,"transport_rpc":null},
"vault":{"type":"AppVM","tags":[],"icon":"appvm-black","guivm":"dom0","uuid":"u-vault","power_state":"Halted","template_for_dispvms":false,"default_dispvm":null,"internal":null,"relayvm":null,"transport_rpc":null}}}`

// instance is a root directory with a qubesd and an agent played by the test.
type instance struct {
	t    *testing.T
	root string
	logs bytes.Buffer

	mu       sync.Mutex
	requests []string
	asked    chan *net.UnixConn // policy.Ask connections, request read
}

func newInstance(t *testing.T, policy string) *instance {
	t.Helper()
	root, err := os.MkdirTemp("", "qp") // short: socket paths end at 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	in := &instance{t: t, root: root, asked: make(chan *net.UnixConn, 10)}
	for _, d := range []string{"run", "etc/policy.d"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	in.policy(policy)
	in.listen("qubesd.internal.sock", func(conn *net.UnixConn) {
		data, _ := io.ReadAll(conn)
		in.mu.Lock()
		in.requests = append(in.requests, string(data))
		in.mu.Unlock()
		_, _ = io.WriteString(conn, "0\x00"+systemInfo)
		conn.Close()
	})
	in.listen("policy-agent.sock", func(conn *net.UnixConn) {
		data, _ := io.ReadAll(conn)
		if strings.HasPrefix(string(data), "policy.Notify dom0 name dom0\x00{") {
			conn.Close()
			return
		}
		if !strings.HasPrefix(string(data), "policy.Ask dom0 name dom0\x00{") || !strings.Contains(string(data), `policy.d/30-test.policy:`) {
			t.Errorf("the agent was sent %q", data)
		}
		in.asked <- conn
	})
	return in
}

func (in *instance) policy(text string) {
	in.t.Helper()
	if err := os.WriteFile(filepath.Join(in.root, "etc/policy.d/30-test.policy"), []byte(text), 0o644); err != nil {
		in.t.Fatal(err)
	}
}

func (in *instance) listen(name string, handle func(*net.UnixConn)) {
	in.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(in.root, "run", name), Net: "unix"})
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
}

// start runs the daemon and returns what it wrote to the ready descriptor.
func (in *instance) start() (cmd *exec.Cmd, ready string) {
	in.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		in.t.Fatal(err)
	}
	cmd = exec.Command(program, "--root", in.root, "--ready-fd", "3")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = &in.logs
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	w.Close()
	data, err := io.ReadAll(r)
	r.Close()
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, string(data)
}

func (in *instance) dial(service, target string) *net.UnixConn {
	in.t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(in.root, "run/policy.sock"), Net: "unix"})
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(conn, "source=work\nintended_target=%s\nservice_and_arg=%s\n\n", target, service); err != nil {
		in.t.Fatal(err)
	}
	return conn
}

func (in *instance) expect(conn *net.UnixConn, want string) {
	in.t.Helper()
	data, err := io.ReadAll(conn)
	if err != nil || !strings.Contains("\n"+string(data)+"\n", "\n"+want+"\n") {
		in.t.Errorf("answer %q, %v; want %q", data, err, want)
	}
}

func TestDaemon(t *testing.T) {
	in := newInstance(t, "t.Allow * work vault allow\nt.Ask * @anyvm @anyvm ask\nt.Deny * * * deny notify=no\n")
	cmd, ready := in.start()
	if ready != "READY\n" {
		t.Fatalf("ready %q\n%s", ready, in.logs.String())
	}
	sock := filepath.Join(in.root, "run/policy.sock")
	if info, err := os.Stat(sock); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v, %v", info, err)
	}
	in.expect(in.dial("t.Allow", "vault"), "target_uuid=uuid:u-vault")
	in.mu.Lock()
	if len(in.requests) != 1 || in.requests[0] != "internal.GetSystemInfo+ dom0 name dom0\x00" {
		t.Errorf("qubesd was asked %q", in.requests)
	}
	in.mu.Unlock()

	// A question blocks nobody else, and its answer decides.
	open := in.dial("t.Ask", "vault")
	question := <-in.asked
	in.expect(in.dial("t.Deny", "vault"), "result=deny")
	_, _ = io.WriteString(question, "allow:vault")
	question.Close()
	in.expect(open, "result=allow")

	// A caller that goes away withdraws its question.
	gone := in.dial("t.Ask", "vault")
	question = <-in.asked
	gone.Close()
	_ = question.SetDeadline(time.Now().Add(20 * time.Second))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := question.Write([]byte("d")); err != nil {
			break // hung up
		}
		if time.Now().After(end) {
			t.Fatal("the question stays open after its caller has gone")
		}
	}

	// The policy is read anew, also when it is broken in between.
	for _, step := range []struct{ policy, want string }{
		{"t.Allow * work vault deny notify=no\n", "result=deny"},
		{"t.Allow * work vault allow user=root\n", "user=root"},
		{"t.Allow * work\n", "result=deny"},
		{"t.Allow * work vault allow\n", "result=allow"},
	} {
		in.policy(step.policy)
		in.expect(in.dial("t.Allow", "vault"), step.want)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(sock); err == nil {
		t.Error("the socket is left")
	}
	if log := in.logs.String(); !strings.Contains(log, "30-test.policy:1: a rule needs") || strings.Count(log, "msg=allowed") != 4 {
		t.Errorf("log:\n%s", log)
	}
}

func TestFailuresDeny(t *testing.T) {
	in := newInstance(t, "t.Allow * work vault allow\nt.Ask * @anyvm @anyvm ask\n")
	if _, ready := in.start(); ready != "READY\n" {
		t.Fatalf("ready %q\n%s", ready, in.logs.String())
	}
	for name, answer := range map[string]string{"empty": "", "text": "yes", "not offered": "allow:dom0", "not ASCII": "allow:v\xe4ult", "long": "allow:" + strings.Repeat("a", 1<<20)} {
		conn := in.dial("t.Ask", "vault")
		question := <-in.asked
		_ = question.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(question, answer)
		question.Close()
		data, _ := io.ReadAll(conn)
		if string(data) != "result=deny" {
			t.Errorf("answer %s: got %q", name, data)
		}
	}
	for _, name := range []string{"policy-agent.sock", "qubesd.internal.sock"} {
		if err := os.Remove(filepath.Join(in.root, "run", name)); err != nil {
			t.Fatal(err)
		}
		service := "t.Ask"
		if name == "qubesd.internal.sock" {
			service = "t.Allow"
		}
		in.expect(in.dial(service, "vault"), "result=deny")
	}
}

func TestBrokenAtStart(t *testing.T) {
	in := newInstance(t, "t.Allow * work\n")
	cmd, ready := in.start()
	if ready != "" {
		t.Errorf("ready with a broken policy: %q", ready)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(in.root, "run/policy.sock")); err == nil {
		t.Error("a socket was made")
	}
	if !strings.Contains(in.logs.String(), "30-test.policy:1: a rule needs service, argument, source, target and action") {
		t.Errorf("log:\n%s", in.logs.String())
	}
}
