package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/xgb/xproto"
	"github.com/BurntSushi/xgb/xtest"

	"qubist/core/vchan"
	"qubist/core/vchan/socket"
	"qubist/gui/internal/grant"
	"qubist/gui/internal/xconn"
	"qubist/gui/internal/xvfb"
)

const (
	// domain is the qube's number in every recording.
	domain = 42
	// limit bounds every wait for something that must come.
	limit = 5 * time.Second
)

// stage is everything one conversation needs: X server, window manager, daemon, agent.
type stage struct {
	t    testing.TB
	conv *Conversation
	dir  string // root of the instance
	run  string // its run directory
	x    *xvfb.Server
	c    *xconn.Conn
	look *looker
	wm   *exec.Cmd

	pages   *pages
	cleanup []func()

	daemon  *exec.Cmd
	exited  chan struct{}
	log     *lockedBuffer
	agent   *agent
	policy  *policySocket
	actors  actors
	seenLog int // bytes of the programs' log that were read
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newStage starts the X server and what else there was before the daemon.
func newStage(t testing.TB, conv *Conversation) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "q-rep-")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, conv: conv, dir: dir, run: filepath.Join(dir, "run"), log: &lockedBuffer{}, pages: &pages{}, exited: make(chan struct{})}
	s.cleanup = append(s.cleanup, func() { os.RemoveAll(dir) }, s.pages.close)
	for _, d := range []string{"run/vchan", "bin", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var w, h int
	if _, err := fmt.Sscanf(conv.Setup.Screen, "%dx%d", &w, &h); err != nil {
		t.Fatalf("screen %q: %v", conv.Setup.Screen, err)
	}
	s.x = xvfb.Start(t, xvfb.Options{Width: w, Height: h})
	s.cleanup = append(s.cleanup, s.x.Kill)
	if s.c, err = xconn.Dial(t.Context(), s.x.Display, ""); err != nil {
		t.Fatal(err)
	}
	s.cleanup = append(s.cleanup, s.c.Close)
	if err := xtest.Init(s.c.X); err != nil {
		t.Fatal(err)
	}
	s.look = newLooker(s.c)
	xproto.WarpPointer(s.c.X, 0, s.c.Screen.Root, 0, 0, 0, 0, int16(w-2), int16(h-2))
	if err := s.rootProperties(); err != nil {
		t.Fatal(err)
	}
	if conv.Setup.WindowManager == "openbox" {
		s.startManager()
	}
	s.writeFiles()
	s.writePrograms()
	if err := s.serveGrants(); err != nil {
		t.Fatal(err)
	}
	return s
}

// end stops everything, the last started first.
func (s *stage) end() {
	if s.daemon != nil {
		_ = s.daemon.Process.Kill()
		<-s.exited
	}
	for _, f := range slices.Backward(s.cleanup) {
		f()
	}
}

// openboxConfig is openbox with its defaults, without bindings, with two desktops and a
// bottom margin of 30.
const openboxConfig = `<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
<placement><policy>Smart</policy><center>no</center></placement>
<desktops><number>2</number><firstdesk>1</firstdesk></desktops>
<margins><top>0</top><bottom>30</bottom><left>0</left><right>0</right></margins>
<keyboard></keyboard><mouse></mouse>
</openbox_config>
`

func (s *stage) startManager() {
	s.t.Helper()
	if _, err := exec.LookPath("openbox"); err != nil {
		s.t.Skip("openbox is not installed")
	}
	rc := filepath.Join(s.dir, "rc.xml")
	if err := os.WriteFile(rc, []byte(openboxConfig), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.wm = exec.Command("openbox", "--sm-disable", "--config-file", rc)
	s.wm.Env = append(os.Environ(), "DISPLAY="+s.x.Display, "HOME="+s.dir, "XDG_CACHE_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir, "XDG_DATA_HOME="+s.dir)
	if err := s.wm.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cleanup = append(s.cleanup, func() { _ = s.wm.Process.Kill(); _ = s.wm.Wait() })
	check, area := s.look.atom("_NET_SUPPORTING_WM_CHECK"), s.look.atom("_NET_WORKAREA")
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if len(s.look.values(s.c.Screen.Root, check)) == 1 && len(s.look.values(s.c.Screen.Root, area)) == 8 {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatal("openbox does not start")
		}
	}
	s.settle()
}

func (s *stage) rootProperties() error {
	for _, p := range s.conv.Setup.RootProperties {
		items, _ := p[2].([]any)
		var vs []uint32
		for _, it := range items {
			switch it := it.(type) {
			case string:
				vs = append(vs, uint32(s.look.atom(it)))
			case float64:
				vs = append(vs, uint32(int64(it)))
			}
		}
		s.setRoot(p[0].(string), p[1].(string), vs...)
	}
	return s.c.Sync()
}

func (s *stage) setRoot(name, typ string, vs ...uint32) {
	xproto.ChangeProperty(s.c.X, xproto.PropModeReplace, s.c.Screen.Root, s.look.atom(name), s.look.atom(typ), 32, uint32(len(vs)), le32(vs))
}

// writeFiles makes the configuration, the icon and what lay in the run directory.
func (s *stage) writeFiles() {
	s.t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for y := range 16 {
		for x := range 16 {
			img.SetNRGBA(x, y, color.NRGBA{uint8(10 * x), uint8(10 * y), 100, 255})
		}
	}
	// The last pixel is made translucent and opaque again: the encoder drops the alpha
	// channel of an opaque picture, the recorded icon had one.
	icon, err := os.Create(filepath.Join(s.dir, "icon.png"))
	if err == nil {
		err = png.Encode(icon, withAlpha{img})
		icon.Close()
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "guid.conf"), []byte(s.conv.Setup.Config), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for name, content := range s.conv.Setup.Files {
		b := unhex(content)
		if err := os.WriteFile(filepath.Join(s.run, name), b, 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
}

// withAlpha keeps the PNG encoder from dropping the alpha channel.
type withAlpha struct{ *image.NRGBA }

func (withAlpha) Opaque() bool { return false }

func (s *stage) serveGrants() error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.grantSocket(), Net: "unix"})
	if err != nil {
		return err
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			_ = grant.Serve(conn, s.pages) // its end is the daemon's
			conn.Close()
		}
	})
	s.cleanup = append(s.cleanup, func() { l.Close(); served.Wait() })
	return nil
}

func (s *stage) grantSocket() string { return filepath.Join(s.dir, "grants") }

// startDaemon starts the daemon, and the agent if one listened.
func (s *stage) startDaemon(bin string) {
	s.t.Helper()
	own := []string{"--root", s.dir, "--frame", "wm", "--grants", s.grantSocket()}
	if !s.conv.Setup.InDom0 {
		own = append(own, "--guivm")
	}
	args := append(own, s.conv.Setup.CommandLine[1:]...)
	for i, a := range args {
		switch a {
		case "$CONFIG":
			args[i] = filepath.Join(s.dir, "guid.conf")
		case "$ICON":
			args[i] = filepath.Join(s.dir, "icon.png")
		case "<pid>":
			args[i] = fmt.Sprint(s.actors.target(s))
		}
	}
	s.daemon = exec.Command(bin, args...)
	s.daemon.Dir = s.dir
	s.daemon.Env = []string{"PATH=" + filepath.Join(s.dir, "bin"), "DISPLAY=" + s.x.Display, "QUBIST_VCHAN=socket", "HOME=" + s.dir}
	for name, value := range s.conv.Setup.Env {
		s.daemon.Env = slices.DeleteFunc(s.daemon.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		if value != nil {
			s.daemon.Env = append(s.daemon.Env, name+"="+*value)
		}
	}
	s.daemon.Stdout, s.daemon.Stderr = s.log, s.log
	listens := s.conv.Setup.AgentListens == nil || *s.conv.Setup.AgentListens
	if listens {
		s.agent = newAgent(s)
	}
	if err := s.daemon.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = s.daemon.Wait()
		close(s.exited)
	}()
	if listens {
		s.agent.accept(s)
	}
}

// status is the daemon's exit status, if it has ended.
func (s *stage) status() (int, bool) {
	select {
	case <-s.exited:
	default:
		return 0, false
	}
	if ws := s.daemon.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return -int(ws.Signal()), true
	}
	return s.daemon.ProcessState.ExitCode(), true
}

// agent is the far end of the channel.
type agent struct {
	l    vchan.Listener
	conn vchan.Conn
	mu   sync.Mutex
	in   []byte
	gone bool // the daemon hung up
	shut bool // we did
	done chan struct{}
}

func newAgent(s *stage) *agent {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	l, err := socket.New(filepath.Join(s.run, "vchan"), domain).Listen(ctx, 0, vchan.PortGUI)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cleanup = append(s.cleanup, func() { l.Close() })
	return &agent{l: l}
}

// accept waits for the daemon; it may as well end.
func (a *agent) accept(s *stage) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {})
	defer stop()
	go func() {
		select {
		case <-s.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := a.l.Accept(ctx)
	if err != nil {
		return
	}
	a.l.Close()
	a.conn, a.done = conn, make(chan struct{})
	s.cleanup = append(s.cleanup, func() { conn.Close(); <-a.done })
	go func() {
		defer close(a.done)
		b := make([]byte, 64<<10)
		for {
			n, err := conn.Read(b)
			a.mu.Lock()
			a.in = append(a.in, b[:n]...)
			if err != nil {
				a.gone = !a.shut
				a.mu.Unlock()
				return
			}
			a.mu.Unlock()
		}
	}()
}

// send writes in pieces a dying daemon cannot block.
func (a *agent) send(b []byte) error {
	if a == nil || a.conn == nil {
		return errors.New("the daemon has not connected")
	}
	if err := a.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	_, err := a.conn.Write(b)
	return err
}

func (a *agent) close() {
	a.mu.Lock()
	a.shut = true
	a.mu.Unlock()
	a.conn.Close()
}

// received is everything the daemon sent since the last take.
func (a *agent) received() []byte {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return bytes.Clone(a.in)
}

func (a *agent) take(n int) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.in = a.in[n:]
}

func (a *agent) hungUp() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone
}
