package app

import (
	"strings"
	"testing"

	"github.com/charmbracelet/colorprofile"

	"qubist/core/adminapi"
	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
)

func changed(m *Model, owner, property, from, to string) {
	m.ledger.Record(m.ledger.Begin(), noon, state.Edit{Owner: owner, Property: property, Before: state.Setting{Text: from}, After: state.Setting{Text: to}})
}

func TestUndoOneAtATime(t *testing.T) {
	m := console(t, 120, 40, colorprofile.TrueColor, sample())
	press(m, "u")
	if n, _ := m.log.Last(); !strings.Contains(n.What, "No change has been made") {
		t.Errorf("said %q", n.What)
	}
	changed(m, "work", "label", "red", "blue")
	press(m, "u")
	if len(m.log.Tasks) != 1 || m.log.Tasks[0].Command != "qvm-prefs work label red" {
		t.Fatalf("tasks %+v", m.log.Tasks)
	}
	press(m, "u")
	if n, _ := m.log.Last(); !strings.Contains(n.What, "still on its way") {
		t.Errorf("said %q", n.What)
	}
}

func TestUndoOfWhatOthersChangedAsks(t *testing.T) {
	m := console(t, 120, 40, colorprofile.TrueColor, sample())
	changed(m, "work", "label", "red", "green")
	c, _ := m.ledger.NextUndo()
	press(m, "u")
	undo := action.TakeBack(m.env(), c.ID, c.Edits[0], action.Undo, false)
	m.Update(jobMsg{m.log.Tasks[0].ID, undo, &action.ErrClash{Now: state.Setting{Text: "blue"}}})
	if s := screenOf(m); !strings.Contains(s, "label → red; it was changed to blue meanwhile") || len(m.log.Tasks) > 0 {
		t.Errorf("screen:\n%s", s)
	}
	press(m, "enter")
	if len(m.log.Tasks) != 1 {
		t.Errorf("tasks %+v", m.log.Tasks)
	}
}

func TestUndoOfARemovedQubeIsForgotten(t *testing.T) {
	m := console(t, 120, 40, colorprofile.TrueColor, sample())
	changed(m, "work", "label", "red", "blue")
	changed(m, "gone", "label", "red", "blue")
	c, _ := m.ledger.NextUndo()
	press(m, "u")
	m.Update(jobMsg{m.log.Tasks[0].ID, action.TakeBack(m.env(), c.ID, c.Edits[0], action.Undo, false), adminapi.Errorf(adminapi.VMNotFound, "no")})
	if n, _ := m.log.Last(); !strings.Contains(n.What, "there is no such qube any more") {
		t.Errorf("said %q", n.What)
	}
	if c, _ := m.ledger.NextUndo(); len(m.log.Tasks) > 0 || c.Edits[0].Owner != "work" {
		t.Errorf("next is %+v", c)
	}
}
