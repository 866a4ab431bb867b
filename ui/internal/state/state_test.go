package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"qubist/ui/internal/state"
)

func system() state.System {
	q := func(name, class string, p state.Phase, label, template, netvm string, mem uint64, cpu int, tags ...string) state.Qube {
		return state.Qube{Name: name, Class: class, Phase: p, Label: state.Label{Name: label}, Template: template, NetVM: netvm, MemKiB: mem << 10, CPU: cpu, Tags: tags}
	}
	return state.System{Connected: true, Qubes: []state.Qube{
		q("dom0", "AdminVM", state.Running, "black", "", "", 1600, 4),
		q("debian-12", "TemplateVM", state.Halted, "black", "", "", 0, -1),
		q("sys-net", "AppVM", state.Running, "red", "debian-12", "", 120, 0),
		q("sys-firewall", "AppVM", state.Running, "green", "debian-12", "sys-net", 110, 1),
		q("work", "AppVM", state.Running, "blue", "debian-12", "sys-firewall", 2048, 11, "office"),
		q("vault", "AppVM", state.Halted, "black", "debian-12", "", 0, -1),
		q("untrusted", "AppVM", state.Starting, "red", "debian-12", "sys-firewall", 400, 60),
	}}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct{ filter, want string }{
		{"", "dom0 debian-12 sys-net sys-firewall work vault untrusted"},
		{"wk", "work"},
		{"WK", "work"},
		{"label:red", "sys-net untrusted"},
		{"label:red state:running", "sys-net"},
		{"label:red,blue", "sys-net work untrusted"},
		{"label:red, wk", "sys-net work untrusted"},
		{"!label:red class:AppVM", "sys-firewall work vault"},
		{"template:none", "dom0 debian-12"},
		{"netvm:sys-f !wk", "untrusted"},
		{"tag:office", "work"},
		{"mem>1G", "dom0 work"},
		{"mem<200M", "sys-net sys-firewall"},
		{"cpu>10", "work untrusted"},
		{"/^sys/", "sys-net sys-firewall"},
		{"!/^sys|^d/", "work vault untrusted"},
		{"/s.*t/ , vlt", "sys-net vault untrusted"},
		{"name:v", "vault"},
		{"state:halted !class:TemplateVM", "vault"},
		{"mem>", "dom0 debian-12 sys-net sys-firewall work vault untrusted"},
		{"!", "dom0 debian-12 sys-net sys-firewall work vault untrusted"},
		{"/", "dom0 debian-12 sys-net sys-firewall work vault untrusted"},
		{"nothing-like-it", ""},
	} {
		f, err := state.ParseFilter(c.filter)
		if err != nil {
			t.Errorf("%q: %v", c.filter, err)
			continue
		}
		var got []string
		for _, q := range system().Qubes {
			if f.Match(q) {
				got = append(got, q.Name)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %s, want %s", c.filter, s, c.want)
		}
	}
}

func TestFilterMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"colour:red": `"colour" is not a column`, "/[/": "/[/ is not a regular expression", "label>red": "label cannot be compared",
		"mem>lots": "mem is compared like", "cpu:3": "cpu is compared like",
	} {
		if _, err := state.ParseFilter(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"label:red,blue", "!/a b/", "mem>1G cpu<3", ",,!:", "/", "x:"} {
		f.Add(s)
	}
	qs := system().Qubes
	f.Fuzz(func(t *testing.T, text string) {
		fl, err := state.ParseFilter(text)
		if err == nil && fl.String() != text {
			t.Fatalf("%q became %q", text, fl)
		}
		for _, q := range qs {
			fl.Match(q)
		}
	})
}

func TestSort(t *testing.T) {
	for column, want := range map[state.Column]string{
		state.ByName:     "dom0 debian-12 sys-firewall sys-net untrusted vault work",
		state.ByState:    "dom0 sys-firewall sys-net work untrusted debian-12 vault",
		state.ByLabel:    "dom0 debian-12 vault work sys-firewall sys-net untrusted",
		state.ByClass:    "dom0 sys-firewall sys-net untrusted vault work debian-12",
		state.ByTemplate: "dom0 debian-12 sys-firewall sys-net untrusted vault work",
		state.ByNetVM:    "dom0 debian-12 sys-net vault untrusted work sys-firewall",
		state.ByMemory:   "work dom0 untrusted sys-net sys-firewall debian-12 vault",
		state.ByCPU:      "untrusted work dom0 sys-firewall sys-net debian-12 vault",
	} {
		table := state.NewTable()
		table.Sort = column
		table.Arrange(system())
		if got := names(table.Rows()); got != want {
			t.Errorf("%s: %s, want %s", column, got, want)
		}
		table.Reverse = true
		table.Arrange(system())
		words := strings.Fields(want)
		slices.Reverse(words)
		if got := names(table.Rows()); got != strings.Join(words, " ") {
			t.Errorf("%s reversed: %s", column, got)
		}
	}
}

func names(qs []state.Qube) string {
	var out []string
	for _, q := range qs {
		out = append(out, q.Name)
	}
	return strings.Join(out, " ")
}

func TestTableKeepsCursorAndMarks(t *testing.T) {
	table := state.NewTable()
	s := system()
	table.Arrange(s)
	table.Go("untrusted")
	table.Mark()
	table.Move(1)
	table.Mark() // vault
	s.Qubes = slices.DeleteFunc(s.Qubes, func(q state.Qube) bool { return q.Name == "vault" })
	table.Arrange(s)
	if q, _ := table.Current(); q.Name != "work" {
		t.Errorf("the cursor went to %s", q.Name)
	}
	if got := names(table.Targets(s)); got != "untrusted" || table.Marks() != 1 {
		t.Errorf("targets %q", got)
	}
	table.Filter, _ = state.ParseFilter("work")
	table.Arrange(s)
	if got := names(table.Targets(s)); got != "untrusted" {
		t.Errorf("a hidden mark was lost: %q", got)
	}
	table.ClearMarks()
	table.Filter, _ = state.ParseFilter("zzz")
	table.Arrange(s)
	if _, ok := table.Current(); ok || len(table.Targets(s)) > 0 {
		t.Error("an empty table has a current row")
	}
}

func TestScroll(t *testing.T) {
	for _, c := range []struct{ top, at, n, height, want int }{
		{0, 0, 10, 5, 0}, {0, 4, 10, 5, 0}, {0, 5, 10, 5, 1}, {5, 2, 10, 5, 2}, {5, 9, 10, 5, 5}, {7, 9, 10, 5, 5}, {3, 1, 2, 5, 0}, {0, 0, 0, 5, 0},
	} {
		if got := state.Scroll(c.top, c.at, c.n, c.height); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestJournal(t *testing.T) {
	var j state.Journal
	a, b := j.Begin(state.Task{Doing: "starting a", Qube: "a"}), j.Begin(state.Task{Doing: "starting b", Qube: "b"})
	if task, ok := j.Busy("b"); !ok || task.ID != b {
		t.Error("b is not busy")
	}
	if task, ok := j.End(a); !ok || task.Qube != "a" || len(j.Tasks) != 1 {
		t.Error("a did not end")
	}
	if _, ok := j.End(a); ok {
		t.Error("a ended twice")
	}
	now := time.Unix(0, 0)
	j.Tell(state.Note{At: now, What: "x"})
	j.Tell(state.Note{At: now.Add(time.Second), What: "x"})
	if len(j.Notes) != 1 || !j.Notes[0].At.After(now) {
		t.Error("the same words were told twice")
	}
	for i := range 500 {
		j.Tell(state.Note{What: fmt.Sprint(i)})
	}
	if n, _ := j.Last(); len(j.Notes) != 200 || n.What != "499" {
		t.Errorf("%d notes, last %q", len(j.Notes), n.What)
	}
}

func TestSystem(t *testing.T) {
	s := system()
	if active, all := s.Counts(); active != 4 || all != 6 {
		t.Errorf("%d of %d", active, all)
	}
	w, _ := s.Find("work")
	if got := strings.Join(s.Chain(w), " "); got != "sys-firewall sys-net" {
		t.Errorf("chain %q", got)
	}
	s.Qubes[2].NetVM = "sys-firewall" // a loop must end
	if n := len(s.Chain(w)); n != 16 {
		t.Errorf("chain of %d", n)
	}
	if got := strings.Join(s.Clients("sys-firewall"), " "); got != "sys-net work untrusted" {
		t.Errorf("clients %q", got)
	}
}

func TestTrend(t *testing.T) {
	tr := state.NewTrend()
	s := system()
	for i := range 50 {
		s.Qubes[4].CPU = i
		tr.Observe(s)
	}
	if c := tr.CPU("work"); len(c) != 40 || c[39] != 49 {
		t.Errorf("cpu %v", c)
	}
	if m := tr.Memory("vault"); m != nil {
		t.Errorf("a halted qube has memory %v", m)
	}
}
