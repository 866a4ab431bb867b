package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// isSpace is the white space of spec §2: Unicode's, and the four separators below SPACE.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// lines splits a policy text at LF, CR and CR LF.
func lines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

// fault is a syntax error whose place the caller knows.
type fault struct {
	reason Reason
	detail string
}

// checkService checks a service and an argument column.
func checkService(service, argument string) *fault {
	if service == "*" {
		if argument != "*" {
			return &fault{ReasonStarArgument, argument}
		}
		return nil
	}
	if !only(service, "-._") {
		return &fault{ReasonServiceChars, service}
	}
	if argument == "*" {
		return nil
	}
	if !only(argument, "+-._") {
		return &fault{ReasonArgumentChars, argument}
	}
	if argument == "" || argument[0] != '+' {
		return &fault{ReasonArgumentPlus, argument}
	}
	return nil
}

// only reports whether s has nothing but ASCII letters, digits and the extra bytes.
func only(s, extra string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && (c >= utf8.RuneSelf || strings.IndexByte(extra, c) < 0) {
			return false
		}
	}
	return true
}

// parseRule checks the words of a rule: source, target, action, parameters.
func parseRule(service, argument string, words []string) (*Rule, *fault) {
	if len(words) < 3 {
		return nil, &fault{ReasonFieldCount, strings.Join(words, " ")}
	}
	if f := checkService(service, argument); f != nil {
		return nil, f
	}
	r := &Rule{Service: service, Argument: argument, Source: words[0], Target: words[1], Action: Action(words[2]), autostart: true}
	var reason Reason
	if r.source, reason = parseToken(words[0], columnSource); reason != reasonNone {
		return nil, &fault{reason, words[0]}
	}
	if r.target, reason = parseToken(words[1], columnTarget); reason != reasonNone {
		return nil, &fault{reason, words[1]}
	}
	if r.Action != Allow && r.Action != Deny && r.Action != Ask {
		return nil, &fault{ReasonAction, words[2]}
	}
	r.notify = r.Action == Deny
	if f := r.setParams(words[3:]); f != nil {
		return nil, f
	}
	if r.Action == Allow && r.target.kind == kindDefault && r.redirect == nil {
		return nil, &fault{ReasonDefaultTarget, words[1]}
	}
	return r, nil
}

// setParams checks key=value words: first the form of all, then each key for the action.
func (r *Rule) setParams(words []string) *fault {
	seen := map[string]bool{}
	for _, w := range words {
		key, _, ok := strings.Cut(w, "=")
		if !ok {
			return &fault{ReasonParamSyntax, w}
		}
		if seen[key] {
			return &fault{ReasonParamDuplicate, w}
		}
		seen[key] = true
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		if f := r.setParam(key, value); f != nil {
			f.detail = w
			return f
		}
	}
	return nil
}

func (r *Rule) setParam(key, value string) *fault {
	var reason Reason
	switch {
	case key == "notify":
		r.notify, reason = parseBool(value)
	case key == "autostart" && r.Action != Deny:
		r.autostart, reason = parseBool(value)
	case key == "user" && r.Action != Deny:
		r.user = value
	case key == "target" && r.Action != Deny:
		r.redirect, reason = parseRedirect(value)
	case key == "default_target" && r.Action == Ask:
		r.defaultTarget, reason = parseRedirect(value)
	default:
		reason = ReasonParamUnknown
	}
	if reason != reasonNone {
		return &fault{reason: reason}
	}
	return nil
}

func parseRedirect(value string) (*token, Reason) {
	t, reason := parseToken(value, columnRedirect)
	if reason != reasonNone {
		return nil, reason
	}
	return &t, reasonNone
}

func parseBool(value string) (bool, Reason) {
	switch value {
	case "yes":
		return true, reasonNone
	case "no":
		return false, reasonNone
	}
	return false, ReasonParamBool
}
