package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Service is a program of the instance that others reach at a socket.
type Service struct {
	Name, Socket string
	Up           bool // somebody listens
}

// Daemon is a program of one qube as its pid file tells.
type Daemon struct {
	Program, Qube string
	PID           int
	Alive         bool // the process is still that one
}

// Disk is a file system that pools or logs lie on, in bytes.
type Disk struct {
	Holds      string // what lies on it
	Size, Free uint64
}

// Machine is what only a console on the same machine can see.
type Machine struct {
	Services []Service
	Daemons  []Daemon
	Display  string // "" when none is written down
	Shown    bool   // somebody serves that display
	Disks    []Disk
	At       time.Time
}

// Finding is one line of the health page. Grade Done is well, Info is a fact.
type Finding struct {
	Topic string
	Grade Grade
	Text  string
	Next  string
	Qube  string // the qube it is about, "" for none
}

const (
	// tightDisk and fullDisk are free parts per hundred.
	tightDisk, fullDisk = 15, 5
	// longStart is when a start deserves a look.
	longStart = 3 * time.Minute
)

// Examine judges the system in the order of the page. faults are last failed starts; away
// says why m cannot be known ("" when it is).
func Examine(s System, m Machine, away string, faults map[string]string, now time.Time) []Finding {
	var out []Finding
	out = append(out, s.examinePlatform()...)
	out = append(out, s.examineQubes(faults, now)...)
	if away != "" {
		return append(out, Finding{Topic: "Programs", Grade: Info, Text: away})
	}
	out = append(out, m.examineServices()...)
	out = append(out, m.examineDaemons(s)...)
	return append(out, m.examineDisks()...)
}

func (s System) examinePlatform() []Finding {
	accel, why := s.Status["accel"], s.Status["accel_reason"]
	f := Finding{Topic: "Processor", Grade: Done}
	switch strings.ToLower(accel) {
	case "":
		return []Finding{{Topic: "Processor", Grade: Info, Text: "This qubesd does not say what runs its qubes."}}
	case "kvm":
		f.Text = "Qubes run on the processor's own virtualisation (KVM)."
	case "tcg":
		f.Grade, f.Text = Warn, "Qubes are emulated in software (TCG) and slow."
	default:
		f.Text = "Qubes run on " + accel + "."
	}
	if why != "" {
		f.Next = "Because " + why + "."
	}
	return []Finding{f}
}

// examineQubes lists the qubes that need a look.
func (s System) examineQubes(faults map[string]string, now time.Time) []Finding {
	var out []Finding
	add := func(q Qube, g Grade, text, next string) {
		out = append(out, Finding{Topic: "Qubes", Grade: g, Text: text, Next: next, Qube: q.Name})
	}
	for _, q := range s.Qubes {
		why := faults[q.Name]
		switch _, cut := s.wayOut(q); {
		case q.Fault != "":
			add(q, Bad, q.Name+" cannot be read: "+q.Fault, "")
		case q.Phase == Crashed:
			add(q, Bad, q.Name+" has crashed.", "K clears it away, then it can be started.")
		case why != "" && !q.Phase.Active():
			add(q, Bad, q.Name+" did not start: "+why, "m shows what was tried.")
		case q.Phase == Starting && !q.Since.IsZero() && now.Sub(q.Since) > longStart:
			add(q, Warn, fmt.Sprintf("%s has been starting for %d minutes.", q.Name, int(now.Sub(q.Since).Minutes())), "L shows its log.")
		case cut && q.Phase == Running:
			way, _ := s.wayOut(q)
			add(q, Warn, q.Name+" has no network: "+way+".", "5 shows the tree.")
		}
		if _, ok := s.Find(q.Template); q.Template != "" && !ok {
			add(q, Bad, fmt.Sprintf("%s has no template: there is no qube %s.", q.Name, q.Template), "e on template sets another.")
		}
	}
	if len(out) == 0 {
		active, all := s.Counts()
		return []Finding{{Topic: "Qubes", Grade: Done, Text: fmt.Sprintf("None of %d qubes is in trouble; %d run.", all, active)}}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(b.Grade, a.Grade) })
	return out
}

func (m Machine) examineServices() []Finding {
	var out []Finding
	var up []string
	for _, v := range m.Services {
		if v.Up {
			up = append(up, v.Name)
			continue
		}
		out = append(out, Finding{Topic: "Programs", Grade: Warn, Text: "Nobody listens at " + v.Socket + ".", Next: v.Name + " serves it when it runs."})
	}
	if len(up) > 0 {
		out = append([]Finding{{Topic: "Programs", Grade: Done, Text: "These serve: " + strings.Join(up, ", ") + "."}}, out...)
	}
	switch {
	case m.Display == "":
		out = append(out, Finding{Topic: "Display", Grade: Info, Text: "No display is written down: windows of qubes are not shown."})
	case m.Shown:
		out = append(out, Finding{Topic: "Display", Grade: Done, Text: "Windows are shown on " + m.Display + "."})
	default:
		out = append(out, Finding{Topic: "Display", Grade: Bad, Text: "Nobody serves the display " + m.Display + "; windows cannot be shown.", Next: "Start an X server there."})
	}
	return out
}

// examineDaemons counts the programs of the running qubes and names the dead ones.
func (m Machine) examineDaemons(s System) []Finding {
	alive := map[string]int{}
	var out []Finding
	for _, d := range m.Daemons {
		q, ok := s.Find(d.Qube)
		switch {
		case d.Alive:
			alive[d.Program]++
		case ok && q.Phase == Running:
			out = append(out, Finding{Topic: "Programs", Grade: Bad, Text: fmt.Sprintf("%s of %s has died.", d.Program, d.Qube), Next: "qubesd starts it again; L shows its log.", Qube: d.Qube})
		}
	}
	var parts []string
	for _, p := range sortedKeys(alive) {
		parts = append(parts, fmt.Sprintf("%d %s", alive[p], p))
	}
	if len(parts) > 0 {
		out = append([]Finding{{Topic: "Programs", Grade: Done, Text: "For qubes run " + strings.Join(parts, ", ") + "."}}, out...)
	}
	return out
}

func (m Machine) examineDisks() []Finding {
	var out []Finding
	for _, d := range m.Disks {
		f := Finding{Topic: "Disk", Grade: Done, Text: fmt.Sprintf("%s of %s are free where %s lie.", Bytes(d.Free), Bytes(d.Size), d.Holds)}
		if d.Size > 0 {
			switch part := d.Free * 100 / d.Size; {
			case part < fullDisk:
				f.Grade, f.Next = Bad, "Qubes stop when a disk is full: 7 shows what takes the room."
			case part < tightDisk:
				f.Grade, f.Next = Warn, "7 shows what takes the room."
			}
		}
		out = append(out, f)
	}
	return out
}

func sortedKeys(m map[string]int) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Bytes writes a size in bytes in three or four digits: "412 M", "1.2 G", "2.0 T".
func Bytes(n uint64) string {
	const k, m, g, t = 1 << 10, 1 << 20, 1 << 30, 1 << 40
	switch {
	case n < 1000*k:
		return fmt.Sprintf("%d K", (n+k-1)/k)
	case n < 1000*m:
		return fmt.Sprintf("%d M", (n+m/2)/m)
	case n < 1000*g:
		return fmt.Sprintf("%.1f G", float64(n)/g)
	}
	return fmt.Sprintf("%.1f T", float64(n)/t)
}
