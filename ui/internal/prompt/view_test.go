package prompt

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"qubist/core/prompt/wire"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// picture draws a question armed and returns the screen as text.
func picture(t *testing.T, w, h int, q wire.Question, waiting int, keys ...any) (string, bool) {
	t.Helper()
	s := tcell.NewSimulationScreen("UTF-8")
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	defer s.Fini()
	s.SetSize(w, h)
	var m Model
	m.Show(q, start)
	m.waiting = waiting
	at := start
	complete := m.draw(s, at)
	m.Drawn(complete, at)
	for _, k := range keys {
		at = at.Add(time.Second)
		switch k := k.(type) {
		case Key:
			m.Press(k, 0, at)
		case string:
			for _, r := range k {
				m.Press(Rune, r, at)
			}
		}
	}
	s.Clear()
	complete = m.draw(s, start.Add(2*time.Second))
	s.Show()
	cells, w, _ := s.GetContents()
	var out strings.Builder
	for i := 0; i < len(cells); i += w {
		var line strings.Builder
		for _, c := range cells[i : i+w] {
			line.WriteString(string(c.Runes))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String(), complete
}

func full() wire.Question {
	return wire.Question{
		ID: 1, Source: wire.Party{Name: "work", Label: "blue", Color: 0x3465a4}, Service: "qubes.Filecopy", Argument: "+",
		Targets: []wire.Party{
			{Name: "@dispvm:default-dvm", Label: "red", Color: 0xcc0000}, {Name: "personal", Label: "yellow", Color: 0xedd400},
			{Name: "sys-net"}, {Name: "untrusted", Label: "red", Color: 0xcc0000}, {Name: "vault", Label: "black"},
		},
		Rule: "/etc/qubist/policy.d/90-default.policy:11", Same: 1, Remaining: time.Minute,
	}
}

func TestScreens(t *testing.T) {
	hostile := full()
	hostile.Source.Name = "[red]w\x1b[2Jork"
	hostile.Service = "x.\x1b]0;pwned\x07[::b]Bold\u202e"
	hostile.Argument = "+\x9b31m<b>\x00\r\n" + strings.Repeat("long-", 30)
	hostile.Rule = "\x1b[31m[yellow]rule:1"
	hostile.Targets = []wire.Party{{Name: "[red]vault[-]"}, {Name: "va\x1b[1Aault"}, {Name: "v\u0430ult"}}
	one := full()
	one.Targets, one.Argument, one.DefaultTarget = one.Targets[4:], "+some-argument", "vault"
	many := full()
	for i := range 60 {
		many.Targets = append(many.Targets, wire.Party{Name: "qube" + string(rune('a'+i%26)) + strings.Repeat("x", i%20), Label: "green", Color: 0x73d216})
	}
	longNames := full()
	longNames.Targets = append(longNames.Targets, wire.Party{Name: "@dispvm:" + strings.Repeat("z", 31), Label: "orange", Color: 0xf57900})
	long := full()
	long.Argument = "+" + strings.Repeat("a", wire.MaxArgument-1)
	for _, tc := range []struct {
		name     string
		w, h     int
		q        wire.Question
		waiting  int
		keys     []any
		complete bool
	}{
		{"80x24", 80, 24, full(), 3, nil, true},
		{"60x16", 60, 16, full(), 3, nil, true},
		{"56x12", 56, 12, longNames, 3, []any{Tab, "zz", Enter}, true},
		{"55x24", 55, 24, full(), 1, nil, false},
		{"80x24-filter", 80, 24, full(), 1, []any{Tab, "va"}, true},
		{"80x24-allow", 80, 24, full(), 1, []any{Tab, "va", Enter}, true},
		{"80x24-one-target", 80, 24, one, 1, []any{Tab}, true},
		{"80x24-hostile", 80, 24, hostile, 1, nil, true},
		{"80x24-many", 80, 24, many, 1, []any{Tab, Down, Down}, true},
		{"200x60", 200, 60, many, 1, nil, true},
		{"80x24-long-argument", 80, 24, long, 1, nil, true},
		{"60x16-long-argument", 60, 16, long, 1, nil, false},
		{"30x5", 30, 5, full(), 1, nil, false},
		{"1x1", 1, 1, full(), 1, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, complete := picture(t, tc.w, tc.h, tc.q, tc.waiting, tc.keys...)
			if complete != tc.complete {
				t.Errorf("complete: %v", complete)
			}
			for _, r := range got {
				if r != '\n' && (r < ' ' || r > '~') {
					t.Errorf("%q on the screen", r)
				}
			}
			golden := filepath.Join("testdata", "screens", tc.name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// FuzzDraw: no question makes drawing fail or put anything but ASCII on the screen, and a
// complete drawing has the whole service, argument and source name on it.
func FuzzDraw(f *testing.F) {
	f.Add("work", "qubes.Filecopy", "+a", "vault", 80, 24)
	f.Add("w\x1b[2J", "", "", "\u202e[red]", 44, 12)
	f.Fuzz(func(t *testing.T, source, service, argument, target string, w, h int) {
		if w < 1 || h < 1 || w > 300 || h > 100 || len(source) > wire.MaxName || len(service) > wire.MaxService || len(argument) > wire.MaxArgument || len(target) > wire.MaxName {
			t.Skip("outside the limits of the wire format")
		}
		q := wire.Question{ID: 1, Source: wire.Party{Name: source}, Service: service, Argument: argument, Targets: parties(target, "other"), Remaining: time.Minute}
		got, complete := picture(t, w, h, q, 1, Tab)
		for _, r := range got {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("%q on the screen", r)
			}
		}
		if !complete || strings.ContainsFunc(source+service+argument, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return
		}
		// Pieces of a wrapped text follow each other from the same column on.
		flat := strings.Map(func(r rune) rune {
			if r == ' ' || r == '\n' {
				return -1
			}
			return r
		}, got)
		for _, text := range []string{source, service, strings.TrimPrefix(argument, "+")} {
			if !strings.Contains(flat, text) {
				t.Fatalf("%q is not whole on\n%s", text, got)
			}
		}
	})
}
