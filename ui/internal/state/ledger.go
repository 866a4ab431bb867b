package state

import (
	"slices"
	"time"
)

// Setting is a property's value, exactly as the server told it: not yet fit to show. With
// Default it is not the owner's own, and Text is empty.
type Setting struct {
	Text    string `json:"text"`
	Default bool   `json:"default,omitempty"`
}

// Edit is one property of one owner (a qube, "" for the system) that was changed.
type Edit struct {
	Owner    string  `json:"owner,omitempty"`
	Property string  `json:"property"`
	Before   Setting `json:"before"`
	After    Setting `json:"after"`
}

// Reverse is the edit that takes e back.
func (e Edit) Reverse() Edit {
	e.Before, e.After = e.After, e.Before
	return e
}

// Change is what one command changed: it is undone and redone as one.
type Change struct {
	ID    int64     `json:"id"`
	At    time.Time `json:"at"`
	Edits []Edit    `json:"edits"`
}

// ledgerCap bounds the changes that can be undone, and those that can be redone.
const ledgerCap = 200

// Ledger is every reversible change in order, and those taken back. It is never changed in
// place: a copy of it stays what it was.
type Ledger struct {
	Done   []Change `json:"done"`   // newest last
	Undone []Change `json:"undone"` // the next to redo last
	Last   int64    `json:"last"`   // the newest ID given
}

// Begin gives the ID of a new change. It is recorded edit by edit.
func (l *Ledger) Begin() int64 {
	l.Last++
	return l.Last
}

// Record adds an edit to change id. What had been undone can no longer be redone. An edit
// that changed nothing is not kept.
func (l *Ledger) Record(id int64, at time.Time, e Edit) {
	if e.Before == e.After {
		return
	}
	l.Undone = nil
	l.Done = with(l.Done, Change{ID: id, At: at}, e)
}

// Undo notes that edit e of change id was taken back, Redo that it was made again.
func (l *Ledger) Undo(id int64, e Edit) { l.Done, l.Undone = move(l.Done, l.Undone, id, e) }

// Redo is the opposite of Undo.
func (l *Ledger) Redo(id int64, e Edit) { l.Undone, l.Done = move(l.Undone, l.Done, id, e) }

// Forget removes edit e of change id: it can be neither undone nor redone.
func (l *Ledger) Forget(id int64, e Edit) {
	l.Done, _ = move(l.Done, nil, id, e)
	l.Undone, _ = move(l.Undone, nil, id, e)
}

// NextUndo is the newest change, NextRedo the one last taken back.
func (l *Ledger) NextUndo() (Change, bool) { return last(l.Done) }

// NextRedo is the change that would be redone next.
func (l *Ledger) NextRedo() (Change, bool) { return last(l.Undone) }

func last(list []Change) (Change, bool) {
	if len(list) == 0 {
		return Change{}, false
	}
	return list[len(list)-1], true
}

// with is list with e in the change of c's ID, which is added when it is not there.
func with(list []Change, c Change, e Edit) []Change {
	list = slices.Clone(list)
	i := slices.IndexFunc(list, func(o Change) bool { return o.ID == c.ID })
	if i < 0 {
		list = append(list, Change{ID: c.ID, At: c.At})
		i = len(list) - 1
	}
	list[i].Edits = append(slices.Clip(list[i].Edits), e)
	return list[max(len(list)-ledgerCap, 0):]
}

// move takes e out of change id in from and puts it into to.
func move(from, to []Change, id int64, e Edit) (_, _ []Change) {
	i := slices.IndexFunc(from, func(c Change) bool { return c.ID == id })
	if i < 0 {
		return from, to
	}
	c := from[i]
	k := slices.Index(c.Edits, e)
	if k < 0 {
		return from, to
	}
	from = slices.Clone(from)
	from[i].Edits = slices.Delete(slices.Clone(c.Edits), k, k+1)
	if len(from[i].Edits) == 0 {
		from = slices.Delete(from, i, i+1)
	}
	return from, with(to, c, e)
}
