package live

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/ui/internal/logs"
	"qubist/ui/internal/state"
)

const (
	maxPidFile = 64 << 10
	maxDaemons = 50000
	// listening is the flag of a socket that accepts, in /proc/net/unix.
	listening = "00010000"
)

// Machine looks at the instance's own files, for a console on the same machine. It writes
// nothing and connects to nobody.
type Machine struct {
	Paths paths.Paths

	mu   sync.Mutex
	logs *logs.Reader
}

// NewMachine looks at the instance with these paths.
func NewMachine(p paths.Paths) *Machine { return &Machine{Paths: p, logs: logs.New(p.Log)} }

// Logs are the lines that are new since the last call.
func (m *Machine) Logs(ctx context.Context) ([]state.LogLine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logs.Poll(ctx)
}

// Console are the last n lines of a qube's console.
func (m *Machine) Console(vm string, n int) ([]string, error) { return m.logs.Tail(vm, n) }

// Look says what is there. Pools that are directories are asked for their disks.
func (m *Machine) Look(pools []state.Pool) state.Machine {
	out := state.Machine{At: time.Now()}
	open := listeners()
	for _, s := range []state.Service{
		{Name: "qubesd", Socket: m.Paths.QubesdSocket()}, {Name: "qrexec-policy-daemon", Socket: m.Paths.PolicySocket()},
		{Name: "qrexec-policy-agent", Socket: m.Paths.PolicyAgentSocket()},
	} {
		s.Up = open[s.Socket]
		s.Socket = word(s.Socket, maxValue)
		out.Services = append(out.Services, s)
	}
	out.Daemons = m.daemons()
	out.Display, out.Shown = m.display(open)
	out.Disks = m.disks(pools)
	return out
}

// listeners are the paths of all sockets somebody accepts on.
func listeners() map[string]bool {
	out := map[string]bool{}
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return out
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		// Num RefCount Protocol Flags Type St Inode Path
		if w := strings.Fields(s.Text()); len(w) == 8 && w[3] == listening {
			out[strings.TrimPrefix(w[7], "@")] = true
		}
	}
	return out
}

// display is what the display file names, and whether somebody serves it.
func (m *Machine) display(open map[string]bool) (name string, shown bool) {
	b, err := os.ReadFile(m.Paths.DisplayFile())
	if err != nil {
		return "", false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	number, _, _ := strings.Cut(strings.TrimPrefix(line, ":"), ".")
	return word(line, maxWord), open["/tmp/.X11-unix/X"+number]
}

// daemons are what the pid files tell.
func (m *Machine) daemons() []state.Daemon {
	names, _ := filepath.Glob(filepath.Join(m.Paths.DaemonsDir(), "*.pid"))
	var out []state.Daemon
	for _, n := range names[:min(len(names), maxDaemons)] {
		var rec struct {
			PID     int    `json:"pid"`
			Started string `json:"started"`
			Daemon  struct {
				Program string
				Name    string
			} `json:"daemon"`
		}
		f, err := os.Open(n)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(f, maxPidFile))
		f.Close()
		if err != nil || json.Unmarshal(b, &rec) != nil {
			continue
		}
		vm, err := qube.ParseName(rec.Daemon.Name)
		if err != nil {
			continue
		}
		out = append(out, state.Daemon{Program: word(rec.Daemon.Program, maxWord), Qube: string(vm), PID: rec.PID, Alive: rec.PID > 0 && startTime(rec.PID) == rec.Started})
	}
	slices.SortFunc(out, func(a, b state.Daemon) int {
		return cmp.Or(cmp.Compare(a.Qube, b.Qube), cmp.Compare(a.Program, b.Program))
	})
	return out
}

// startTime is when the process began, in clock ticks after boot; "" when there is none.
// A process that only waits to be reaped is none.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	s := string(b)
	w := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(w) < 20 || w[0] == "Z" {
		return ""
	}
	return w[19]
}

// disks are the file systems of the pools, the instance's state and the logs, each once.
func (m *Machine) disks(pools []state.Pool) []state.Disk {
	type place struct{ path, what string }
	places := []place{{m.Paths.Lib, "the qubes"}, {m.Paths.Log, "the logs"}}
	for _, p := range pools {
		if p.Dir != "" {
			places = append(places, place{p.Dir, "the pool " + p.Name})
		}
	}
	var out []state.Disk
	seen := map[syscall.Fsid]int{}
	for _, p := range places {
		var st syscall.Statfs_t
		if syscall.Statfs(p.path, &st) != nil {
			continue
		}
		if i, ok := seen[st.Fsid]; ok {
			out[i].Holds += ", " + p.what
			continue
		}
		seen[st.Fsid] = len(out)
		unit := uint64(st.Bsize)
		out = append(out, state.Disk{Holds: p.what, Size: st.Blocks * unit, Free: st.Bavail * unit})
	}
	return out
}
