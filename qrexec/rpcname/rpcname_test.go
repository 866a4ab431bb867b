package rpcname_test

import (
	"slices"
	"strings"
	"testing"

	"qubist/qrexec/rpcname"
)

func TestParseVM(t *testing.T) {
	for in, ok := range map[string]bool{
		"user:echo hi": true, "user:nogui:echo": true, "user:QUBESRPC a src": true, "user:QUBESRPC a+ src": true,
		"user:QUBESRPC a+b src name vm": true, "user:QUBESRPC a src ": true, "user:nogui:QUBESRPC a src": true,
		"user:": true, "echo hi": false, "": false, "user:QUBESRPCa src": false, "user:QUBESRPC  a src": false,
		"user:QUBESRPC a": false, "user:QUBESRPC a  src": false, "user:QUBESRPC +a src": false, "user:QUBESRPC": false,
		"user:QUBESRPC " + strings.Repeat("n", 256) + " src":     false,
		"user:QUBESRPC " + strings.Repeat("n", 255) + " src":     true,
		"user:QUBESRPC a+" + strings.Repeat("n", 64998) + " src": true,
		"user:QUBESRPC a+" + strings.Repeat("n", 64999) + " src": false,
	} {
		c, err := rpcname.ParseVM(in)
		if (err == nil) != ok {
			t.Errorf("%.60q: %v", in, err)
		}
		if err != nil && c.Call != nil {
			t.Errorf("%.60q: a call besides the error", in)
		}
	}
	c, err := rpcname.ParseVM("me:nogui:QUBESRPC a.B+c+d src keyword dispvm")
	if err != nil || c.User != "me" || !c.NoGUI || c.Call.Name != "a.B" || c.Call.Arg != "c+d" || c.Call.Source != "src" {
		t.Fatalf("%+v, %v", c, err)
	}
	if got, _ := c.Call.FileNames(); !slices.Equal(got, []string{"a.B+c+d", "a.B"}) {
		t.Errorf("files %q", got)
	}
	if c.Call.Text != "a.B+c+d src keyword dispvm" {
		t.Errorf("text %q", c.Call.Text)
	}
}

func TestRequested(t *testing.T) {
	for in, want := range map[string]string{
		"a src": "/", "a src name vm": "name/vm", "a  src": "!", "a src  name  vm": "name/vm", "a src ": "/",
		"a src name": "!", "a src name vm more": "!",
	} {
		c, err := rpcname.ParseDom0("QUBESRPC " + in)
		got := "!"
		if err == nil {
			if kind, target, err := c.Call.Requested(); err == nil {
				got = kind + "/" + target
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFileNames(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a+ a", "a+": "a+ a", "a+b": "a+b a", "../x": "!", "a/b": "!", "a+b/c": "!", "..": "!", ".": "!",
		"a+" + strings.Repeat("b", 300): "a",
	} {
		c, err := rpcname.ParseDom0("QUBESRPC " + in + " src")
		if err != nil {
			t.Fatal(err)
		}
		names, err := c.Call.FileNames()
		got := strings.Join(names, " ")
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%.20q: %q, want %q", in, got, want)
		}
	}
}

func TestParseTCP(t *testing.T) {
	for in, want := range map[string]string{
		"/dev/tcp|127.0.0.1+80": "127.0.0.1:80", "/dev/tcp|++1+22": "[::1]:22", "/dev/tcp/127.0.0.1|8080": "127.0.0.1:8080",
		"/dev/tcp/127.0.0.1/8080|": "127.0.0.1:8080", "/dev/tcp/127.0.0.1/8080|x": "!", "/dev/tcp|a_b+1": "!",
		"/dev/tcp|80": "!", "/dev/tcp/127.0.0.1|080": "!", "/dev/tcp/127.0.0.1|0": "!", "/dev/tcp/127.0.0.1|65536": "!",
		"/dev/tcp/127.0.0.1|+5": "!", "/dev/tcp/localhost|80": "!", "/dev/tcpx|127.0.0.1+80": "!", "/dev/tcp/127.0.0.1|": "!",
	} {
		link, arg, _ := strings.Cut(in, "|")
		got := "!"
		if a, err := rpcname.ParseTCP(link, arg); err == nil {
			got = a.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "wait-for-session=1\n": "w", "wait-for-session = true # x\r\n": "w", "wait-for-session=0": "",
		"# c\n\nskip-service-descriptor=true\nexit-on-client-eof=true\nexit-on-service-eof=true": "sce",
		"force-user='me'\nwait-for-session=false":                                                "me", "other.key=17\nx='y'": "", "skip-service-descriptor=false\nforce-user='a'": "a",
		"[x]\n": "!", " wait-for-session=1": "!", "wait-for-session=2": "!", "wait-for-session=01": "!", "wait-for-session='1'": "!",
		"force-user=\"x\"": "!", "force-user='''x'''": "!", "force-user='x' y": "!", "force-user='x": "!", "a=1\x00": "!",
		"wait-for-session=0\nwait-for-session=0": "!", "force-user='a'\nskip-service-descriptor=true": "!", "=1": "!", "a": "!",
		"a=": "!", "exit-on-client-eof=1": "!", "1a=1": "!", "a=truex": "!", "# \x00": "!",
	} {
		c, err := rpcname.ParseConfig([]byte(in))
		got := c.ForceUser
		for s, on := range map[string]bool{"w": c.WaitForSession} {
			if on {
				got += s
			}
		}
		if c.SkipDescriptor {
			got += "s"
		}
		if c.ExitOnClientEOF {
			got += "c"
		}
		if c.ExitOnServiceEOF {
			got += "e"
		}
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q: %q (%v), want %q", in, got, err, want)
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add("user:QUBESRPC a+b src name vm")
	f.Add("user:nogui:echo hi")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := rpcname.ParseVM(s)
		if err != nil || c.Call == nil {
			return
		}
		names, err := c.Call.FileNames()
		if err != nil {
			return
		}
		for _, n := range names {
			if n == "" || n == "." || n == ".." || strings.Contains(n, "/") || len(n) > rpcname.MaxName {
				t.Fatalf("%q leaves its directory", n)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("wait-for-session=1\nforce-user='x'\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := rpcname.ParseConfig(b); err == nil && len(c.Unknown) > rpcname.MaxUnknown {
			t.Fatal("unbounded")
		}
	})
}
