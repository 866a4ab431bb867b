// Package xvfb starts a throw-away X server for a test: on a display number the server
// chooses, with its own cookie when wanted, ended with the test. For tests only.
package xvfb

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Server is a running Xvfb.
type Server struct {
	Display   string // ":N"
	Authority string // empty without a cookie
	cmd       *exec.Cmd
}

// Options of a server; the zero value is 1280×800 without a cookie.
type Options struct {
	Width, Height int
	Cookie        bool
}

// Start starts a server or skips the test where Xvfb is not installed.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if _, err := exec.LookPath("Xvfb"); err != nil {
		t.Skip("Xvfb is not installed")
	}
	if o.Width == 0 {
		o.Width, o.Height = 1280, 800
	}
	s := &Server{}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	args := []string{"-displayfd", "3", "-screen", "0", fmt.Sprintf("%dx%dx24", o.Width, o.Height), "-nolisten", "tcp", "-noreset"}
	if o.Cookie {
		s.Authority = filepath.Join(t.TempDir(), "Xauthority")
		args = append(args, "-auth", s.Authority)
		if err := os.WriteFile(s.Authority, cookieEntry(), 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		args = append(args, "-ac")
	}
	s.cmd = exec.Command("Xvfb", args...)
	s.cmd.ExtraFiles = []*os.File{w}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("starting Xvfb: %v", err)
	}
	w.Close()
	t.Cleanup(s.Kill)
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("waiting for Xvfb: %v", err)
	}
	s.Display = ":" + strings.TrimSpace(line)
	return s
}

// Kill ends the server at once, as a crash would. It may be called twice.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// cookieEntry is an Xauthority file that is good for every display.
func cookieEntry() []byte {
	cookie := make([]byte, 16)
	_, _ = rand.Read(cookie)
	b := []byte{0xff, 0xff}
	for _, s := range []string{"", "", "MIT-MAGIC-COOKIE-1", string(cookie)} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return b
}
