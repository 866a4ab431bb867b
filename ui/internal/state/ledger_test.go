package state

import (
	"testing"
	"time"
)

func edit(owner, from, to string) Edit {
	return Edit{Owner: owner, Property: "memory", Before: Setting{Text: from}, After: Setting{Text: to}}
}

func TestLedger(t *testing.T) {
	var l Ledger
	at := time.Unix(1e9, 0)
	one, two := l.Begin(), l.Begin()
	a, b, c := edit("a", "1", "2"), edit("b", "1", "2"), edit("c", "1", "2")
	l.Record(one, at, a)
	l.Record(two, at, b)
	l.Record(two, at, c)
	l.Record(two, at, edit("d", "1", "1"))
	if n, _ := l.NextUndo(); n.ID != two || len(n.Edits) != 2 {
		t.Fatalf("next %+v", n)
	}
	before := l
	l.Undo(two, b)
	if n, _ := l.NextUndo(); n.ID != two || len(n.Edits) != 1 || n.Edits[0] != c {
		t.Errorf("after half an undo %+v", n)
	}
	l.Undo(two, c)
	if n, _ := l.NextUndo(); n.ID != one {
		t.Errorf("after a whole undo %+v", n)
	}
	if n, _ := l.NextRedo(); n.ID != two || len(n.Edits) != 2 {
		t.Errorf("to redo %+v", n)
	}
	if n, _ := before.NextUndo(); len(n.Edits) != 2 {
		t.Errorf("an older copy changed: %+v", n)
	}
	l.Redo(two, c)
	if n, _ := l.NextUndo(); n.ID != two || n.Edits[0] != c {
		t.Errorf("after a redo %+v", n)
	}
	l.Forget(two, b)
	if _, ok := l.NextRedo(); ok {
		t.Error("a forgotten edit can be redone")
	}
	l.Undo(two, c)
	l.Record(l.Begin(), at, a)
	if _, ok := l.NextRedo(); ok {
		t.Error("redo is possible after a new change")
	}
	for range 3 * ledgerCap {
		l.Record(l.Begin(), at, a)
	}
	if len(l.Done) != ledgerCap {
		t.Errorf("%d changes kept", len(l.Done))
	}
}
