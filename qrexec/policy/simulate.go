package policy

import "slices"

// Change is a call that two policies decide differently.
type Change struct {
	Request  Request
	Count    int // how often the call was recorded
	Old, New Verdict
}

// Simulate decides recorded calls under two policies and returns those that differ in
// action, target, user, autostart, notification or in what may be chosen, in the order in
// which they were first recorded.
func Simulate(old, edited *Policy, sys *System, calls []Request) []Change {
	var changes []Change
	index := map[Request]int{} // position in changes, -1 for the same verdict
	for _, r := range calls {
		if i, seen := index[r]; seen {
			if i >= 0 {
				changes[i].Count++
			}
			continue
		}
		a, b := old.Evaluate(sys, r), edited.Evaluate(sys, r)
		index[r] = -1
		if !a.same(&b) {
			index[r] = len(changes)
			changes = append(changes, Change{r, 1, a, b})
		}
	}
	return changes
}

// same compares what a verdict means, not which rule gave it.
func (v *Verdict) same(o *Verdict) bool {
	return v.Action == o.Action && v.Target == o.Target && v.User == o.User && v.Autostart == o.Autostart &&
		v.Notify == o.Notify && v.DefaultTarget == o.DefaultTarget && slices.Equal(v.Targets, o.Targets)
}
