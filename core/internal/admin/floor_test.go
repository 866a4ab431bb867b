package admin_test

import (
	"strings"
	"testing"

	"qubist/core/internal/admin"
	"qubist/core/qube"
)

// missing are the methods that are not there yet, by name (a final "." means all that begin
// so), with what they wait for. The test fails when one of them is implemented and still
// listed, so this can only become shorter.
var missing = map[string]string{}

// deviations are single records, by recording and number, where we differ on purpose or
// because of a missing method before them. A record listed here that agrees fails the test.
var deviations = map[string]map[int]string{
	"full": {
		442: "resetting a label breaks the original; we refuse it", 443: "follows 442", 444: "follows 442",
		803: "the original keeps a tag it failed to set (created-by of nobody)", 936: "follows 803", 1128: "follows 803",
		1005: "the original lets a running qube's volume be cleared and loses the change when it stops; we refuse it",
		1112: "the original's library was missing; our notes are kept", 1113: "follows 1112",
	},
	"random1": {
		226: "clearing a running qube's volume, see 1005 of full", 593: "see 226",
		622: "the original forgets that created-by tags are protected when the source is a RemoteVM",
		634: "follows 622", 681: "follows 622", 721: "follows 622", 773: "follows 622", 780: "follows 622", 787: "follows 622", 796: "follows 622", 807: "follows 622", 871: "follows 622",
	},
}

func missingReason(method string) (string, bool) {
	for name, reason := range missing {
		if name == method || strings.HasSuffix(name, ".") && strings.HasPrefix(method, name) {
			return reason, true
		}
	}
	return "", false
}

func TestMissingMethodsAreMissing(t *testing.T) {
	for _, set := range []admin.Set{admin.AdminSet(), admin.InternalSet(), admin.MiscSet()} {
		for _, n := range set.Names() {
			if reason, ok := missingReason(n); ok {
				t.Errorf("%s is there, but listed as missing (%s)", n, reason)
			}
		}
	}
}

func TestCorpusAdminConversations(t *testing.T) {
	agreed, total := 0, 0
	for _, name := range []string{"full", "random1"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, name)
			w.allowed = func(src, dest qube.Name) bool { return src == "work" && dest == "personal" }
			for _, r := range records(t, name) {
				w.recorded = append(w.recorded, r)
			}
			for i, r := range w.recorded {
				if r.Method == "" {
					w.arrange(r)
					continue
				}
				total++
				_, absent := missingReason(r.Method)
				reason, known := deviations[name][r.N]
				switch d := w.play(i); {
				case d == "" && known:
					t.Errorf("%d %s agrees, take it off the list (%s)", r.N, r.Method, reason)
				case d == "":
					agreed++
				case !absent && !known:
					t.Errorf("%d %s %s+%s: %s", r.N, r.Method, r.Dest, r.Arg, d)
				}
			}
		})
	}
	t.Logf("corpus admin: %d/%d", agreed, total)
}
