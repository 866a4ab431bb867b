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
	"strings"
	"syscall"
	"time"
)

// Display finds the X display for the qubes' windows and records it for the window
// daemons. Without one it starts an Xvfb that outlives us, and says so.
func (e *Env) Display(ctx context.Context) error {
	if d := os.Getenv("DISPLAY"); d != "" {
		if displayAnswers(d) {
			return e.recordDisplay(d, xauthority())
		}
		e.Say("display %s does not answer", d)
	}
	if d, auth, ok := e.recordedDisplay(); ok && displayAnswers(d) {
		e.Say("no display of your own: windows are on the virtual one, %s (XAUTHORITY=%s); `p` in the console saves a picture of it", d, auth)
		return nil
	}
	d, auth, err := e.startXvfb(ctx)
	if err != nil {
		return &Hint{fmt.Errorf("starting a virtual display: %w", err), "set DISPLAY to a running X server, or see " + filepath.Join(e.Paths.Log, "xvfb.log")}
	}
	e.Say("no display here: started a virtual one, %s (XAUTHORITY=%s); `p` in the console saves a picture of it", d, auth)
	return e.recordDisplay(d, auth)
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
	auth = filepath.Join(e.Paths.Run, "xvfb.auth")
	log, err := os.OpenFile(filepath.Join(e.Paths.Log, "xvfb.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return "", "", err
	}
	defer log.Close()
	for n := 20; n < 60; n++ {
		if exists(fmt.Sprintf("/tmp/.X%d-lock", n)) || exists(fmt.Sprintf("/tmp/.X11-unix/X%d", n)) {
			continue
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
