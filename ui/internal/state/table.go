package state

import (
	"cmp"
	"slices"
	"strings"
)

// Column is something qubes can be sorted by.
type Column string

// The columns, in the order they stand on the screen.
const (
	ByName     Column = "name"
	ByState    Column = "state"
	ByLabel    Column = "label"
	ByClass    Column = "class"
	ByTemplate Column = "template"
	ByNetVM    Column = "netvm"
	ByMemory   Column = "mem"
	ByCPU      Column = "cpu"
)

// Columns are all of them.
var Columns = []Column{ByName, ByState, ByLabel, ByClass, ByTemplate, ByNetVM, ByMemory, ByCPU}

// compare orders two qubes by the column alone. Numbers start with the largest.
func (c Column) compare(a, b Qube) int {
	switch c {
	case ByState:
		return cmp.Compare(rank[a.Phase], rank[b.Phase])
	case ByLabel:
		return strings.Compare(a.Label.Name, b.Label.Name)
	case ByClass:
		return strings.Compare(a.Class, b.Class)
	case ByTemplate:
		return strings.Compare(a.Template, b.Template)
	case ByNetVM:
		return strings.Compare(a.NetVM, b.NetVM)
	case ByMemory:
		return cmp.Compare(b.MemKiB, a.MemKiB)
	case ByCPU:
		return cmp.Compare(b.CPU, a.CPU)
	}
	return 0
}

// Table is the list of qubes as the user arranged it. The cursor stands on a qube, not on a
// line: when others come and go it stays with its qube.
type Table struct {
	Filter  Filter
	Sort    Column
	Reverse bool

	rows   []Qube
	cursor string
	at     int // index of the cursor when last known
	top    int
	marks  map[string]bool
}

// NewTable is sorted by name with nothing marked.
func NewTable() Table { return Table{Sort: ByName, marks: map[string]bool{}} }

// Arrange computes the rows from the system. Marks of qubes that are gone disappear.
func (t *Table) Arrange(s System) {
	t.rows = t.rows[:0:0]
	here := make(map[string]bool, len(t.marks))
	for _, q := range s.Qubes {
		if t.marks[q.Name] {
			here[q.Name] = true
		}
		if t.Filter.Match(q) {
			t.rows = append(t.rows, q)
		}
	}
	t.marks = here
	slices.SortStableFunc(t.rows, func(a, b Qube) int {
		c := t.Sort.compare(a, b)
		if c == 0 {
			c = compareNames(a, b)
		}
		if t.Reverse {
			return -c
		}
		return c
	})
	t.settle()
}

// compareNames puts dom0 first and then goes by name.
func compareNames(a, b Qube) int {
	if a.Dom0() != b.Dom0() {
		if a.Dom0() {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

// settle puts the cursor back on its qube, or near where it was.
func (t *Table) settle() {
	i := slices.IndexFunc(t.rows, func(q Qube) bool { return q.Name == t.cursor })
	if i < 0 {
		i = min(t.at, len(t.rows)-1)
	}
	t.place(i)
}

func (t *Table) place(i int) {
	i = max(min(i, len(t.rows)-1), 0)
	t.at = i
	if i < len(t.rows) {
		t.cursor = t.rows[i].Name
	}
}

// Rows are the qubes shown, in order. Do not change them.
func (t *Table) Rows() []Qube { return t.rows }

// At is the index of the cursor's row.
func (t *Table) At() int { return t.at }

// Current is the qube under the cursor.
func (t *Table) Current() (Qube, bool) {
	if t.at < len(t.rows) {
		return t.rows[t.at], true
	}
	return Qube{}, false
}

// Move moves the cursor by n rows, staying inside.
func (t *Table) Move(n int) { t.place(t.at + n) }

// Go puts the cursor on the named qube if it is shown.
func (t *Table) Go(name string) {
	if i := slices.IndexFunc(t.rows, func(q Qube) bool { return q.Name == name }); i >= 0 {
		t.place(i)
	}
}

// Window is the index of the first row to show in height lines, so that the cursor is
// visible and the list moves as little as possible.
func (t *Table) Window(height int) int {
	t.top = Scroll(t.top, t.at, len(t.rows), height)
	return t.top
}

// Scroll is the new first line of a list of n lines shown in height lines, given the old
// first line and the line that must be visible.
func Scroll(top, at, n, height int) int {
	if at < top {
		top = at
	}
	if at >= top+height {
		top = at - height + 1
	}
	return max(min(top, n-height), 0)
}

// Mark turns the mark of the current row on or off.
func (t *Table) Mark() {
	if q, ok := t.Current(); ok {
		if t.marks[q.Name] {
			delete(t.marks, q.Name)
		} else {
			t.marks[q.Name] = true
		}
	}
}

// MarkAll marks every row shown, or unmarks all when all of them are marked.
func (t *Table) MarkAll() {
	all := len(t.rows) > 0
	for _, q := range t.rows {
		all = all && t.marks[q.Name]
	}
	for _, q := range t.rows {
		if all {
			delete(t.marks, q.Name)
		} else {
			t.marks[q.Name] = true
		}
	}
}

// ClearMarks removes all marks.
func (t *Table) ClearMarks() { clear(t.marks) }

// Marked reports whether the named qube is marked, Marks how many are.
func (t *Table) Marked(name string) bool { return t.marks[name] }

// Marks is the number of marked qubes, shown or not.
func (t *Table) Marks() int { return len(t.marks) }

// Targets are the qubes an action applies to: the marked ones by name, else the current one.
func (t *Table) Targets(s System) []Qube {
	if len(t.marks) == 0 {
		if q, ok := t.Current(); ok {
			return []Qube{q}
		}
		return nil
	}
	var out []Qube
	for _, q := range s.Qubes {
		if t.marks[q.Name] {
			out = append(out, q)
		}
	}
	return out
}

// NextSort goes to the next column, PrevSort back; both begin in the column's own order.
func (t *Table) NextSort(step int) {
	i := slices.Index(Columns, t.Sort)
	t.Sort = Columns[(i+step+len(Columns))%len(Columns)]
	t.Reverse = false
}
