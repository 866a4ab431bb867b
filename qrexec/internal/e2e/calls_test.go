package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qubist/qrexec/client"
)

func TestDom0ToVM(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(42, "work")
	for _, c := range []struct {
		vm, command, stdin, out string
		code                    int
	}{
		{"work", "DEFAULT:cat; exit 5", "hello", "hello", 5},
		{"42", "DEFAULT:echo $USER", "", w.user + "\n", 0},
		{"uuid:" + uuid(42), "DEFAULT:true", "", "", 0},
		{"work", "DEFAULT:kill -9 $$", "", "", 137},
		{"work", "DEFAULT:QUBESRPC test.Missing dom0", "", "", 127},
		{"work", "nobody-such:true", "", "", 125},
		{"work", "no user", "", "", 125},
		{"absent", "DEFAULT:true", "", "", 125},
		// Output closed early must not end input; input's end must not end output.
		{"work", "DEFAULT:exec 3>&1 >&-; cat >&3", "late", "late", 0},
		{"work", "DEFAULT:exec >&- 2>&-; cat >/dev/null; exit 6", "x", "", 6},
		{"work", "DEFAULT:exec <&-; echo out; sleep 0.1; echo more", "unread", "out\nmore\n", 0},
		// A grandchild that keeps stdout open delays the end.
		{"work", "DEFAULT:(sleep 0.2; echo late) & exit 4", "", "late\n", 4},
	} {
		out, code := w.client(c.stdin, c.vm, c.command)
		if out != c.out || code != c.code {
			t.Errorf("%s %q: %q, %d, want %q, %d", c.vm, c.command, out, code, c.out, c.code)
		}
	}
	if _, code := w.run("", 0, "qrexec-client", "--root", w.dir, "-e", "-d", "work", "DEFAULT:touch "+w.dir+"/made"); code != 0 {
		t.Errorf("-e: %d", code)
	}
	eventually(t, "the command started by -e", func() bool { _, err := os.Stat(w.dir + "/made"); return err == nil })
	if _, code := w.run("", 0, "qrexec-client", "--root", w.dir, "-E", "-d", "work", "DEFAULT:exit 9"); code != 0 {
		t.Errorf("-E: %d", code)
	}
}

func TestVMToVM(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.vm(42, "vault")
	w.service(42, "test.Who", `echo "$QREXEC_REMOTE_DOMAIN $1 $QREXEC_SERVICE_FULL_NAME"; cat; exit 3`)
	if out, code := w.clientVM("", 41, "vault", "test.Who+x"); code != 126 || out != "" {
		t.Errorf("refused call: %q, %d", out, code)
	}
	w.allow("vault")
	if out, code := w.clientVM("in", 41, "vault", "test.Who+x"); code != 3 || out != "work x test.Who+x\nin" {
		t.Errorf("allowed call: %q, %d", out, code)
	}
	// The other direction uses ports of the other parity.
	w.service(41, "test.Who", "echo back")
	w.allow("work")
	if out, code := w.clientVM("", 42, "work", "test.Who"); code != 0 || out != "back\n" {
		t.Errorf("call back: %q, %d", out, code)
	}
	// A program in the place of the streams: its input is the service's output.
	w.allow("vault")
	if _, code := w.clientVM("", 41, "vault", "test.Who", "/bin/sh", "-c", "echo local; exec >&-; cat > "+w.dir+"/got"); code != 3 {
		t.Errorf("call with a program: %d", code)
	}
	if b, _ := os.ReadFile(w.dir + "/got"); string(b) != "work  test.Who+\nlocal\n" {
		t.Errorf("the program read %q", b)
	}
	// The target VM is not there, and nobody can start it.
	w.allow("absent")
	if _, code := w.clientVM("", 41, "absent", "test.Who"); code != 126 {
		t.Errorf("call to a VM that is not there: %d", code)
	}
}

func TestVMToDom0(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.allow("dom0")
	w.service(0, "test.Hi", `echo "$QREXEC_REMOTE_DOMAIN $QREXEC_REQUESTED_TARGET_TYPE $QREXEC_REQUESTED_TARGET_KEYWORD"; echo "secret$(printf '\033')" >&2; cat; exit 9`)
	if out, code := w.clientVM("in", 41, "@adminvm", "test.Hi"); code != 9 || out != "work keyword adminvm\nin" {
		t.Errorf("%q, %d", out, code)
	}
	if _, code := w.clientVM("", 41, "@adminvm", "test.None"); code != 127 {
		t.Errorf("missing service: %d", code)
	}
	// What the service said on stderr is in the log, without its control characters.
	log := filepath.Join(w.dir, "qrexec-daemon.41.log")
	eventually(t, "the service's stderr in the log", func() bool {
		b, _ := os.ReadFile(log)
		return bytes.Contains(b, []byte("secret_")) && !bytes.ContainsRune(b, 0x1b)
	})
	// A socket service of dom0 sees the descriptor first.
	l, err := net.Listen("unix", filepath.Join(w.dir, "etc/qubes-rpc/test.Sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 100)
		n, _ := c.Read(b)
		fmt.Fprintf(c, "%q", b[:n])
	}()
	if out, code := w.clientVM("", 41, "dom0", "test.Sock+a"); code != 0 || out != `"test.Sock+a work name dom0\x00"` {
		t.Errorf("socket service: %q, %d", out, code)
	}
}

func TestMebibyteBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.vm(42, "vault")
	w.service(42, "test.Cat", "exec cat")
	w.allow("vault")
	b := make([]byte, 1<<20)
	rand.Read(b)
	w.service(41, "test.Cat", "exec cat")
	if out, code := w.client(string(b), "work", "DEFAULT:QUBESRPC test.Cat dom0"); code != 0 || out != string(b) {
		t.Errorf("dom0 to VM: %d bytes came back, code %d", len(out), code)
	}
	if out, code := w.clientVM(string(b), 41, "vault", "test.Cat"); code != 0 || out != string(b) {
		t.Errorf("VM to VM: %d bytes came back, code %d", len(out), code)
	}
}

func TestLongNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.vm(42, "vault")
	w.allow("vault")
	// Bodies far above any ring: a service name of the greatest length, and a command.
	w.service(42, "test.Len", `printf %s "${#1}"`)
	arg := strings.Repeat("a", 64900)
	if out, code := w.clientVM("", 41, "vault", "test.Len+"+arg); code != 0 || out != "64900" {
		t.Errorf("long argument: %.80q, %d", out, code)
	}
	if out, code := w.client("", "work", "DEFAULT:: "+arg+"; echo done"); code != 0 || out != "done\n" {
		t.Errorf("long command: %.80q, %d", out, code)
	}
}

func TestVanishingPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.agent(41)
	daemon := w.daemon(41, "work")
	// The caller dies: the service sees the end of its input.
	cmd := w.program(41, "qrexec-client", "--root", w.dir, "-d", "work", "DEFAULT:touch "+w.dir+"/up; cat; touch "+w.dir+"/down")
	in, _ := cmd.StdinPipe()
	defer in.Close()
	w.start(cmd)
	exists := func(name string) func() bool {
		return func() bool { _, err := os.Stat(filepath.Join(w.dir, name)); return err == nil }
	}
	eventually(t, "the service's start", exists("up"))
	cmd.Process.Kill()
	eventually(t, "the service's end", exists("down"))

	// The agent dies: the caller hears of it, and the daemon waits for the next agent.
	errs := make(chan error, 1)
	go func() {
		_, err := client.Run(t.Context(), w.options("work", "DEFAULT:touch "+w.dir+"/up2; sleep 30"))
		errs <- err
	}()
	eventually(t, "the second service's start", exists("up2"))
	agent.Process.Kill()
	agent.Wait()
	if err := <-errs; !errors.Is(err, client.ErrLost) {
		t.Errorf("call to an agent that died: %v", err)
	}
	eventually(t, "the daemon's sockets going away", func() bool { return !exists("run/qrexec.work")() })
	w.agent(41)
	eventually(t, "the daemon's sockets coming back", exists("run/qrexec.work"))
	if out, code := w.client("", "work", "DEFAULT:echo again"); code != 0 || out != "again\n" {
		t.Errorf("after the agent's return: %q, %d", out, code)
	}

	// The daemon dies hard: the agent takes the next one, and calls of before go on.
	long := make(chan string, 1)
	go func() {
		var out bytes.Buffer
		o := w.options("work", "DEFAULT:touch "+w.dir+"/up3; until [ -e "+w.dir+"/go ]; do sleep 0.05; done; echo survived")
		o.Stdout = &out
		client.Run(t.Context(), o)
		long <- out.String()
	}()
	eventually(t, "the third service's start", exists("up3"))
	daemon.Process.Kill()
	daemon.Wait()
	daemon = w.daemon(41, "work")
	if out, code := w.client("", "work", "DEFAULT:echo new"); code != 0 || out != "new\n" {
		t.Errorf("after the daemon's return: %q, %d", out, code)
	}
	write(t, w.dir+"/go", "", 0o644)
	if out := <-long; out != "survived\n" {
		t.Errorf("call from before the daemon's death: %q", out)
	}
	if code := terminate(t, daemon); code != 0 {
		t.Errorf("daemon's status on SIGTERM: %d", code)
	}
	if exists("run/qrexec.work")() || exists("run/qrexec.41")() {
		t.Error("the daemon left its sockets behind")
	}
}

func TestPolicyGoneRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	if err := os.Remove(filepath.Join(w.dir, "run", "policy.sock")); err != nil {
		t.Fatal(err)
	}
	if _, code := w.clientVM("", 41, "dom0", "test.Any"); code != 126 {
		t.Errorf("without a policy daemon: %d", code)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked != 0 {
		t.Error("somebody was asked")
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.vm(42, "vault")
	w.service(41, "test.Cat", "cat; exit $1")
	w.service(42, "test.Cat", "cat; exit $1")
	w.allow("vault")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	lost := 0
	try := func(n int, f func() bool) {
		wg.Go(func() {
			if !f() {
				mu.Lock()
				lost++
				mu.Unlock()
			}
		})
	}
	for i := range 100 {
		text := fmt.Sprintf("call %d", i)
		try(i, func() bool {
			var out bytes.Buffer
			o := w.options("work", "DEFAULT:QUBESRPC test.Cat+7 dom0")
			o.Stdin, o.Stdout, o.Timeout = strings.NewReader(text), &out, 60*time.Second
			code, err := client.Run(ctx, o)
			if err != nil || code != 7 || out.String() != text {
				t.Logf("dom0 call %d: %q, %d, %v", i, out.String(), code, err)
			}
			return err == nil && code == 7 && out.String() == text
		})
		try(i, func() bool {
			out, code := w.clientVM(text, 41, "vault", "test.Cat")
			if code != 0 || out != text {
				t.Logf("VM call %d: %q, %d", i, out, code)
			}
			return code == 0 && out == text
		})
	}
	wg.Wait()
	if lost > 0 {
		t.Errorf("%d of 200 calls were lost", lost)
	}
}

func TestPortsAreGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	// More calls, one after another, than there are ports.
	for i := range 300 {
		if code, err := client.Run(t.Context(), w.options("work", "no-such-user:true")); err != nil || code != 125 {
			t.Fatalf("call %d: %d, %v", i, code, err)
		}
	}
}

func TestDisposable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.service(43, "test.Hi", "echo from $QREXEC_REMOTE_DOMAIN; cat")
	log := w.serveQubesd(func() { w.vm(43, "disp1") })
	w.mu.Lock()
	w.answers = func(map[string]string) string {
		return "user=DEFAULT\nresult=allow\ntarget=@dispvm:tpl\ntarget_uuid=@dispvm:uuid:" + uuid(7) + "\nautostart=True\nrequested_target=@dispvm\n"
	}
	w.mu.Unlock()
	if out, code := w.clientVM("x", 41, "@dispvm", "test.Hi"); code != 0 || out != "from work\nx" {
		t.Errorf("%q, %d", out, code)
	}
	vm := "uuid:" + uuid(43)
	want := []string{
		"admin.vm.CreateDisposable+ dom0 name uuid:" + uuid(7) + "|uuid",
		"admin.vm.Start+ dom0 name " + vm + "|",
		"admin.vm.Kill+ dom0 name " + vm + "|",
	}
	eventually(t, "the disposable's removal", func() bool { return len(log()) == 3 })
	for i, got := range log() {
		if got != want[i] {
			t.Errorf("request %d: %q, want %q", i, got, want[i])
		}
	}
}

// serveQubesd plays a qubesd with one disposable, number 43.
func (w *world) serveQubesd(boot func()) (log func() []string) {
	l, err := net.Listen("unix", filepath.Join(w.dir, "run", "qubesd.sock"))
	if err != nil {
		w.t.Fatal(err)
	}
	var mu sync.Mutex
	var lines []string
	done := make(chan struct{})
	w.t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var b bytes.Buffer
			b.ReadFrom(c)
			head, payload, _ := strings.Cut(b.String(), "\x00")
			mu.Lock()
			lines = append(lines, head+"|"+payload)
			mu.Unlock()
			switch {
			case strings.HasPrefix(head, "admin.vm.CreateDisposable"):
				fmt.Fprintf(c, "0\x00uuid:%s", uuid(43))
			case strings.HasPrefix(head, "admin.vm.Start"):
				boot()
				fmt.Fprint(c, "0\x00")
			default:
				fmt.Fprint(c, "0\x00")
			}
			c.Close()
		}
	}()
	return func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), lines...) }
}

func TestStdioSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	// A service that asks for it writes to its input's socket; one beside it is not harmed.
	// The pause is the agent's time to take the signal: one that ends at once is cut off.
	const script = `kill -USR1 $QREXEC_AGENT_PID; sleep 0.5; echo hello >&0; read x; echo "got $x" >&0`
	w.service(41, "test.Both", script)
	w.service(41, "test.Cat", "exec cat")
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var beside bytes.Buffer
	done := make(chan error, 1)
	go func() {
		o := w.options("work", "DEFAULT:QUBESRPC test.Cat dom0")
		o.Stdin, o.Stdout = pr, &beside
		_, err := client.Run(t.Context(), o)
		done <- err
	}()
	if out, code := w.client("in\n", "work", "DEFAULT:QUBESRPC test.Both dom0"); code != 0 || out != "hello\ngot in\n" {
		t.Errorf("service: %q, %d", out, code)
	}
	fmt.Fprint(pw, "still here")
	pw.Close()
	if err := <-done; err != nil || beside.String() != "still here" {
		t.Errorf("the service beside: %q, %v", beside.String(), err)
	}
}

func TestWaitForSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vm(41, "work")
	w.service(41, "qubes.WaitForSession", `read user; echo "$user" >> `+w.dir+`/waited; until [ -e `+w.dir+`/session ]; do sleep 0.02; done`)
	w.service(41, "test.Gui", "echo shown")
	mkdir(t, w.dir, "conf")
	write(t, w.dir+"/conf/test.Gui", "wait-for-session=1\n", 0o644)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if out, code := w.client("", "work", "DEFAULT:QUBESRPC test.Gui dom0"); code != 0 || out != "shown\n" {
				t.Errorf("%q, %d", out, code)
			}
		})
	}
	if out, code := w.client("", "work", "DEFAULT:nogui:QUBESRPC test.Gui dom0"); code != 0 || out != "shown\n" {
		t.Errorf("with nogui: %q, %d", out, code)
	}
	eventually(t, "the wait", func() bool { _, err := os.Stat(w.dir + "/waited"); return err == nil })
	write(t, w.dir+"/session", "", 0o644)
	wg.Wait()
	if b, _ := os.ReadFile(w.dir + "/waited"); !strings.HasPrefix(string(b), w.user+"\n") {
		t.Errorf("the wait was for %q", b)
	}
}
