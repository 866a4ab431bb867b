package replay

import (
	"slices"
	"strings"
)

// floor is how many conversations of a group do not agree yet, and why.
type floor struct {
	missing int
	why     string
}

// notYet may only shrink.
var notYet = map[string]floor{
	"clipboard":  {50, "the clipboard between qubes is not served yet"},
	"disconnect": {6, "the lock file of the clipboard is not made yet"},
	"lifecycle":  {3, "the daemon does not go into the background by itself"},
	"options":    {1, "key sequences are not read yet"},
}

// wanted are the differences we want, each with its reason.
var wanted = []struct {
	conversation string   // beginning of its name; "" for all
	keys         []string // of the step
	why          string
	ok           func(want, have string) bool // nil: whatever it is
}{
	{"create/create-size-", []string{"daemon", "channel", "stacking", "windows"},
		"a window of no width or height ends the original; ours makes it one pixel",
		func(want, have string) bool {
			return want == "exit 1" && have == "running" || want == "none" || want == "" || have == ""
		}},
	{"input/foreign-destroy", []string{"daemon", "channel"},
		"a window that another client destroyed ends the original at the next title; ours goes on",
		func(want, have string) bool { return want == "exit 1" && have == "running" || have == "" }},
	{"framing/partial-body-blocks-input", []string{"received", "windows._NET_WM_USER_TIME"},
		"half a message stops the user's input in the original; ours goes on", nil},
	{"paint/expose", []string{"pixels"},
		"a border that was covered is not painted again by the original",
		func(want, have string) bool { return strings.HasSuffix(want, "ffffff") && have == "cc0000" }},
	{"dock/dock-bg", []string{"pixels"},
		"the original wipes out what was not damaged of an icon; ours paints all of it",
		func(want, _ string) bool { return strings.HasSuffix(want, "ffffff") }},
	{"title/titles-utf8", []string{"windows.WM_NAME", "windows.WM_ICON_NAME", "windows._NET_WM_NAME", "windows._NET_WM_ICON_NAME"},
		"controls beyond ASCII and turns of the direction of writing do not pass", func(want, have string) bool {
			return strings.HasSuffix(strings.NewReplacer("c285", "5f5f", "e280ae", "5f5f5f").Replace(want), have)
		}},
	{"transient/map-transient-ob", []string{"windows.RootX", "windows.RootY", "windows.Outer"},
		"without the hint that names a dead window (below) the window manager chooses another place",
		func(want, _ string) bool {
			return strings.Contains(want, "(2) 600") || strings.Contains(want, "(2) 362") || strings.Contains(want, "599")
		}},
	{"", []string{"windows.WM_TRANSIENT_FOR"},
		"a hint that names a dead window is removed by ours",
		func(want, have string) bool { return strings.Contains(want, `["other"]`) && have == "none" }},
	{"", []string{"daemon", "programs"},
		"when the channel ends the original executes itself anew; ours waits for the agent as it is",
		func(want, have string) bool {
			return strings.Contains(want, `qubes-guid "-f"`) || want == "exit 0 (anew)" && have == "running"
		}},
}

// accepted is the Accept of the tests.
func accepted(c *Conversation, step int, key, want, have string) bool {
	if c.loose(step, key) {
		return true
	}
	for _, w := range wanted {
		if strings.HasPrefix(c.Name(), w.conversation) && slices.Contains(w.keys, key) && (w.ok == nil || w.ok(want, have)) {
			return true
		}
	}
	return false
}
