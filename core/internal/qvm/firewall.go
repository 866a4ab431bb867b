package qvm

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"qubist/core/adminapi"
)

var firewallOptions = []option{
	sw("reload,r", "apply the rules again"), sw("raw", "print rules as the API does"),
	val("before", "NUMBER", "add before this rule"), val("rule-no", "NUMBER", "delete this rule"),
}

// ruleKeys are what a rule can say, in the order the original sends them.
var ruleKeys = []string{"action", "proto", "dst4", "dst6", "dsthost", "dstports", "icmptype", "specialtarget", "expire", "comment"}

// fwRule is one rule; absent keys are "".
type fwRule map[string]string

func firewallActions() []action {
	return []action{
		act("list,ls,l", "", "List the rules.", listRules),
		act("add,a", "RULE…", "Add a rule, at the end or --before another. A rule is action=accept|drop and any of dsthost=, proto=, dstports=, icmptype=, specialtarget=, expire=, comment=.", addRule),
		act("del,remove,d,r", "RULE…", "Delete a rule, given as a whole or by --rule-no.", delRule),
		act("reset", "", "Accept everything.", resetRules),
	}
}

func firewall(ctx context.Context, t *tool) error { return vmActions(ctx, t) }

func (t *tool) rules(ctx context.Context, vm string) ([]fwRule, error) {
	b, err := t.c.Call(ctx, "admin.vm.firewall.Get", vm, "", nil)
	if err != nil {
		return nil, err
	}
	var out []fwRule
	for _, l := range adminapi.Lines(b) {
		r, err := parseRule(l)
		if err != nil {
			return nil, fmt.Errorf("rule %d of %s: %w", len(out), vm, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// parseRule reads a line of the API (spec storage-network-memory.md §3).
func parseRule(line string) (fwRule, error) {
	r := fwRule{}
	line, comment, ok := strings.Cut(line, "comment=")
	if ok {
		r["comment"] = comment
	}
	for _, w := range strings.Fields(line) {
		k, v, ok := strings.Cut(w, "=")
		if !ok || r[k] != "" || !slices.Contains(ruleKeys, k) {
			return nil, fmt.Errorf("cannot read %.60q", w)
		}
		r[k] = v
	}
	if r["action"] == "" {
		return nil, fmt.Errorf("no action in %.60q", line)
	}
	return r, nil
}

func (r fwRule) String() string {
	var words []string
	for _, k := range ruleKeys {
		if v := r[k]; v != "" {
			words = append(words, k+"="+v)
		}
	}
	return strings.Join(words, " ")
}

func (t *tool) setRules(ctx context.Context, vm string, rules []fwRule) error {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.String() + "\n")
	}
	return t.call(ctx, "admin.vm.firewall.Set", vm, "", b.String())
}

func listRules(ctx context.Context, t *tool, args []string) error {
	rules, err := t.rules(ctx, args[0])
	if err != nil {
		return err
	}
	if t.has("reload") {
		if err := t.call(ctx, "admin.vm.firewall.Reload", args[0], "", ""); err != nil {
			return err
		}
	}
	if t.has("raw") {
		var out []string
		for _, r := range rules {
			out = append(out, r.String())
		}
		return t.lines(out)
	}
	var rows [][]string
	for i, r := range rules {
		host := cmpOr(r["dsthost"], cmpOr(r["dst4"], r["dst6"]))
		row := []string{strconv.Itoa(i), r["action"], host, r["proto"], r["dstports"], r["specialtarget"], r["icmptype"], r["expire"], r["comment"]}
		for i, c := range row {
			row[i] = cmpOr(c, "-")
		}
		rows = append(rows, row)
	}
	return t.table([]string{"NO", "ACTION", "HOST", "PROTOCOL", "PORT(S)", "SPECIAL TARGET", "ICMP TYPE", "EXPIRE", "COMMENT"}, rows)
}

// typedRule reads a rule as the user writes it: the first word may be the bare action.
func typedRule(words []string, now time.Time) (fwRule, error) {
	if len(words) == 0 {
		return nil, needed("RULE")
	}
	r := fwRule{}
	for i, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok && i == 0 && (w == "accept" || w == "drop") {
			k, v, ok = "action", w, true
		}
		if !ok || v == "" || r[k] != "" || !slices.Contains(ruleKeys, k) {
			return nil, usageError("invalid rule description: '" + w + "'")
		}
		switch k {
		case "dst4", "dst6", "dsthost":
			k, v = destination(v)
		case "dstports":
			if !strings.Contains(v, "-") {
				v += "-" + v
			}
		case "expire":
			if s, ok := strings.CutPrefix(v, "+"); ok {
				n, err := strconv.ParseInt(s, 10, 32)
				if err != nil {
					return nil, usageError("invalid rule description: '" + w + "'")
				}
				v = strconv.FormatInt(now.Unix()+n, 10)
			}
		}
		r[k] = v
	}
	if r["action"] == "" {
		return nil, usageError("rule action (accept or drop) is required")
	}
	return r, nil
}

// destination gives the key that fits a value: addresses get their prefix length.
func destination(v string) (key, value string) {
	address, length, ok := strings.Cut(v, "/")
	a, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return "dsthost", v
	case !ok:
		length = strconv.Itoa(a.BitLen())
	}
	if a.Is4() {
		return "dst4", address + "/" + length
	}
	return "dst6", address + "/" + length
}

func addRule(ctx context.Context, t *tool, args []string) error {
	r, err := typedRule(args[1:], time.Now())
	if err != nil {
		return err
	}
	rules, err := t.rules(ctx, args[0])
	if err != nil {
		return err
	}
	at := len(rules)
	if t.has("before") {
		if at, err = ruleNumber("before", t.get("before"), len(rules)); err != nil {
			return err
		}
	}
	return t.setRules(ctx, args[0], slices.Insert(rules, at, r))
}

func ruleNumber(flag, s string, count int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n >= count {
		return 0, usageError(fmt.Sprintf("argument --%s: no rule '%s' (there are %d)", flag, s, count))
	}
	return n, nil
}

func delRule(ctx context.Context, t *tool, args []string) error {
	var want fwRule
	var err error
	if !t.has("rule-no") {
		if want, err = typedRule(args[1:], time.Now()); err != nil {
			return err
		}
	}
	rules, err := t.rules(ctx, args[0])
	if err != nil {
		return err
	}
	at := slices.IndexFunc(rules, func(r fwRule) bool { return want != nil && r.String() == want.String() })
	if t.has("rule-no") {
		if at, err = ruleNumber("rule-no", t.get("rule-no"), len(rules)); err != nil {
			return err
		}
	}
	if at < 0 {
		return plainError("no such rule")
	}
	return t.setRules(ctx, args[0], slices.Delete(rules, at, at+1))
}

func resetRules(ctx context.Context, t *tool, args []string) error {
	if _, err := t.rules(ctx, args[0]); err != nil {
		return err
	}
	return t.setRules(ctx, args[0], []fwRule{{"action": "accept"}})
}
