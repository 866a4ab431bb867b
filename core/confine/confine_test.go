package confine_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"qubist/core/confine"
)

// The test binary is its own victim: with this variable it confines itself and tries
// things, one line of outcome each.
const victimEnv = "CONFINE_VICTIM_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		victim(dir)
		return
	}
	os.Exit(m.Run())
}

// attempts are what the victim tries, on a thread that exists before it is confined.
var attempts = []struct {
	name     string
	try      func(dir string) error
	allowed  map[string]bool // by profile; anything else must fail
	landlock bool            // needs Landlock to be refused
}{
	{"run a program", func(string) error { return exec.Command("/bin/true").Run() }, map[string]bool{"exec": true}, false},
	{"trace", func(string) error { return unix.PtraceSeize(os.Getppid()) }, nil, false},
	{"mount", func(dir string) error { return unix.Mount("none", dir, "tmpfs", 0, "") }, nil, false},
	{"unshare", func(string) error { return unix.Unshare(unix.CLONE_NEWUTS) }, nil, false},
	{"clone into a user namespace", func(string) error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		return cmd.Run()
	}, nil, false},
	{"clone3", func(string) error {
		_, _, errno := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0)
		if errno == unix.EINVAL { // the kernel looked at it
			return nil
		}
		return errno
	}, nil, false},
	{"io_uring", func(string) error {
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0)
		if errno == unix.EFAULT || errno == unix.EINVAL {
			return nil
		}
		return errno
	}, nil, false},
	{"become another user", func(string) error { return unix.Setresuid(65534, 65534, 65534) }, nil, false},
	{"make a device", func(dir string) error { return unix.Mknod(dir+"/w/null", unix.S_IFCHR|0o600, 0x103) }, nil, false},
	{"write core files", func(string) error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}) }, nil, false},
	{"read what is listed", func(dir string) error { _, err := os.ReadFile(dir + "/r/file"); return err }, map[string]bool{"least": true, "exec": true}, false},
	{"write what is listed", func(dir string) error { return os.WriteFile(dir+"/w/file", nil, 0o600) }, map[string]bool{"least": true, "exec": true}, false},
	{"write what may be read", func(dir string) error { return os.WriteFile(dir+"/r/file2", nil, 0o600) }, nil, true},
	{"read something else", func(dir string) error { _, err := os.ReadFile(dir + "/secret"); return err }, nil, true},
	{"make a socket where it may write", func(dir string) error {
		l, err := net.Listen("unix", dir+"/w/sock")
		if err == nil {
			l.Close()
		}
		return err
	}, map[string]bool{"least": true, "exec": true}, false},
	{"listen on TCP", func(string) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			l.Close()
		}
		return err
	}, nil, false},
	{"open a UDP socket", func(string) error { _, err := net.ListenPacket("udp", "127.0.0.1:0"); return err }, nil, false},
	{"start a goroutine on a thread of its own", func(string) error {
		done := make(chan struct{})
		go func() { runtime.LockOSThread(); close(done) }()
		<-done
		return nil
	}, map[string]bool{"least": true, "exec": true}, false},
}

func victim(dir string) {
	profile := confine.Profile{Read: []string{dir + "/r", "/proc"}, Write: []string{dir + "/w", dir + "/absent"}, Files: 100, Data: 1 << 30}
	if os.Getenv("CONFINE_EXEC") != "" {
		profile.Exec = true
		profile.Read = append(profile.Read, "/bin", "/usr", "/lib", "/lib64", "/dev/null", "/etc/ld.so.cache")
		profile.Write = append(profile.Write, "/dev/null")
	}
	before, after := make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(before)
		<-after
		for _, a := range attempts {
			fmt.Printf("%s: %v\n", a.name, a.try(dir))
		}
		status, _ := os.ReadFile("/proc/self/status")
		os.Stdout.Write(status)
		os.Exit(0)
	}()
	<-before
	if err := confine.Apply(slog.New(slog.NewTextHandler(os.Stderr, nil)), profile); err != nil {
		fmt.Println("Apply:", err)
		os.Exit(1)
	}
	close(after)
	select {}
}

// hasLandlock: without it the file and network attempts cannot be refused.
func hasLandlock() bool {
	abi, err := ll.LandlockGetABIVersion()
	return err == nil && abi >= 4
}

func TestDenied(t *testing.T) {
	for _, profile := range []string{"least", "exec"} {
		t.Run(profile, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range []string{"r", "w"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range []string{"r/file", "secret"} {
				if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), victimEnv+"="+dir)
			if profile == "exec" {
				cmd.Env = append(cmd.Env, "CONFINE_EXEC=1")
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("victim: %v\n%s%s", err, out, stderr.Bytes())
			}
			check(t, profile, string(out), stderr.String())
		})
	}
}

func check(t *testing.T, profile, out, stderr string) {
	t.Helper()
	outcome := map[string]string{}
	for line := range strings.Lines(out) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			outcome[k] = v
		}
	}
	for _, a := range attempts {
		got, ran := outcome[a.name]
		switch {
		case !ran:
			t.Errorf("%s: not tried:\n%s", a.name, out)
		case a.allowed[profile] && got != "<nil>":
			t.Errorf("%s: %s, want it allowed", a.name, got)
		case !a.allowed[profile] && a.landlock && !hasLandlock():
			t.Logf("%s: this kernel has no Landlock to refuse it", a.name)
		case !a.allowed[profile] && got == "<nil>":
			t.Errorf("%s: allowed", a.name)
		}
	}
	if !hasLandlock() && !strings.Contains(stderr, "NOT CONFINED TO ITS FILES") {
		t.Errorf("nothing is said about the missing Landlock: %q", stderr)
	}
	for field, want := range map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0000000000000000", "CapPrm": "0000000000000000"} {
		if got := statusField(out, field); got != want {
			t.Errorf("%s is %q, want %s", field, got, want)
		}
	}
}

func statusField(status, field string) string {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// TestUnconfinedBaseline: the attempts fail because of the confinement, not anyway.
func TestUnconfinedBaseline(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user is refused most of it anyway")
	}
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "r"), 0o700)
	os.Mkdir(filepath.Join(dir, "w"), 0o700)
	os.WriteFile(filepath.Join(dir, "r/file"), nil, 0o600)
	os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600)
	for _, a := range attempts {
		switch a.name {
		case "run a program", "clone3", "io_uring", "make a device", "read something else", "write what may be read", "listen on TCP", "open a UDP socket":
			if err := a.try(dir); err != nil && !errors.Is(err, unix.ENOSYS) {
				t.Errorf("%s fails without confinement: %v", a.name, err)
			}
		}
	}
}
