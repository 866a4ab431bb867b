package outside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

const limit = 20 * time.Second

// rig is a client with a server whose directories are below dir.
type rig struct {
	*Client
	dir   string
	names Names
	ended chan error
}

func newRig(t *testing.T, program string) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "q") // short: sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{dir: dir, names: Names{Dir: dir, XID: 7, Name: "work", UUID: "f5086f02-e322-4876-a670-14973aed21b5"}, ended: make(chan error, 1)}
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Conn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.path("rpc"), 0o700); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.ended <- Serve(context.Background(), conn, Config{Services: proc.Dirs{Services: []string{r.path("rpc")}, Configs: []string{r.path("conf")}},
			Socket: r.names, PolicyProgram: program, Log: slog.New(slog.DiscardHandler)})
	}()
	r.Client = NewClient(ours)
	t.Cleanup(r.Client.Close)
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(r.path("rpc/"+name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// end waits for the server's end.
func (r *rig) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(limit):
		t.Fatal("the server does not end")
		return nil
	}
}

func TestProcess(t *testing.T) {
	r := newRig(t, "")
	r.script(t, "test.Both", `read x; echo "$x $1 $QREXEC_REMOTE_DOMAIN"; exit 7`)
	s, err := r.Open(t.Context(), "QUBESRPC test.Both+arg src name dom0")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s.Stdin, "in\n")
	s.Stdin.Close()
	out, _ := io.ReadAll(s.Stdout)
	s.Stdout.Close()
	<-s.Done
	if string(out) != "in arg src\n" || s.Code() != 7 {
		t.Errorf("%q, code %d", out, s.Code())
	}
	// One that ends at once is not lost.
	r.script(t, "test.End", "exit 3")
	for range 20 {
		s, err := r.Open(t.Context(), "QUBESRPC test.End src")
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done
		if s.Code() != 3 {
			t.Errorf("code %d", s.Code())
		}
		s.Stdin.Close()
		s.Stdout.Close()
	}
}

func TestSocketService(t *testing.T) {
	r := newRig(t, "")
	l, err := net.Listen("unix", r.path("rpc/test.Sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := r.Open(t.Context(), "QUBESRPC test.Sock+a src")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin.Close()
	if got, _ := io.ReadAll(c); string(got) != "test.Sock+a src\x00" {
		t.Errorf("the service got %q", got)
	}
	c.Write([]byte("out"))
	c.Close()
	if got, _ := io.ReadAll(s.Stdout); string(got) != "out" {
		t.Errorf("the caller gets %q", got)
	}
	s.Stdout.Close()
}

// T-038: nothing but a service on disk can be asked for.
func TestT038OnlyServices(t *testing.T) {
	r := newRig(t, "")
	r.script(t, "test.Is", "exit 0")
	for _, command := range []string{
		"touch " + r.path("made"), "", "QUBESRPC", "QUBESRPC ", "QUBESRPC test.Is", "QUBESRPC +x src", "nogui:touch x",
		"QUBESRPC ../rpc/test.Is src", "QUBESRPC test.Is+../../x src", "QUBESRPC . src", "QUBESRPC test.Is\x00 src",
		"QUBESRPC test.Is src name a b c", "QUBESRPC " + strings.Repeat("x", rpcname.MaxDescriptor+1) + " src",
	} {
		if s, err := r.Open(t.Context(), command); err == nil {
			s.Stdin.Close()
			s.Stdout.Close()
			t.Errorf("%.40q was run", command)
		}
	}
	if _, err := os.Stat(r.path("made")); err == nil {
		t.Error("a shell command was run")
	}
	if _, err := r.Open(t.Context(), "QUBESRPC test.None src"); !errors.Is(err, proc.ErrNotFound) {
		t.Errorf("a missing service: %v", err)
	}
	if _, _, err := r.AskProgram(t.Context(), "a", "b", "c"); err == nil {
		t.Error("a policy program was run though none was named")
	}
}

// Services whose callers are gone count, too: a VM cannot pile them up.
func TestServicesAreBounded(t *testing.T) {
	r := newRig(t, "")
	if err := os.WriteFile(r.path("pids"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.script(t, "test.Wait", "echo $$ >> "+r.path("pids")+"; exec sleep 60")
	defer func() {
		b, _ := os.ReadFile(r.path("pids"))
		for pid := range strings.FieldsSeq(string(b)) {
			var n int
			if _, err := fmt.Sscan(pid, &n); err == nil && n > 1 {
				if p, err := os.FindProcess(n); err == nil {
					p.Kill()
				}
			}
		}
	}()
	for i := range maxRunning + 1 {
		s, err := r.Open(t.Context(), "QUBESRPC test.Wait src")
		if (err == nil) != (i < maxRunning) {
			t.Fatalf("service %d: %v", i+1, err)
		}
		if err == nil {
			s.Stdin.Close()
			s.Stdout.Close()
		}
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if b, _ := os.ReadFile(r.path("pids")); strings.Count(string(b), "\n") == maxRunning {
			return // all can be ended
		}
	}
	t.Error("not all services have told their numbers")
}

func TestPolicyProgram(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "p")
	text := "#!/bin/sh\n[ \"$1 $2 $3\" = '-- a b' ] || exit 1\necho \"result=$4\"\n"
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, program)
	out, refused, err := r.AskProgram(t.Context(), "a", "b", "c")
	if string(out) != "result=c\n" || refused || err != nil {
		t.Errorf("%q, %v, %v", out, refused, err)
	}
	if _, refused, err := r.AskProgram(t.Context(), "x", "b", "c"); !refused || err != nil {
		t.Errorf("a failure: %v, %v", refused, err)
	}
}

func TestLocalSocket(t *testing.T) {
	r := newRig(t, "")
	l, err := r.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Who connects runs commands in the VM: not everybody on this machine.
	st, err := os.Stat(r.path("qrexec.7"))
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	for _, name := range []string{"qrexec.7", "qrexec.work", "qrexec.uuid:" + r.names.UUID} {
		c, err := net.Dial("unix", r.path(name))
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Close()
	}
	if err := r.Withdraw(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	names, _ := filepath.Glob(r.path("qrexec.*"))
	if len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	// A successor's names stay when this one ends late.
	if l, err = r.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	successor, err := r.names.offer()
	if err != nil {
		t.Fatal(err)
	}
	defer successor.withdraw()
	r.Close()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
	if names, _ = filepath.Glob(r.path("qrexec.*")); len(names) != 3 {
		t.Errorf("of the successor's names are left: %v", names)
	}
}

// A daemon that does not keep to the protocol ends its half; one that is gone does, too.
func TestServerEnds(t *testing.T) {
	for _, packet := range []string{"x", `{"id":1}`, `{"id":1,"op":"shell","command":"true"}`, `{"id":1,"op":"call","extra":1}`, strings.Repeat(" ", maxPacket+1)} {
		r := newRig(t, "")
		if _, err := r.link.conn.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
		if err := r.end(t); err == nil {
			t.Errorf("%.40q was accepted", packet)
		}
		r.Close()
	}
	r := newRig(t, "")
	r.Close()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
	if _, err := r.Open(t.Context(), "QUBESRPC x src"); !errors.Is(err, ErrLost) {
		t.Errorf("after the end: %v", err)
	}
	select {
	case <-r.Lost():
	default:
		t.Error("the loss is not told")
	}
}

// A request given up does not leak what comes for it.
func TestGivenUp(t *testing.T) {
	r := newRig(t, "")
	r.script(t, "test.Eof", "cat >/dev/null; touch "+r.path("over"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := r.Open(ctx, "QUBESRPC test.Eof src"); err == nil { // it may have been quicker
		s.Stdin.Close()
		s.Stdout.Close()
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(r.path("over")); err == nil {
			return
		}
	}
	t.Error("the service's input was never closed")
}

func TestPacketHoldsEveryCommand(t *testing.T) {
	if wire.MaxCommand*2 > maxPacket {
		t.Error("a command that JSON doubles does not fit")
	}
}
