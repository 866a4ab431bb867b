// Package xserver runs the qube's X server: Xorg with the dummy driver, or Xvfb. The server
// is a process of its own that outlives its starter, so that a new agent finds the
// applications as the last one left them. The package does not speak X beyond trying to
// connect.
package xserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"qubist/gui/internal/xconn"
)

// The kinds of server.
const (
	Xorg = "xorg"
	Xvfb = "xvfb"
)

// Time limits.
const (
	startTime = 60 * time.Second // emulated machines are slow
	probeTime = 5 * time.Second
	pollTime  = 30 * time.Millisecond
	endTime   = 5 * time.Second
)

// Config describes the server.
type Config struct {
	Kind      string // Xorg or Xvfb
	Display   string // ":N"
	Authority string // file of the cookie; written at each start of the server
	Owner     int    // user id who may read the cookie, besides root
	XorgConf  string // configuration file, for Xorg
	LogFile   string // the server's own log, for Xorg
	Log       *slog.Logger
}

// Server is a running X server.
type Server struct {
	Started bool // by us, not found running
	cmd     *exec.Cmd
}

// Ensure returns the server of c.Display: the one that runs there already and takes our
// cookie, else a new one.
func Ensure(ctx context.Context, c Config) (*Server, error) {
	if alive(ctx, c) {
		c.Log.Info("using the x server that runs", "display", c.Display)
		return &Server{}, nil
	}
	if err := writeAuthority(c.Authority, c.Owner); err != nil {
		return nil, err
	}
	if err := clearLock("/tmp", "/proc", c.Display); err != nil {
		return nil, err
	}
	return start(ctx, c)
}

// alive reports whether a server takes connections with the cookie that is there.
func alive(ctx context.Context, c Config) bool {
	if _, err := os.Stat(c.Authority); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	x, err := xconn.Dial(ctx, c.Display, c.Authority)
	if err != nil {
		return false
	}
	defer x.Close()
	return x.Sync() == nil
}

func command(c Config) (*exec.Cmd, error) {
	common := []string{c.Display, "-nolisten", "tcp", "-noreset", "-auth", c.Authority, "-r", "-s", "0"}
	switch c.Kind {
	case Xorg:
		return exec.Command("/usr/bin/Xorg", append(common,
			"-config", c.XorgConf, "-logfile", c.LogFile, "-novtswitch", "-sharevts", "-keeptty")...), nil
	case Xvfb:
		return exec.Command("/usr/bin/Xvfb", append(common, "-screen", "0", "1920x1080x24")...), nil
	}
	return nil, fmt.Errorf("unknown kind of x server %q", c.Kind)
}

func start(ctx context.Context, c Config) (*Server, error) {
	cmd, err := command(c)
	if err != nil {
		return nil, err
	}
	// The server's copy of w is closed by its end, whatever that is.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting the x server: %w", err)
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it must not end with us
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the x server: %w", err)
	}
	s := &Server{Started: true, cmd: cmd}
	if err := awaitReady(ctx, c, r); err != nil {
		s.kill()
		return nil, fmt.Errorf("starting the x server: %w", err)
	}
	c.Log.Info("x server started", "kind", c.Kind, "display", c.Display, "pid", cmd.Process.Pid)
	return s, nil
}

// awaitReady waits until the server takes connections. (Its -displayfd would tell, but
// switches off the lock that keeps two servers from one display.)
func awaitReady(ctx context.Context, c Config, r *os.File) error {
	for limit := time.Now().Add(startTime); time.Now().Before(limit); {
		if err := r.SetReadDeadline(time.Now().Add(pollTime)); err != nil {
			return err
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("it ended at once; its log says why")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if alive(ctx, c) {
			return nil
		}
	}
	return fmt.Errorf("not ready after %v", startTime)
}

func (s *Server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Reap is called when the connection to the server was lost. It waits for a server that we
// started to end, and ends it when it does not.
func (s *Server) Reap() {
	if s.cmd == nil {
		return
	}
	late := time.AfterFunc(endTime, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	_ = s.cmd.Wait() // how a lost server ended is in its log
	s.cmd = nil
}
