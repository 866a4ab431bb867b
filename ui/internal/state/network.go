package state

import (
	"cmp"
	"slices"
)

// NetRow is one line of the network tree.
type NetRow struct {
	Heading string // a line of its own; the rest is empty then
	Guide   string // the branches before the name
	Qube    Qube
	Way     string // how its packets leave, or what stops them
	Cut     bool   // something stops them
}

// NetTree is every qube that has or gives network, below the one it is connected to, and
// then the others. Qubes whose netvm is missing or that form a ring are roots with the
// reason in Way.
func NetTree(s System) []NetRow {
	t := netTree{s: s, below: map[string][]Qube{}, done: map[string]bool{}}
	var roots, alone []Qube
	for _, q := range s.Qubes {
		_, found := s.Find(q.NetVM)
		switch {
		case q.Dom0():
		case q.NetVM != "" && found:
			t.below[q.NetVM] = append(t.below[q.NetVM], q)
		case q.NetVM != "" || q.True("provides_network"):
			roots = append(roots, q)
		default:
			alone = append(alone, q)
		}
	}
	// A qube that others use is a root even if it does not say that it provides network.
	alone = slices.DeleteFunc(alone, func(q Qube) bool {
		if len(t.below[q.Name]) > 0 {
			roots = append(roots, q)
			return true
		}
		return false
	})
	sortNames(roots)
	for _, q := range roots {
		t.add(q, "", "")
	}
	for _, q := range s.Qubes { // what a ring kept from being reached
		if q.NetVM != "" && !t.done[q.Name] && !q.Dom0() {
			t.add(q, "", "")
		}
	}
	if len(alone) > 0 {
		sortNames(alone)
		t.rows = append(t.rows, NetRow{Heading: "Not connected"})
		for _, q := range alone {
			t.rows = append(t.rows, NetRow{Qube: q})
		}
	}
	return t.rows
}

type netTree struct {
	s     System
	below map[string][]Qube
	done  map[string]bool
	rows  []NetRow
}

// add appends q and what is connected to it. first leads q's own line, rest those below.
func (t *netTree) add(q Qube, first, rest string) {
	if t.done[q.Name] {
		return
	}
	t.done[q.Name] = true
	way, cut := t.s.wayOut(q)
	t.rows = append(t.rows, NetRow{Guide: first, Qube: q, Way: way, Cut: cut})
	kids := t.below[q.Name]
	// Those that carry others come last, so that short branches are read first.
	slices.SortStableFunc(kids, func(a, b Qube) int {
		return cmp.Or(cmp.Compare(len(t.below[a.Name]), len(t.below[b.Name])), cmp.Compare(a.Name, b.Name))
	})
	for i, k := range kids {
		if i == len(kids)-1 {
			t.add(k, rest+"└ ", rest+"  ")
		} else {
			t.add(k, rest+"├ ", rest+"│ ")
		}
	}
}

// wayOut says through what q's packets go, as far as states tell.
func (s System) wayOut(q Qube) (text string, cut bool) {
	if q.NetVM == "" || q.Phase.Active() && q.Phase != Running && q.Phase != Starting {
		return "", false
	}
	seen := map[string]bool{q.Name: true}
	for name := q.NetVM; name != ""; {
		if seen[name] {
			return name + " is connected to itself in a ring", true
		}
		seen[name] = true
		n, ok := s.Find(name)
		switch {
		case !ok:
			return "there is no qube " + name, true
		case n.Phase != Running:
			if !q.Phase.Active() {
				return "", false // nothing leaves a qube that is not up
			}
			return name + " is " + string(n.Phase), true
		}
		name = n.NetVM
	}
	if !q.Phase.Active() {
		return "", false
	}
	return "up", false
}

func sortNames(qs []Qube) {
	slices.SortFunc(qs, func(a, b Qube) int { return cmp.Compare(a.Name, b.Name) })
}
