package app

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"qubist/core/adminapi"
	"qubist/core/qube"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
	"qubist/ui/internal/uitest"
)

// noon is when all screens of these tests are drawn.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// quiet is a Source that never changes and a Backend whose every method fails.
type quiet struct{ err error }

func (quiet) System() state.System     { return state.System{} }
func (quiet) Changed() <-chan struct{} { return nil }
func (quiet) Storage(context.Context) (state.Storage, error) {
	return state.Storage{}, errors.New("not asked for")
}
func (q quiet) Ping(context.Context) error { return q.err }

func (q quiet) Start(context.Context, string) error                { return q.err }
func (q quiet) Shutdown(context.Context, string, bool, bool) error { return q.err }
func (q quiet) Kill(context.Context, string) error                 { return q.err }
func (q quiet) Pause(context.Context, string) error                { return q.err }
func (q quiet) Unpause(context.Context, string) error              { return q.err }
func (q quiet) Remove(context.Context, string) error               { return q.err }
func (q quiet) Create(context.Context, qube.Class, qube.Name, string, string) error {
	return q.err
}
func (q quiet) Property(context.Context, string, string) (adminapi.Property, error) {
	return adminapi.Property{}, q.err
}
func (q quiet) SetProperty(context.Context, string, string, string) error { return q.err }
func (q quiet) ResetProperty(context.Context, string, string) error       { return q.err }
func (q quiet) Run(context.Context, string, string) error                 { return q.err }
func (q quiet) Disposable(context.Context, string, string) error          { return q.err }
func (q quiet) Screenshot(context.Context, string) error                  { return q.err }

func qubeRow(name, class string, phase state.Phase, label, template, netvm string, mib uint64, cpu int) state.Qube {
	q := state.Qube{Name: name, Class: class, Phase: phase, Template: template, NetVM: netvm, MemKiB: mib << 10, CPU: cpu, Tags: []string{"created-by-dom0"}}
	for _, l := range qube.BuiltinLabels {
		if l.Name == label {
			q.Label = state.Label{Name: l.Name, Color: l.Color}
		}
	}
	if phase.Active() {
		q.Since = noon.Add(-3*time.Hour - 12*time.Minute)
	} else {
		q.MemKiB = 0
	}
	q.Properties = []state.Property{{Name: "autostart", Value: "False", Type: "bool", Default: true}, {Name: "label", Value: label, Type: "label"},
		{Name: "memory", Value: "400", Type: "int", Default: true}, {Name: "netvm", Value: netvm, Type: "vm", Default: true}}
	if strings.HasPrefix(name, "sys-") {
		q.Properties = append(q.Properties, state.Property{Name: "provides_network", Value: "True", Type: "bool"})
	}
	return q
}

// sample is the system of the golden screens.
func sample() state.System {
	s := state.System{Connected: true, Ever: true, Status: map[string]string{"accel": "tcg", "accel_reason": "/dev/kvm is absent"},
		Globals: []state.Property{{Name: "default_dispvm", Value: "default-dvm"}, {Name: "default_template", Value: "debian-12"}},
		Qubes: []state.Qube{
			qubeRow("dom0", "AdminVM", state.Running, "black", "", "", 1638, 4),
			qubeRow("banking", "AppVM", state.Paused, "green", "debian-12", "sys-firewall", 640, 0),
			qubeRow("debian-12", "TemplateVM", state.Halted, "black", "", "", 0, 0),
			qubeRow("default-dvm", "AppVM", state.Halted, "red", "debian-12", "sys-firewall", 0, 0),
			qubeRow("disp4711", "DispVM", state.Running, "red", "default-dvm", "sys-firewall", 512, 1),
			qubeRow("personal", "AppVM", state.Running, "yellow", "debian-12", "sys-firewall", 1230, 3),
			qubeRow("sys-firewall", "AppVM", state.Running, "green", "debian-12", "sys-net", 110, 0),
			qubeRow("sys-net", "AppVM", state.Running, "red", "debian-12", "", 120, 0),
			qubeRow("untrusted", "AppVM", state.Starting, "red", "debian-12", "sys-firewall", 400, 62),
			qubeRow("vault", "AppVM", state.Halted, "black", "debian-12", "", 0, 0),
			qubeRow("work", "AppVM", state.Running, "blue", "debian-12", "sys-firewall", 2048, 11),
		}}
	for _, l := range qube.BuiltinLabels {
		s.Labels = append(s.Labels, state.Label{Name: l.Name, Color: l.Color})
	}
	return s
}

// console is a model of w × h that has heard of s.
func console(t *testing.T, w, h int, profile colorprofile.Profile, s state.System) *Model {
	t.Helper()
	clock := noon
	m := New(t.Context(), Options{Source: quiet{}, Backend: quiet{}, Instance: "dom0", Socket: "/run/qubist/qubesd.sock", Home: "/home/user", Away: "This is seen only on the machine itself: the console talks to another server's socket.", Clock: func() time.Time { return clock }})
	send(m, tea.WindowSizeMsg{Width: w, Height: h}, tea.ColorProfileMsg{Profile: profile}, systemMsg{s})
	return m
}

func send(m *Model, msgs ...tea.Msg) {
	for _, msg := range msgs {
		m.Update(msg)
	}
}

// press presses keys without running the commands that follow.
func press(m *Model, keys ...string) {
	special := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "space": ' ', "down": tea.KeyDown, "up": tea.KeyUp, "left": tea.KeyLeft, "right": tea.KeyRight}
	for _, k := range keys {
		if c, ctrl := strings.CutPrefix(k, "ctrl+"); ctrl {
			send(m, tea.KeyPressMsg{Code: rune(c[0]), Mod: tea.ModCtrl})
			continue
		}
		if code, ok := special[k]; ok {
			key := tea.KeyPressMsg{Code: code}
			if k == "space" {
				key.Text = " "
			}
			send(m, key)
			continue
		}
		for _, r := range k {
			send(m, tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
}

func screenOf(m *Model) string {
	c, _ := m.frame()
	return c.Plain()
}

func TestGoldenScreens(t *testing.T) {
	screens := []struct {
		name string
		make func(m *Model)
	}{
		{"home", func(m *Model) { press(m, "G") }},
		{"filter", func(m *Model) { press(m, "/", "state:running !label:red") }},
		{"marks", func(m *Model) { press(m, "/", "class:AppVM", "enter", "*", "K") }},
		{"detail", func(m *Model) { press(m, "G", "enter", "down") }},
		{"help", func(m *Model) { press(m, "G", "?") }},
		{"palette", func(m *Model) { press(m, "G", ":", "s") }},
		{"create", func(m *Model) { press(m, "n", "music", "tab", "tab") }},
		{"remove", func(m *Model) { press(m, "G", "k", "d") }},
		{"busy", func(m *Model) { press(m, "G", "k", "s") }},
		{"failed", func(m *Model) {
			press(m, "G", "k", "s")
			m.Update(jobMsg{m.log.Tasks[0].ID, jobOf(m, "start", "vault"), adminapi.Errorf(adminapi.MemoryError, "Not enough memory to start domain 'vault'")})
		}},
		{"messages", func(m *Model) {
			press(m, "G", "k", "s")
			m.Update(jobMsg{m.log.Tasks[0].ID, jobOf(m, "start", "vault"), errors.New("guest console: Kernel panic - not syncing")})
			press(m, "m")
		}},
		{"lost", func(m *Model) {
			s := sample()
			s.Connected, s.Why = false, "connection refused"
			send(m, systemMsg{s})
		}},
		{"network", func(m *Model) { press(m, "5", "j") }},
		{"storage", func(m *Model) {
			press(m, "7")
			m.Update(pageMsg{storage, m.shown, shelves()})
		}},
		{"logs", func(m *Model) {
			m.opts.Local = here{}
			press(m, "9")
			m.Update(pageMsg{logbook, m.shown, lines()})
		}},
		{"logs-elsewhere", func(m *Model) { press(m, "9") }},
		{"health", func(m *Model) {
			m.opts.Local = here{}
			m.faults["vault"] = "Not enough memory to start domain 'vault'."
			press(m, "0")
			m.Update(pageMsg{health, m.shown, here{}.Look(nil)})
		}},
		{"settings", func(m *Model) { press(m, ",", "j") }},
		{"choose", func(m *Model) { press(m, "G", "e", "netvm", "enter") }},
		{"bulk", func(m *Model) {
			press(m, "/", "class:AppVM !sys", "enter", "*", "e", "netvm", "enter", "sys-net", "enter")
		}},
		{"number", func(m *Model) { press(m, "G", "e", "memory", "enter", "x") }},
		{"undo", func(m *Model) {
			press(m, ":", "set label green", "enter")
			j := action.SetJob(m.env(), "work", "label", "green")
			done := state.Edit{Owner: "work", Property: "label", Before: state.Setting{Text: "blue"}, After: state.Setting{Text: "green"}}
			j.Edit = func() *state.Edit { return &done }
			m.log.Tasks = nil
			m.Update(jobMsg{m.log.Begin(state.Task{Since: noon}), j, nil})
		}},
	}
	sizes := []struct{ w, h int }{{80, 24}, {120, 40}, {200, 60}}
	for _, sc := range screens {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%dx%d", sc.name, size.w, size.h), func(t *testing.T) {
				m := console(t, size.w, size.h, colorprofile.TrueColor, sample())
				sc.make(m)
				c, _ := m.frame()
				name := fmt.Sprintf("%s-%dx%d", sc.name, size.w, size.h)
				uitest.Golden(t, name+"-truecolor.ansi", strings.Join(c.Lines(), "\n"))
				send(m, tea.ColorProfileMsg{Profile: colorprofile.ASCII})
				uitest.Golden(t, name+"-none.txt", screenOf(m))
			})
		}
	}
}

// here is a Local with a made-up machine.
type here struct{}

func (here) Logs(context.Context) ([]state.LogLine, error) { return lines(), nil }
func (here) Console(string, int) ([]string, error) {
	return []string{"[    1.204] VFS: Cannot open root device \"vda\" or unknown-block(0,0): error -6", "[    1.205] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"}, nil
}
func (here) Look([]state.Pool) state.Machine {
	return state.Machine{At: noon, Display: ":7", Shown: true,
		Services: []state.Service{{Name: "qubesd", Socket: "/run/qubist/qubesd.sock", Up: true}, {Name: "qrexec-policy-daemon", Socket: "/run/qubist/policy.sock"}},
		Daemons:  []state.Daemon{{Program: "qubes-guid", Qube: "work", PID: 7, Alive: true}, {Program: "qubes-guid", Qube: "personal", PID: 8}},
		Disks:    []state.Disk{{Holds: "the qubes, the logs", Size: 250 << 30, Free: 30 << 30}}}
}

func lines() []state.LogLine {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	return []state.LogLine{
		{At: at(-9), Program: "qubesd", Level: "INFO", Text: "starting vm=work"}, {At: at(-8), Program: "console", Qube: "work", Text: "[    0.000000] Linux version 6.12.40 (gcc 14)"},
		{At: at(-5), Program: "qubes-guid", Qube: "work", Level: "WARN", Text: "a window asked for too much size=20000x1"},
		{At: at(-2), Program: "qrexec-daemon", Qube: "untrusted", Level: "ERROR", Text: "the agent broke the protocol err=\"frame of 1 MiB\""},
	}
}

// shelves are pools and volumes of a server that tells everything.
func shelves() state.Storage {
	const g = 1 << 30
	return state.Storage{At: noon, Missing: 1,
		Pools: []state.Pool{{Name: "vm-pool", Driver: "lvm_thin", Size: 400 * g, Used: 371 * g, Volumes: 3, Held: 14 * g}, {Name: "usb", Driver: "file", Dir: "/mnt/usb", Size: 60 * g, Used: 2 * g}},
		Volumes: []state.Volume{{Owner: "work", Name: "private", Pool: "vm-pool", Size: 20 * g, Used: 8 * g, Keeps: true, Keep: 2, Revisions: []string{"1763700000-back"}},
			{Owner: "work", Name: "root", Pool: "vm-pool", Size: 10 * g, Used: 1 * g, Fresh: true, Source: "debian-12"},
			{Owner: "vault", Name: "private", Pool: "vm-pool", Size: 5 * g, Used: 5*g - 1, Keeps: true, Keep: 1}, {Owner: "work", Name: "volatile", Pool: "vm-pool", Size: 10 * g}}}
}

func jobOf(m *Model, id, name string) action.Job {
	a, _ := action.Find(id)
	q, _ := m.sys.Find(name)
	return a.Job(m.env(), q)
}

func TestFirstPaintBeforeFirstReply(t *testing.T) {
	m := New(t.Context(), Options{Source: quiet{}, Backend: quiet{}, Instance: "dom0", Socket: "/run/x.sock", Clock: func() time.Time { return noon }})
	send(m, tea.WindowSizeMsg{Width: 80, Height: 24})
	if s := screenOf(m); !strings.Contains(s, "Connecting to qubesd at /run/x.sock") {
		t.Errorf("first frame:\n%s", s)
	}
}

// Every rule in the help must be true: a key shown as possible does something, a key shown
// as impossible says the reason that the help gives.
func TestHelpTellsTheTruth(t *testing.T) {
	m := console(t, 120, 40, colorprofile.TrueColor, sample())
	for range sample().Qubes {
		for _, b := range m.bindings() {
			if b.why == "" {
				continue
			}
			press(m, b.keys[0])
			n, _ := m.log.Last()
			if n.What != b.why {
				t.Errorf("%s said %q, the help says %q", b.keys[0], n.What, b.why)
			}
		}
		press(m, "j")
	}
}

func TestKeysAreUnique(t *testing.T) {
	m := console(t, 120, 40, colorprofile.TrueColor, sample())
	for _, s := range []place{home, detail, journal, network, storage, logbook, health, settings} {
		m.screen, m.detail.name = s, "work"
		seen := map[string]string{}
		for _, b := range m.bindings() {
			for _, k := range b.keys {
				if other, dup := seen[k]; dup {
					t.Errorf("screen %d: %q is %q and %q", s, k, other, b.help)
				}
				seen[k] = b.help
			}
		}
	}
}

func TestCursorStaysOnItsQube(t *testing.T) {
	m := console(t, 80, 24, colorprofile.TrueColor, sample())
	press(m, "G")
	s := sample()
	s.Qubes = append(s.Qubes, qubeRow("aaa", "AppVM", state.Halted, "red", "", "", 0, 0), qubeRow("zzz", "AppVM", state.Halted, "red", "", "", 0, 0))
	send(m, systemMsg{s})
	if q, _ := m.table.Current(); q.Name != "work" {
		t.Errorf("the cursor is on %s", q.Name)
	}
}

func TestSilentServerIsSaid(t *testing.T) {
	m := console(t, 80, 24, colorprofile.TrueColor, sample())
	send(m, pingMsg{context.DeadlineExceeded})
	if s := screenOf(m); !strings.Contains(s, "no answer 4 s") {
		t.Errorf("screen:\n%s", s)
	}
	send(m, pingMsg{nil})
	if s := screenOf(m); !strings.Contains(s, "● live") {
		t.Errorf("screen:\n%s", s)
	}
}

func TestQuestionLendsTheTerminalOnce(t *testing.T) {
	asked := 0
	m := console(t, 80, 24, colorprofile.TrueColor, sample())
	m.opts.Attach = func(context.Context) (*exec.Cmd, error) {
		asked++
		return nil, errors.New("finding qrexec-policy-agent")
	}
	send(m, questionsMsg{2})
	if s := screenOf(m); asked != 1 || !strings.Contains(s, "2 questions") || !strings.Contains(s, "The question could not be shown.") {
		t.Errorf("asked %d times:\n%s", asked, s)
	}
	send(m, questionsMsg{2})
	if asked != 1 {
		t.Errorf("asked again at once")
	}
	send(m, questionsMsg{0})
	press(m, "a")
	if n, _ := m.log.Last(); n.What != "No qube asks for anything." {
		t.Errorf("said %q", n.What)
	}
}

func TestCopyCommandOfAnAction(t *testing.T) {
	m := console(t, 120, 40, colorprofile.TrueColor, sample())
	m.opts.Root = "/tmp/a b"
	press(m, "G", "y", "S")
	if n, _ := m.log.Last(); n.What != "copied: qvm-shutdown --wait work" {
		t.Errorf("said %q", n.What)
	}
	if got, want := m.env().Portable("qvm-ls"), "(export QUBIST_ROOT='/tmp/a b'; qvm-ls)"; got != want {
		t.Errorf("portable %q, want %q", got, want)
	}
}
