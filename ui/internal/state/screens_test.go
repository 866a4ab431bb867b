package state

import (
	"strings"
	"testing"
	"time"
)

func net(name, netvm string, p Phase, provides bool) Qube {
	q := Qube{Name: name, Class: "AppVM", NetVM: netvm, Phase: p}
	if provides {
		q.Properties = []Property{{Name: "provides_network", Value: "True"}}
	}
	return q
}

func TestNetTree(t *testing.T) {
	for name, c := range map[string]struct {
		qubes []Qube
		want  string
	}{
		"tree": {[]Qube{net("dom0", "", Running, false), net("work", "fw", Running, false), net("fw", "net", Running, true), net("net", "", Running, true), net("vault", "", Halted, false), net("a", "fw", Halted, false), net("b", "net", Running, false)},
			"net|├ b up|└ fw up|  ├ a|  └ work up|# Not connected|vault"},
		"cut": {[]Qube{net("work", "fw", Running, false), net("fw", "net", Halted, true), net("net", "", Running, true)},
			"net|└ fw|  └ work fw is halted!"},
		"missing": {[]Qube{net("work", "gone", Running, false)}, "work there is no qube gone!"},
		"ring":    {[]Qube{net("a", "b", Running, true), net("b", "a", Running, true)}, "a a is connected to itself in a ring!|└ b b is connected to itself in a ring!"},
		"nothing": {nil, ""},
	} {
		qs := c.qubes
		for i := range qs {
			if qs[i].Name == "dom0" {
				qs[i].Class = "AdminVM"
			}
		}
		var got []string
		for _, r := range NetTree(System{Qubes: qs}) {
			l := r.Guide + r.Qube.Name + " " + r.Way
			if r.Cut {
				l += "!"
			}
			if r.Heading != "" {
				l = "# " + r.Heading
			}
			got = append(got, strings.TrimSpace(strings.TrimRight(l, " ")))
		}
		want := strings.Split(c.want, "|")
		for i := range want {
			want[i] = strings.TrimSpace(want[i])
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestExamine(t *testing.T) {
	now := time.Unix(1e9, 0)
	well := System{Connected: true, Status: map[string]string{"accel": "KVM"}, Qubes: []Qube{net("net", "", Running, true), net("work", "net", Running, false)}}
	ill := System{Qubes: []Qube{{Name: "a", Phase: Crashed}, {Name: "b", Phase: Halted}, {Name: "c", Phase: Starting, Since: now.Add(-5 * time.Minute)}, net("d", "b", Running, false),
		{Name: "e", Phase: Halted, Template: "gone"}, {Name: "f", Phase: Unknown, Fault: "exception"}}}
	m := Machine{Display: ":7", Shown: true, Services: []Service{{"qubesd", "/s", true}, {"policy", "/p", false}}, Disks: []Disk{{"qubes", 100, 3}, {"logs", 100, 50}},
		Daemons: []Daemon{{"guid", "work", 1, true}, {"guid", "d", 2, false}, {"guid", "b", 3, false}}}
	for name, c := range map[string]struct {
		s    System
		m    Machine
		away string
		want []string
		not  []string
	}{
		"well": {well, m, "", []string{"own virtualisation", "None of 2 qubes is in trouble; 2 run.", "These serve: qubesd.", "Nobody listens at /p.", "Windows are shown on :7.", "1 guid", "are free where qubes lie"}, []string{"died"}},
		"ill": {ill, m, "", []string{"does not say", "a has crashed.", "b did not start: no memory", "c has been starting for 5 minutes.", "d has no network: b is halted.", "e has no template: there is no qube gone.", "f cannot be read", "guid of d has died."},
			[]string{"guid of b", "trouble;"}},
		"away": {well, m, "Not on this machine.", []string{"Not on this machine."}, []string{"Windows", "free"}},
		"dark": {well, Machine{Display: ":9"}, "", []string{"Nobody serves the display :9"}, nil},
	} {
		var b strings.Builder
		for _, f := range Examine(c.s, c.m, c.away, map[string]string{"b": "no memory"}, now) {
			b.WriteString(f.Text + "\n")
		}
		for _, w := range c.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: missing %q in\n%s", name, w, b.String())
			}
		}
		for _, w := range c.not {
			if strings.Contains(b.String(), w) {
				t.Errorf("%s: %q in\n%s", name, w, b.String())
			}
		}
	}
}

func TestStorageSorted(t *testing.T) {
	s := Storage{Volumes: []Volume{{Owner: "work", Name: "root", Pool: "vm", Size: 10, Used: 1}, {Owner: "vault", Name: "private", Pool: "vm", Size: 2, Used: 2}, {Owner: "a", Name: "root", Pool: "slow", Size: 3, Used: 1}}}
	for _, c := range []struct {
		o          VolumeOrder
		find, want string
	}{{ByUsed, "", "vault a work"}, {BySize, "", "work a vault"}, {ByOwner, "", "a vault work"}, {ByUsed, "ROOT vm", "work"}, {ByUsed, "zzz", ""}} {
		var got []string
		for _, v := range s.Sorted(c.o, c.find) {
			got = append(got, v.Owner)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %q: %q", c.o, c.find, got)
		}
	}
	for n, want := range map[uint64]string{0: "0 K", 1: "1 K", 5 << 20: "5 M", 3 << 29: "1.5 G", 2 << 40: "2.0 T"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
