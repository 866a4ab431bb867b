package replay

// floor is how many conversations of a group do not agree yet, and why.
type floor struct {
	missing int
	why     string
}

// notYet may only shrink.
var notYet = map[string]floor{}

// wanted are the differences we want, each with its reason.
var wanted = []struct {
	conversation string // "" for all
	key          string
	why          string
	ok           func(want, have string) bool
}{}

// accepted is the Accept of the tests.
func accepted(c *Conversation, step int, key, want, have string) bool {
	if c.loose(step, key) {
		return true
	}
	for _, w := range wanted {
		if (w.conversation == "" || w.conversation == c.Name()) && w.key == key && (w.ok == nil || w.ok(want, have)) {
			return true
		}
	}
	return false
}
