package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"qubist/core/adminclient"
	"qubist/core/internal/qvm"
)

func TestMain(m *testing.M) {
	cmds := map[string]func(){"qubesd": main}
	for _, tool := range append(qvm.Tools(), "qvm") {
		cmds[tool] = func() {
			os.Exit(qvm.Main(context.Background(), qvm.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Run: adminclient.RunCommand}, append([]string{tool}, os.Args[1:]...)))
		}
	}
	testscript.Main(m, cmds)
}

// TestScripts runs the built programs against each other over the fake hypervisor.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			root, err := os.MkdirTemp("", "qb") // socket paths are short
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(root) })
			e.Setenv("QUBIST_ROOT", root)
			kernel := root + "/lib/vm-kernels/k1"
			if err := os.MkdirAll(kernel, 0o755); err != nil {
				return err
			}
			return os.WriteFile(kernel+"/vmlinuz", nil, 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":   await,
			"events":  events,
			"hexcall": hexcall,
		},
	})
}

// await waits until the daemon answers.
func await(ts *testscript.TestScript, _ bool, _ []string) {
	path := ts.Getenv("QUBIST_ROOT") + "/run/qubesd.sock"
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := adminclient.New(path).List(context.Background(), "dom0"); err == nil {
			return
		} else if time.Now().After(end) {
			ts.Fatalf("qubesd does not answer: %v", err)
		}
	}
}

// events METHOD VM makes a call and prints the events it causes.
func events(ts *testscript.TestScript, neg bool, args []string) {
	c := adminclient.New(ts.Getenv("QUBIST_ROOT") + "/run/qubesd.sock")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := c.Subscribe(ctx, "admin.Events", "dom0")
	ts.Check(err)
	_, err = c.Call(ctx, args[0], args[1], "", nil)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
	time.AfterFunc(100*time.Millisecond, s.Close)
	for {
		e, err := s.Next()
		if err != nil {
			return
		}
		fmt.Fprintln(ts.Stdout(), e.Subject, e.Name)
	}
}

// hexcall TEXT sends raw bytes (with \0 for NUL) and prints the answer quoted.
func hexcall(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := net.Dial("unix", ts.Getenv("QUBIST_ROOT")+"/run/"+args[0])
	ts.Check(err)
	defer conn.Close()
	_, err = conn.Write([]byte(strings.ReplaceAll(args[1], `\0`, "\x00")))
	ts.Check(err)
	ts.Check(conn.(*net.UnixConn).CloseWrite())
	b := make([]byte, 1<<16)
	n, _ := conn.Read(b)
	fmt.Fprintf(ts.Stdout(), "%q\n", b[:n])
}
