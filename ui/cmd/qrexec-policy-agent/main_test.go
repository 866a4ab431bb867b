package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "agent-test")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "qrexec-policy-agent")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// startAgent runs the agent until the test ends and returns its root.
func startAgent(t *testing.T, args ...string) string {
	t.Helper()
	root, err := os.MkdirTemp("", "qa") // short: socket paths end at 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{"--root", root, "--ready-fd", "3", "--terminal", ""}, args...)...)
	cmd.ExtraFiles = []*os.File{w}
	var logs bytes.Buffer
	cmd.Stderr = &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		t.Logf("agent:\n%s", logs.String())
		os.RemoveAll(root)
	})
	ready, err := io.ReadAll(r)
	r.Close()
	if err != nil || string(ready) != "READY\n" {
		t.Fatalf("ready: %q, %v\n%s", ready, err, logs.String())
	}
	return root
}

const vaultOnly = `{"source":"work","service":"test.Echo","argument":"+","targets":["vault"],"default_target":"vault","icons":{"work":"appvm-blue","vault":"appvm-black"},"rule":"/etc/policy.d/90-default.policy:26"}`

// ask puts a question and delivers its answer.
func ask(t *testing.T, root, body string) <-chan string {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(root, "run", "policy-agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, "policy.Ask dom0 name dom0\x00"+body); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c := make(chan string, 1)
	go func() {
		data, err := io.ReadAll(conn)
		if err != nil {
			data = fmt.Appendf(nil, "error: %v", err)
		}
		c <- string(data)
	}()
	return c
}

// terminal is the front end on a pseudo-terminal, and what it wrote.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	pty  *os.File
	mu   sync.Mutex
	out  bytes.Buffer
	done chan struct{}
}

func attach(t *testing.T, root string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command(program, append([]string{"--root", root, "--attach"}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, cmd: cmd, pty: f, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			term.mu.Lock()
			term.out.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		f.Close()
		<-term.done
	})
	return term
}

func (x *terminal) written() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.String()
}

var escapes = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[()][A-Z0-9]|[=>78M])")

// see waits until the text is among what was written, escape sequences left out.
func (x *terminal) see(text string) {
	x.t.Helper()
	x.until(fmt.Sprintf("%q on the screen", text), func() bool {
		return strings.Contains(escapes.ReplaceAllString(x.written(), ""), text)
	})
}

func (x *terminal) until(what string, ok func() bool) {
	x.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			x.t.Fatalf("no %s; written so far:\n%q", what, x.written())
		}
	}
}

// armed waits until keys count.
func (x *terminal) armed() {
	x.t.Helper()
	x.see("Tab: other choice")
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.pty, keys); err != nil {
		x.t.Fatal(err)
	}
}

func expect(t *testing.T, answer <-chan string, want string) {
	t.Helper()
	select {
	case got := <-answer:
		if got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
	}
}

func TestKeysOnATerminal(t *testing.T) {
	for _, tc := range []struct{ name, keys, want string }{
		{"enter denies", "\r", "deny"},
		{"escape denies", "\x1b", "deny"},
		{"ctrl-C denies", "\x03", "deny"},
		{"q denies", "q", "deny"},
		{"tab enter allows", "\t\r", "allow:vault"},
		{"right enter allows", "\x1b[C\r", "allow:vault"},
		{"letters and pasted keys do nothing, then enter denies", "yaA\x1b[200~\t\r\t\r\x1b[201~\r", "deny"},
		{"a terminal's answers do nothing, then enter denies", "\x1b[?62;c\x1b[24;80R\x1b]11;rgb:0/0/0\x07\r", "deny"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			root := startAgent(t)
			x := attach(t, root)
			answer := ask(t, root, vaultOnly)
			for _, text := range []string{"work", "blue", "test.", "Echo", "vault", "90-default.policy:26", "[ Deny ]"} {
				x.see(text)
			}
			x.armed()
			x.press(tc.keys)
			expect(t, answer, tc.want)
		})
	}
}

// TestEarlyKeys: keys that were typed before the question, or right after it came, are
// nothing, and they keep later ones of the same burst from counting.
func TestEarlyKeys(t *testing.T) {
	t.Parallel()
	root := startAgent(t)
	answer := ask(t, root, vaultOnly)
	began := time.Now()
	x := attach(t, root)
	x.press("\t\r\t\r")
	x.see("[ Deny ]")
	x.press("\t\r\t\r")
	pressed := time.Since(began)
	time.Sleep(200 * time.Millisecond) // time for a wrong answer
	early(t, pressed, answer)
	x.armed()
	x.press("\t\r")
	expect(t, answer, "allow:vault")
}

// early fails if the question is answered although keys could not count yet. When this
// machine was too slow to press them within the guard time, nothing is known.
func early(t *testing.T, pressed time.Duration, answer <-chan string) {
	t.Helper()
	select {
	case a := <-answer:
		if pressed > 450*time.Millisecond {
			t.Skipf("keys were pressed only after %v", pressed)
		}
		t.Fatalf("early keys answered %q", a)
	default:
	}
}

// TestResizeGuards: after a change of size keys do not count at once.
func TestResizeGuards(t *testing.T) {
	t.Parallel()
	root := startAgent(t)
	answer := ask(t, root, vaultOnly)
	x := attach(t, root)
	x.armed()
	x.mu.Lock()
	x.out.Reset()
	x.mu.Unlock()
	began := time.Now()
	if err := pty.Setsize(x.pty, &pty.Winsize{Rows: 20, Cols: 70}); err != nil {
		t.Fatal(err)
	}
	x.see("Read first") // drawn anew, not armed
	x.press("\t\r")
	pressed := time.Since(began)
	time.Sleep(200 * time.Millisecond) // time for a wrong answer
	early(t, pressed, answer)
	x.armed()
	if err := pty.Setsize(x.pty, &pty.Winsize{Rows: 5, Cols: 40}); err != nil {
		t.Fatal(err)
	}
	x.see("too small")
	time.Sleep(700 * time.Millisecond) // longer than the guard: what counts now is the size
	x.press("\t\r")
	expect(t, answer, "deny")
}

func TestFrontEndEnds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
		want   string
		clean  bool
	}{
		{"killed", syscall.SIGKILL, "", false},
		{"SIGTERM", syscall.SIGTERM, "", true},
		{"SIGHUP", syscall.SIGHUP, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			root := startAgent(t)
			answer := ask(t, root, vaultOnly)
			x := attach(t, root)
			x.armed()
			if err := x.cmd.Process.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			expect(t, answer, tc.want) // no answer, which denies
			if !tc.clean {
				return
			}
			if err := x.cmd.Wait(); err != nil {
				t.Errorf("ended with %v", err)
			}
			for _, restore := range []string{"\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l", "\x1b[?1004l"} {
				x.until(fmt.Sprintf("%q at the end", restore), func() bool { return strings.Contains(x.written(), restore) })
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	root := startAgent(t, "--timeout", "1500ms")
	shown := ask(t, root, vaultOnly)
	x := attach(t, root, "--once")
	x.see("[ Deny ]")
	expect(t, shown, "deny")
	if err := x.cmd.Wait(); err != nil {
		t.Errorf("with --once and nothing open: %v", err)
	}
	expect(t, ask(t, root, vaultOnly), "deny") // nobody there to show it
}

// TestHostileNames: whatever a name holds, no escape sequence and no markup of it reaches
// the terminal.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	root := startAgent(t)
	body := `{"source":"[red]wo\u001b[2Jrk\u009b31m","service":"a.\u001b]0;pwned\u0007b\u202e[::b]","argument":"+\u001b[6n\u0005\r\n\u001bPq\u001b\\\u001b[?1049l",` +
		`"targets":["va\u001b[1Ault","z[red]x[-]","w\u00f6rk"],"default_target":"va\u001b[1Ault","icons":{"[red]wo\u001b[2Jrk\u009b31m":"appvm-\u001b[0m"},"rule":"\u001b[41m[yellow]a:1"}`
	answer := ask(t, root, body)
	x := attach(t, root)
	for _, text := range []string{"[red]wo_[2Jrk_31m", "_]0;pwned_b_[::b]", "_[6n____Pq_\\_[?1049l", "va_[1Ault", "z[red]x[-]", "w_rk", "_[41m[yellow]a:1", "Some characters cannot be shown", "cannot be shown"} {
		x.see(text)
	}
	out := x.written()
	for _, bad := range []string{"\x1b[2Jrk", "\x9b", "\u009b", "\x1b]0;", "\x07", "\x05", "\u202e", "\x1b[6n", "\x1bPq", "\x1b[?1049l", "\x1b[1A", "\x1b[41m", "ö", "label \x1b"} {
		if strings.Contains(out, bad) {
			t.Errorf("%q reached the terminal", bad)
		}
	}
	x.see("choose a target first")
	x.press("\t\r\r") // the first target cannot be shown: it is not chosen
	time.Sleep(200 * time.Millisecond)
	x.press("\x1b")
	expect(t, answer, "deny")
}

// TestChoice: with several targets one must be chosen.
func TestChoice(t *testing.T) {
	t.Parallel()
	root := startAgent(t)
	body := strings.Replace(strings.Replace(vaultOnly, `["vault"]`, `["personal","untrusted","vault","@dispvm:dvm"]`, 1), `"default_target":"vault"`, `"default_target":""`, 1)
	answer := ask(t, root, body)
	x := attach(t, root)
	x.see("choose a target first")
	x.press("\tvau\r")
	x.see("Allow in vault")
	x.press("\r")
	expect(t, answer, "allow:vault")
}

// TestOpensTerminal: with a display and no front end the agent opens one by itself.
func TestOpensTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// A stand-in for xterm: it gives the command behind -e a terminal of its own.
	fake, marks := filepath.Join(dir, "term"), filepath.Join(dir, "marks")
	script := "#!/bin/sh\necho \"$DISPLAY $1\" >>" + marks + "\nshift\nexec script -qec \"$*\" /dev/null </dev/null >/dev/null\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	root := startAgent(t, "--terminal", fake, "--timeout", "1500ms")
	if err := os.WriteFile(filepath.Join(root, "run", "display"), []byte(":77\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	expect(t, ask(t, root, vaultOnly), "deny")
	if d := time.Since(start); d < time.Second {
		t.Errorf("denied after %v: the window did not stay", d)
	}
	data, err := os.ReadFile(marks)
	if err != nil || string(data) != ":77 -e\n" {
		t.Errorf("the terminal was run as %q, %v", data, err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, args := range [][]string{{"--attach"}, {"extra"}, {"--nosuch"}} {
		cmd := exec.CommandContext(ctx, program, append([]string{"--root", t.TempDir()}, args...)...)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%v succeeded: %s", args, out)
		}
	}
}
