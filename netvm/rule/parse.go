package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ErrSyntax is wrapped by every error of Parse and ParseAll.
var ErrSyntax = errors.New("invalid firewall rule")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSyntax}, args...)...)
}

// ParseAll reads the lines of a request. A newline at the end is fine, an empty line is not.
func ParseAll(b []byte) ([]Rule, error) {
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) > MaxRules {
		return nil, bad("%d rules, at most %d", len(lines), MaxRules)
	}
	out := make([]Rule, 0, len(lines))
	for _, l := range lines {
		r, err := Parse(l)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Parse reads one line: "key=value" words with one space between, the comment last.
func Parse(s string) (Rule, error) {
	var r Rule
	if len(s) > MaxLine {
		return r, bad("longer than %d bytes", MaxLine)
	}
	s, comment, has := strings.Cut(s, "comment=")
	if has {
		if not(comment, valueChars+" ") {
			return r, bad("strange characters in the comment")
		}
		r.Comment = comment
	}
	seen := map[string]bool{}
	for w := range strings.SplitSeq(strings.TrimRight(s, " "), " ") {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return Rule{}, bad("a word without '='")
		}
		switch k {
		case "dst4", "dst6", "dstname":
			k = "dsthost"
		}
		if seen[k] {
			return Rule{}, bad("option %s is given twice", k)
		}
		seen[k] = true
		if err := r.set(k, v); err != nil {
			return Rule{}, err
		}
	}
	return r, r.check()
}

// check looks at what depends on more than one key.
func (r Rule) check() error {
	switch {
	case r.Action == "":
		return bad("no action")
	case r.HasPorts && r.Proto != "tcp" && r.Proto != "udp":
		return bad("dstports valid only for 'tcp' and 'udp' protocols")
	case r.HasICMP && r.Proto != "icmp":
		return bad("icmptype valid only for 'icmp' protocol")
	}
	return nil
}

func not(s, set string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(set, c) })
}

// set reads one option.
func (r *Rule) set(k, v string) error {
	if k != "dstports" && not(v, valueChars) {
		return bad("strange characters in the rule")
	}
	switch k {
	case "action":
		return choose(&r.Action, v, "accept", "drop")
	case "proto":
		return choose(&r.Proto, v, "tcp", "udp", "icmp")
	case "specialtarget":
		return choose(&r.Special, v, "dns")
	case "dsthost":
		return r.setDst(v)
	case "dstports":
		return r.setPorts(v)
	case "icmptype":
		n, err := digits(v, 3)
		if err != nil || n > maxICMP {
			return bad("bad ICMP type")
		}
		r.HasICMP, r.ICMP = true, uint8(n)
	case "expire":
		n, err := digits(v, 12)
		if err != nil || n > MaxExpire {
			return bad("bad expiration time")
		}
		r.HasExpire, r.Expire = true, n
	default:
		return bad("unknown firewall option")
	}
	return nil
}

func choose(to *string, v string, from ...string) error {
	for _, f := range from {
		if v == f {
			*to = f
			return nil
		}
	}
	return bad("%q is none of %s", v, strings.Join(from, ", "))
}

func digits(s string, most int) (int64, error) {
	if s == "" || len(s) > most || not(s, "0123456789") {
		return 0, bad("not a number")
	}
	return strconv.ParseInt(s, 10, 64)
}

// setDst lets the form decide: address, network or host name. Host bits stay as given.
func (r *Rule) setDst(v string) error {
	host, prefix, masked := strings.Cut(v, "/")
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		switch {
		case masked:
			return bad("a prefix needs an address")
		case len(v) > maxHost || not(v, hostChars):
			return bad("invalid host name")
		}
		r.HasDst, r.Dst, r.DstKind = true, v, "dsthost"
		return nil
	}
	kind, bits := "dst4", 32
	if strings.Contains(host, ":") {
		kind, bits = "dst6", 128
	}
	n := int64(bits)
	if masked {
		if n, err = digits(prefix, 3); err != nil || n > int64(bits) {
			return bad("bad prefix length")
		}
	}
	r.HasDst, r.Dst, r.DstKind = true, host+"/"+strconv.FormatInt(n, 10), kind
	return nil
}

func (r *Rule) setPorts(v string) error {
	first, last, ranged := strings.Cut(v, "-")
	if !ranged {
		last = first
	}
	a, err := number(first)
	if err != nil {
		return err
	}
	b, err := number(last)
	switch {
	case err != nil:
		return err
	case a > maxPort || b > maxPort:
		return bad("ports out of range")
	case a > b:
		return bad("invalid port range")
	}
	r.HasPorts, r.First, r.Last = true, uint16(a), uint16(b)
	return nil
}

// number reads a port as the original does: a plus sign and single underscores between
// digits pass.
func number(s string) (int, error) {
	s = strings.TrimPrefix(s, "+")
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") || len(s) > 16 {
		return 0, bad("not a port")
	}
	n, err := digits(strings.ReplaceAll(s, "_", ""), 9)
	if err != nil {
		return 0, bad("not a port")
	}
	return int(n), nil
}
