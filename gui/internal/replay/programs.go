package replay

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// recorders are the helper programs the original may run, and notify-send, which stands for
// its notifications.
var recorders = []string{"zenity", "kdialog", "xmessage", "notify-send", "qvm-kill", "qubesdb-write", "setxkbmap", "qrexec-client", "qrexec-client-vm"}

func unhex(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}

// writePrograms makes recorders for helper programs: they note how they were called and end
// as the conversation says.
func (s *stage) writePrograms() {
	s.t.Helper()
	set := s.conv.Setup
	for _, name := range recorders {
		if slices.Contains(set.MissingPrograms, name) {
			continue
		}
		exit, output, hasOutput := 0, "", false
		switch name {
		case "zenity":
			if exit = 1; set.ZenityExit != nil {
				exit = *set.ZenityExit
			}
		case "kdialog":
			if set.KdialogExit != nil {
				exit = *set.KdialogExit
			}
		case "setxkbmap":
			output = "xkb_keymap { };\n"
		case "qrexec-client", "qrexec-client-vm":
			exit = number(set.ProgramExit, name)
			output, hasOutput = text(set.ProgramOutput, name)
		}
		var script strings.Builder
		script.WriteString("#!/bin/sh\nPATH=/usr/bin:/bin\n")
		log := filepath.Join(s.dir, "programs")
		if name != "setxkbmap" {
			fmt.Fprintf(&script, "{ printf '%%s\\0' %s \"$@\"; printf '\\001'; } >> %s\n", name, log)
		}
		if hasOutput {
			fmt.Fprintf(&script, "{ printf '\\002'; od -An -v -tx1; printf '\\001'; } >> %s\n", log)
		}
		file := filepath.Join(s.dir, "output."+name)
		if err := os.WriteFile(file, []byte(output), 0o600); err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&script, "cat %s\nexit %d\n", file, exit)
		if err := os.WriteFile(filepath.Join(s.dir, "bin", name), []byte(script.String()), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

// number and text read settings that are either one value or one per program.
func number(v any, name string) int {
	switch v := v.(type) {
	case float64:
		return int(v)
	case map[string]any:
		return number(v[name], name)
	}
	return 0
}

func text(v any, name string) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case map[string]any:
		return text(v[name], name)
	}
	return "", false
}

// ran are the programs that ran, and the notifications that were shown, since the last
// call that took them.
func (s *stage) ran(take bool) (ps []Program, ns []Notification) {
	b, _ := os.ReadFile(filepath.Join(s.dir, "programs"))
	fresh := b[min(s.seenLog, len(b)):]
	if take {
		s.seenLog = len(b)
	}
	for record := range bytes.SplitSeq(fresh, []byte{1}) {
		if len(record) == 0 {
			continue
		}
		if record[0] == 2 {
			in := strings.Join(strings.Fields(string(record[1:])), "")
			if len(ps) > 0 {
				ps[len(ps)-1].Stdin = &in
			}
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(record), "\x00"), "\x00")
		if args[0] == "notify-send" {
			ns = append(ns, notification(args[1:]))
			continue
		}
		ps = append(ps, Program{Program: args[0], Args: args[1:]})
	}
	return ps, ns
}

// notification understands: -t MILLISECONDS -- SUMMARY BODY.
func notification(args []string) Notification {
	n := Notification{Timeout: -1}
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-t":
			if i++; i < len(args) {
				n.Timeout, _ = strconv.Atoi(args[i])
			}
		case "--":
			if i+1 < len(args) {
				n.Summary = args[i+1]
			}
			return n
		}
	}
	return n
}

// policySocket answers the clipboard's question to the policy.
type policySocket struct {
	mu       sync.Mutex
	requests []string
}

func (s *stage) servePolicy(path string) {
	if s.conv.Setup.PolicyAnswer == nil || !s.conv.Setup.InDom0 {
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &policySocket{}
	s.policy = p
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(conn)
			p.mu.Lock()
			p.requests = append(p.requests, hex.EncodeToString(b))
			p.mu.Unlock()
			_, _ = conn.Write([]byte(*s.conv.Setup.PolicyAnswer))
			conn.Close()
		}
	})
	s.cleanup = append(s.cleanup, func() { l.Close(); served.Wait() })
}

func (p *policySocket) asked(take bool) []string {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := slices.Clone(p.requests)
	if take {
		p.requests = nil
	}
	return r
}

// policyPath is where the daemon asks dom0's policy.
func (s *stage) policyPath() string {
	return filepath.Join(s.dir, "etc", "qubes-rpc", "policy.EvalSimple")
}
