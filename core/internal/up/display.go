package up

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Display finds the X display for the qubes' windows and records it for the window
// daemons. Without one it starts an Xvfb that outlives us, and says so.
func (e *Env) Display(ctx context.Context) error {
	recorded, recordedAuth, ok := e.recordedDisplay()
	ok = ok && displayAnswers(recorded)
	if d := os.Getenv("DISPLAY"); d != "" {
		err := e.usable(ctx, d, xauthority())
		if err == nil {
			if ok && d != recorded {
				e.Say("new windows come to %s; qubes that run already keep theirs on %s until they are started again", d, recorded)
			}
			return e.recordDisplay(d, xauthority())
		}
		e.Say("DISPLAY is %s, but %v", d, err)
	}
	switch {
	case ok && recordedAuth == e.xvfbAuth():
		e.Say("windows are on the virtual display %s (XAUTHORITY=%s); c in the console saves a picture of it", recorded, recordedAuth)
		return nil
	case ok:
		e.Say("windows are on display %s, as before", recorded)
		return nil
	}
	return e.virtualDisplay(ctx)
}

// virtualDisplay starts an Xvfb and records it.
func (e *Env) virtualDisplay(ctx context.Context) error {
	d, auth, err := e.startXvfb(ctx)
	if err != nil {
		return &Hint{fmt.Errorf("starting a virtual display: %w", err), "set DISPLAY to a running X server, or see " + filepath.Join(e.Paths.Log, "xvfb.log")}
	}
	e.Say("no display here: started a virtual one, %s (XAUTHORITY=%s); c in the console saves a picture of it", d, auth)
	return e.recordDisplay(d, auth)
}

// xvfbAuth is the authority file of a display that this instance started itself.
func (e *Env) xvfbAuth() string { return filepath.Join(e.Paths.Run, "xvfb.auth") }

// usable says what speaks against a display, nil when it lets us in.
func (e *Env) usable(ctx context.Context, display, auth string) error {
	if _, ok := displayNumber(display); !ok {
		return errors.New("windows need an X server on this machine, with which they share memory")
	}
	if !displayAnswers(display) {
		return errors.New("no X server answers there")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	vars := []string{"DISPLAY=" + display}
	if auth != "" {
		vars = append(vars, "XAUTHORITY="+auth)
	}
	if _, err := e.Run(ctx, "env", append(vars, "xset", "q")...); err != nil {
		return fmt.Errorf("its X server does not let this user in (XAUTHORITY=%s)", auth)
	}
	return nil
}

// watchDisplay replaces the virtual display when it is lost while the daemons run, so that
// the windows come back. A display that is not ours is its owner's matter.
func (e *Env) watchDisplay(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, 2*time.Second) {
		d, auth, ok := e.recordedDisplay()
		if !ok || auth != e.xvfbAuth() || displayAnswers(d) {
			continue
		}
		lock, err := e.lockFile("up.lock")
		if err != nil {
			continue // a run is at it
		}
		if err := e.virtualDisplay(ctx); err != nil && ctx.Err() == nil {
			e.Say("%v", err)
		}
		lock.Close()
	}
}

// serverPID is the process that the lock file of local display n names, 0 for none.
func serverPID(n int) int {
	b, err := os.ReadFile(fmt.Sprintf("/tmp/.X%d-lock", n))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// endXvfb ends the display that this instance started. The server's own lock file names its
// process; the authority file among its arguments says that it is ours.
func (e *Env) endXvfb() error {
	d, auth, ok := e.recordedDisplay()
	n, local := displayNumber(d)
	if !ok || !local || auth != e.xvfbAuth() {
		return nil
	}
	pid := serverPID(n)
	if pid <= 1 {
		return nil // gone already
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(args), "\x00"+auth+"\x00") {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending the virtual display %s: %w", d, err)
	}
	return os.Remove(e.Paths.DisplayFile())
}

func xauthority() string {
	if a := os.Getenv("XAUTHORITY"); a != "" {
		return a
	}
	if h, err := os.UserHomeDir(); err == nil {
		if a := filepath.Join(h, ".Xauthority"); exists(a) {
			return a
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// recordDisplay replaces the display file, so that a window daemon reads old or new.
func (e *Env) recordDisplay(display, auth string) error {
	return writeFile(e.Paths.DisplayFile(), []byte(display+"\n"+auth+"\n"), 0o600)
}

func (e *Env) recordedDisplay() (display, auth string, ok bool) {
	b, err := os.ReadFile(e.Paths.DisplayFile())
	if err != nil {
		return "", "", false
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 2 || lines[0] == "" {
		return "", "", false
	}
	return lines[0], lines[1], true
}

// displayAnswers says whether an X server listens for a local display such as ":0" or ":0.1".
func displayAnswers(display string) bool {
	n, ok := displayNumber(display)
	return ok && answers(fmt.Sprintf("/tmp/.X11-unix/X%d", n))
}

func displayNumber(display string) (int, bool) {
	host, rest, ok := strings.Cut(display, ":")
	if !ok || host != "" && host != "unix" {
		return 0, false
	}
	var n int
	number, _, _ := strings.Cut(rest, ".")
	if _, err := fmt.Sscanf(number, "%d", &n); err != nil || n < 0 || n > 9999 {
		return 0, false
	}
	return n, true
}

// startXvfb starts a virtual display with a cookie of its own in a session of its own.
func (e *Env) startXvfb(ctx context.Context) (display, auth string, err error) {
	auth = e.xvfbAuth()
	log, err := os.OpenFile(filepath.Join(e.Paths.Log, "xvfb.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return "", "", err
	}
	defer log.Close()
	for n := 20; n < 60; n++ {
		if pid := serverPID(n); pid > 0 && exists(fmt.Sprintf("/proc/%d", pid)) || displayAnswers(fmt.Sprintf(":%d", n)) {
			continue // what a killed server left is taken over by the next
		}
		if err := writeCookie(auth, n); err != nil {
			return "", "", err
		}
		display = fmt.Sprintf(":%d", n)
		cmd := exec.Command("Xvfb", display, "-screen", "0", "1600x1000x24", "-nolisten", "tcp", "-auth", auth, "-noreset")
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return "", "", err
		}
		died := make(chan error, 1)
		go func() { died <- cmd.Wait() }()
		switch err := waitFor(ctx, 15*time.Second, died, func() bool { return displayAnswers(display) }); {
		case err == nil:
			return display, auth, nil
		case errors.Is(err, errDied): // somebody else took the number meanwhile
			continue
		default:
			_ = cmd.Process.Kill()
			return "", "", err
		}
	}
	return "", "", errors.New("no free display number between 20 and 59")
}

var errDied = errors.New("it ended at once")

// waitFor polls ready until it is true, the process died, or the time is up.
func waitFor(ctx context.Context, limit time.Duration, died <-chan error, ready func() bool) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-died:
			return fmt.Errorf("%w: %v", errDied, err)
		case <-timeout.C:
			return fmt.Errorf("not ready after %v", limit)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// writeCookie makes an Xauthority file with a fresh MIT-MAGIC-COOKIE-1 for local display n.
func writeCookie(path string, n int) error {
	cookie := make([]byte, 16)
	if _, err := rand.Read(cookie); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	const familyLocal, familyWild = 256, 65535
	var b []byte
	field := func(s string) { b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	for _, family := range []uint16{familyLocal, familyWild} {
		b = binary.BigEndian.AppendUint16(b, family)
		field(map[uint16]string{familyLocal: host}[family])
		field(fmt.Sprint(n))
		field("MIT-MAGIC-COOKIE-1")
		field(string(cookie))
	}
	return writeFile(path, b, 0o600)
}

// writeFile replaces path: the new content is durable before it takes the name.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after a successful rename the name is free: no effect
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
