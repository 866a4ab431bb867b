package prompt

import (
	"testing"
	"time"

	"qubist/core/prompt/wire"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func parties(names ...string) (out []wire.Party) {
	for _, n := range names {
		out = append(out, wire.Party{Name: n})
	}
	return out
}

func sample(defaultTarget string, targets ...string) wire.Question {
	return wire.Question{ID: 7, Source: wire.Party{Name: "work"}, Service: "x.Y", Argument: "+", Targets: parties(targets...), DefaultTarget: defaultTarget, Remaining: time.Minute}
}

// script presses keys a second apart from when the question is armed and reports the end.
func script(q wire.Question, complete bool, keys ...any) (Decision, string) {
	var m Model
	m.Show(q, start)
	m.Drawn(complete, start)
	at := start
	for _, k := range keys {
		at = at.Add(time.Second)
		var d Decision
		var target string
		switch k := k.(type) {
		case Key:
			d, target = m.Press(k, 0, at)
		case string:
			for _, r := range k {
				if d, target = m.Press(Rune, r, at); d != Undecided {
					break
				}
			}
		}
		if d != Undecided {
			return d, target
		}
		m.Drawn(complete, at)
	}
	return Undecided, ""
}

func TestKeys(t *testing.T) {
	many := []string{"@dispvm:dvm", "personal", "vault", "quiet"}
	for _, tc := range []struct {
		name    string
		def     string
		targets []string
		keys    []any
		want    Decision
		target  string
	}{
		{"enter denies", "vault", many, []any{Enter}, Denied, ""},
		{"escape denies", "vault", many, []any{Cancel}, Denied, ""},
		{"q denies", "vault", many, []any{"q"}, Denied, ""},
		{"other keys do nothing", "vault", many, []any{"yYaA \r\n1", Other, Backspace, Left}, Undecided, ""},
		{"tab enter allows the default", "vault", many, []any{Tab, Enter}, Allowed, "vault"},
		{"right enter allows the default", "vault", many, []any{Right, Enter}, Allowed, "vault"},
		{"the only target needs no choice", "", []string{"vault"}, []any{Tab, Enter}, Allowed, "vault"},
		{"without a choice Allow cannot be reached", "", many, []any{Right, Enter}, Denied, ""},
		{"tab tab enter without a choice denies", "", many, []any{Tab, Tab, Enter}, Denied, ""},
		{"list, enter chooses, enter allows", "", many, []any{Tab, Down, Enter, Enter}, Allowed, "personal"},
		{"filter", "", many, []any{Tab, "VAU", Enter, Enter}, Allowed, "vault"},
		{"filter prefers the beginning", "", many, []any{Tab, "v", Enter, Enter}, Allowed, "vault"},
		{"q is text on the list", "", many, []any{Tab, "q", Enter, Enter}, Allowed, "quiet"},
		{"filter without a match chooses nothing", "", many, []any{Tab, "zzz", Enter, Enter}, Undecided, ""},
		{"a filter takes the choice back", "vault", many, []any{Tab, Tab, "p", Tab, Enter}, Denied, ""},
		{"backspace", "", many, []any{Tab, "zz", Backspace, Backspace, Down, Down, Enter, Enter}, Allowed, "vault"},
		{"escape on the list denies", "", many, []any{Tab, "v", Cancel}, Denied, ""},
		{"escape on Allow denies", "vault", many, []any{Tab, Cancel}, Denied, ""},
		{"back from Allow", "vault", many, []any{Tab, BackTab, Enter}, Denied, ""},
		{"no targets", "", nil, []any{Tab, Enter, Enter}, Undecided, ""},
		{"a target that cannot be shown is not chosen", "", []string{"va\x1b[2Jult", "work\u202e"}, []any{Tab, Enter, Down, Enter, Tab, Enter}, Denied, ""},
		{"the only target cannot be shown", "", []string{"v\xc3\xa4ult"}, []any{Right, Enter}, Denied, ""},
		{"a default that cannot be shown", "va\x07ult", []string{"va\x07ult", "work"}, []any{Right, Enter}, Denied, ""},
	} {
		if d, target := script(sample(tc.def, tc.targets...), true, tc.keys...); d != tc.want || target != tc.target {
			t.Errorf("%s: got %d %q, want %d %q", tc.name, d, target, tc.want, tc.target)
		}
	}
}

// TestSmallScreen: where not everything is shown one can only deny.
func TestSmallScreen(t *testing.T) {
	for _, keys := range [][]any{{Tab, Enter}, {Right, Enter}, {Down, Enter}, {Enter}, {Cancel}} {
		if d, _ := script(sample("vault", "vault", "work"), false, keys...); d != Denied {
			t.Errorf("%v: got %d", keys, d)
		}
	}
	var m Model
	m.Show(sample("vault", "vault"), start)
	m.Drawn(true, start)
	m.Press(Tab, 0, start.Add(time.Second))
	m.Drawn(false, start.Add(2*time.Second))
	if d, _ := m.Press(Enter, 0, start.Add(3*time.Second)); d != Denied {
		t.Errorf("Enter after the window shrank: %d", d)
	}
}

func TestGuard(t *testing.T) {
	ms := time.Millisecond
	type step struct {
		at     time.Duration
		do     string
		counts bool
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"not before it is drawn", []step{{0, "key", false}, {time.Hour, "key", false}}},
		{"not within 500 ms", []step{{0, "draw", false}, {499 * ms, "key", false}}},
		{"after 500 ms", []step{{0, "draw", false}, {500 * ms, "key", true}}},
		{"pressed before it was drawn, read later", []step{{100 * ms, "draw", false}, {50 * ms, "key", false}}},
		{"a held key never counts", []step{{0, "draw", false}, {300 * ms, "key", false}, {600 * ms, "key", false}, {900 * ms, "key", false}, {1200 * ms, "key", false}}},
		{"silence lets the next key through", []step{{0, "draw", false}, {300 * ms, "key", false}, {800 * ms, "key", true}}},
		{"drawing again changes nothing", []step{{0, "draw", false}, {400 * ms, "draw", false}, {500 * ms, "key", true}}},
		{"a disturbance starts anew", []step{{0, "draw", false}, {700 * ms, "disturb", false}, {800 * ms, "key", false}}},
		{"and ends 500 ms after the next drawing", []step{{0, "draw", false}, {700 * ms, "disturb", false}, {720 * ms, "draw", false}, {1219 * ms, "key", false}}},
		{"or later", []step{{0, "draw", false}, {700 * ms, "disturb", false}, {720 * ms, "draw", false}, {1220 * ms, "key", true}}},
		{"an incomplete drawing does not arm the complete one", []step{{0, "partial", false}, {600 * ms, "draw", false}, {700 * ms, "key", false}}},
	} {
		var m Model
		m.Show(sample("vault", "vault"), start)
		for i, s := range tc.steps {
			at := start.Add(s.at)
			switch s.do {
			case "draw":
				m.Drawn(true, at)
			case "partial":
				m.Drawn(false, at)
			case "disturb":
				m.Disturbed()
			case "key":
				if d, _ := m.Press(Enter, 0, at); (d == Denied) != s.counts {
					t.Errorf("%s: step %d: got %d", tc.name, i, d)
				}
			}
		}
	}
}

// TestNextQuestion: what was chosen and armed for one question is nothing for the next.
func TestNextQuestion(t *testing.T) {
	var m Model
	m.Show(sample("vault", "vault", "work"), start)
	m.Drawn(true, start)
	m.Press(Tab, 0, start.Add(time.Second))
	next := sample("", "vault", "work")
	next.ID = 8
	m.Show(next, start.Add(2*time.Second))
	if m.Armed(start.Add(time.Hour)) || m.focus != OnDeny || m.chosen != "" || m.filter != "" {
		t.Errorf("left over: %+v", m)
	}
	m.Drawn(true, start.Add(3*time.Second))
	m.Press(Tab, 0, start.Add(4*time.Second))
	next.Same = 3
	m.Show(next, start.Add(5*time.Second))
	if m.focus != OnTargets || !m.Armed(start.Add(5*time.Second)) || m.question.Same != 3 {
		t.Errorf("new numbers around the same question reset it: %+v", m)
	}
	m.Close(7)
	if !m.open {
		t.Error("closed by another question's end")
	}
	m.Close(8)
	if d, _ := m.Press(Enter, 0, start.Add(time.Hour)); d != Undecided {
		t.Errorf("a key on a closed question decided %d", d)
	}
}
