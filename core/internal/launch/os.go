package launch

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OS starts real processes. Fields must be set.
type OS struct {
	Bin         string // directory of the binaries
	Root        string // --root for them; "" for none
	PidDir      string
	LogDir      string
	DisplayFile string // line 1 DISPLAY, line 2 XAUTHORITY or empty
	Log         *slog.Logger
}

var _ Starter = (*OS)(nil)

// record is a pid file's content: the process and what it was started for. The start time
// tells it from a later process with the same number.
type record struct {
	PID     int    `json:"pid"`
	Started string `json:"started"`
	Ready   bool   `json:"ready"`
	Daemon  Daemon `json:"daemon"`
}

func (o *OS) path(d Daemon) string { return filepath.Join(o.PidDir, d.key()+".pid") }

// Start implements Starter.
func (o *OS) Start(d Daemon) (Process, error) {
	env := os.Environ()
	if d.Display {
		vars, err := o.display()
		if err != nil {
			return nil, err
		}
		env = append(env, vars...)
	}
	for _, dir := range []string{o.PidDir, o.LogDir} {
		if err := os.MkdirAll(dir, 0o770); err != nil {
			return nil, err
		}
	}
	logFile, err := os.OpenFile(filepath.Join(o.LogDir, d.Program+"."+string(d.Name)+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var args []string
	if o.Root != "" {
		args = append(args, "--root", o.Root)
	}
	args = append(append(args, "--ready-fd", "3"), d.Args...)
	cmd := exec.Command(filepath.Join(o.Bin, d.Program), args...)
	cmd.Env, cmd.Dir, cmd.Stderr, cmd.Stdout = env, "/", logFile, logFile
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	p := &process{proc: cmd.Process, ready: make(chan struct{}), done: make(chan struct{})}
	rec := record{PID: cmd.Process.Pid, Started: startTime(cmd.Process.Pid), Daemon: d}
	o.write(rec)
	go o.await(r, p, rec)
	go func() {
		err := cmd.Wait()
		p.finish(exitText(err))
	}()
	return p, nil
}

// await reads the descriptor until READY or its end.
func (o *OS) await(r *os.File, p *process, rec record) {
	defer r.Close()
	line, _ := bufio.NewReaderSize(r, 64).ReadString('\n')
	if line == "READY\n" {
		rec.Ready = true
		o.write(rec)
		close(p.ready)
	}
}

func (o *OS) write(rec record) {
	b, err := json.Marshal(rec)
	if err == nil {
		tmp := o.path(rec.Daemon) + "~"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, o.path(rec.Daemon))
		}
	}
	if err != nil {
		o.Log.Error("writing a pid file", "program", rec.Daemon.Program, "err", err)
	}
}

// display reads which X display the window daemons use.
func (o *OS) display() ([]string, error) {
	b, err := os.ReadFile(o.DisplayFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoDisplay
	}
	if err != nil {
		return nil, err
	}
	d, rest, _ := strings.Cut(string(b), "\n")
	auth, _, _ := strings.Cut(rest, "\n")
	if d == "" {
		return nil, ErrNoDisplay
	}
	if !listens(d) {
		return nil, ErrNoDisplay
	}
	return []string{"DISPLAY=" + d, "XAUTHORITY=" + auth}, nil
}

// listens says whether somebody serves a local display (":0", ":0.1"). One that it cannot
// tell about is left to the window daemon.
func listens(display string) bool {
	number, ok := strings.CutPrefix(strings.TrimPrefix(display, "unix"), ":")
	if !ok {
		return true
	}
	number, _, _ = strings.Cut(number, ".")
	for _, name := range []string{"/tmp/.X11-unix/X" + number, "@/tmp/.X11-unix/X" + number} {
		if c, err := net.DialTimeout("unix", name, time.Second); err == nil {
			c.Close()
			return true
		}
	}
	return false
}

func (o *OS) read(path string) (record, bool) {
	var rec record
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &rec) != nil || rec.PID <= 1 {
		return record{}, false
	}
	return rec, true
}

// Adopt implements Starter. A process that was not ready yet cannot tell us any more: it is
// ended, so that a new one can.
func (o *OS) Adopt(d Daemon) Process {
	rec, ok := o.read(o.path(d))
	if !ok {
		return nil
	}
	fd, err := unix.PidfdOpen(rec.PID, 0)
	if err != nil {
		return nil
	}
	if startTime(rec.PID) != rec.Started || rec.Started == "" { // compared after the open: no race
		unix.Close(fd)
		return nil
	}
	p := &process{fd: fd, adopted: true, ready: make(chan struct{}), done: make(chan struct{})}
	go p.poll()
	if !rec.Ready {
		p.Kill()
		<-p.done
		return nil
	}
	close(p.ready)
	return p
}

// Leftovers implements Starter.
func (o *OS) Leftovers() []Daemon {
	names, _ := filepath.Glob(filepath.Join(o.PidDir, "*.pid"))
	var out []Daemon
	for _, n := range names {
		if rec, ok := o.read(n); ok && o.path(rec.Daemon) == n {
			out = append(out, rec.Daemon)
		}
	}
	return out
}

// Forget implements Starter.
func (o *OS) Forget(d Daemon) { os.Remove(o.path(d)) }

// startTime is the kernel's mark of when a process began, "" when there is none.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	i := strings.LastIndexByte(string(b), ')') // the name may hold anything
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return ""
	}
	return f[19]
}

type process struct {
	proc    *os.Process // nil for an adopted one
	fd      int         // pidfd of an adopted process
	adopted bool
	ready   chan struct{}
	done    chan struct{}

	mu   sync.Mutex
	exit string
	over bool
}

// Ready implements Process.
func (p *process) Ready() <-chan struct{} { return p.ready }

// Done implements Process.
func (p *process) Done() <-chan struct{} { return p.done }

// Exit implements Process.
func (p *process) Exit() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// Terminate implements Process.
func (p *process) Terminate() { p.signal(unix.SIGTERM) }

// Kill implements Process.
func (p *process) Kill() { p.signal(unix.SIGKILL) }

// signal goes through a descriptor or the runtime, so that it cannot meet another process
// with the same number.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case p.adopted:
		_ = unix.PidfdSendSignal(p.fd, sig, nil, 0) // gone already is fine
	default:
		_ = p.proc.Signal(sig)
	}
}

func (p *process) finish(exit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.exit = true, exit
	if p.adopted {
		unix.Close(p.fd)
	}
	close(p.done)
}

// poll waits for the end of an adopted process.
func (p *process) poll() {
	for {
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		if err == nil && fds[0].Revents != 0 || err != nil && !errors.Is(err, unix.EINTR) {
			p.finish("ended (it was adopted, its status is not known)")
			return
		}
	}
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
