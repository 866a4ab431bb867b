// Package rule is the language of a qube's firewall rules: the lines of the Admin API, the
// entries a network qube reads from qubesdb, and the file they are kept in (spec
// storage-network-memory.md §3). It is pure; what the rules do to packets is elsewhere.
package rule

import (
	"strconv"
	"strings"
)

// Limits of one rule.
const (
	MaxLine    = 4096         // bytes of a line
	MaxRules   = 9999         // rules of a qube: entries have four digits
	MaxExpire  = 253402300799 // the last second of the year 9999
	maxICMP    = 255
	maxPort    = 65535
	maxHost    = 255
	hostChars  = "abcdefghijklmnopqrstuvwxyz0123456789-._"
	valueChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:;,./-_[]"
)

// Rule is one checked rule. Text fields are "" when absent; others say so in a Has field.
type Rule struct {
	Action  string // accept or drop, always there
	Proto   string // tcp, udp or icmp
	Special string // dns
	Comment string

	HasDst  bool
	Dst     string // address with prefix length, or a host name, as given
	DstKind string // dst4, dst6 or dsthost

	HasPorts    bool
	First, Last uint16

	HasICMP bool
	ICMP    uint8

	HasExpire bool
	Expire    int64 // seconds since 1970; the rule is void from then on
}

// Accept is the rule of a qube that has none.
func Accept() Rule { return Rule{Action: "accept"} }

// Expired reports whether the rule is void at a time in seconds since 1970.
func (r Rule) Expired(now int64) bool { return r.HasExpire && r.Expire <= now }

// String is the rule as a line of the Admin API, in canonical order.
func (r Rule) String() string {
	s := "action=" + r.Action
	if r.HasExpire {
		s += " expire=" + strconv.FormatInt(r.Expire, 10)
	}
	s += r.match()
	if r.Comment != "" {
		s += " comment=" + r.Comment
	}
	return s
}

// Entry is the rule as qubesdb carries it: without what only people and clocks need.
func (r Rule) Entry() string { return "action=" + r.Action + r.match() }

func (r Rule) match() string {
	var s string
	if r.HasDst {
		s += " " + r.DstKind + "=" + r.Dst
	}
	if r.Proto != "" {
		s += " proto=" + r.Proto
	}
	if r.Special != "" {
		s += " specialtarget=" + r.Special
	}
	if r.HasPorts {
		s += " dstports=" + port(r.First) + "-" + port(r.Last)
	}
	if r.HasICMP {
		s += " icmptype=" + strconv.Itoa(int(r.ICMP))
	}
	return s
}

func port(p uint16) string { return strconv.Itoa(int(p)) }

// Format gives the lines of all rules that still hold.
func Format(rules []Rule, now int64) []byte {
	var out []byte
	for _, r := range rules {
		if !r.Expired(now) {
			out = append(append(out, r.String()...), '\n')
		}
	}
	return out
}

// Entry is one qubesdb entry below a client's address.
type Entry struct{ Key, Value string }

// Entries are what a network qube reads for a client's address of one family: the policy,
// then the rules under their index. Rules of the other family and void ones leave gaps.
func Entries(rules []Rule, v6 bool, now int64) []Entry {
	out := []Entry{{"policy", "drop"}}
	other := "dst6"
	if v6 {
		other = "dst4"
	}
	for i, r := range rules {
		if r.Expired(now) || r.DstKind == other || i > MaxRules {
			continue
		}
		n := strconv.Itoa(i)
		out = append(out, Entry{strings.Repeat("0", 4-len(n)) + n, r.Entry()})
	}
	return out
}
