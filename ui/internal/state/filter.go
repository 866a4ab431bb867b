package state

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Filter decides which qubes are shown. The language: terms joined by spaces (and) and
// commas (or); a word is matched fuzzily against the name; key:value against a column;
// mem and cpu also with > and <; /…/ is a regular expression on the name; ! inverts a term.
// A bare value after a comma repeats the key before it: label:red,blue.
type Filter struct {
	text string
	any  [][]term // or of ands
}

type term struct {
	match  func(Qube) bool
	invert bool
}

// FilterKeys are the keys a term may have.
var FilterKeys = []string{"label", "state", "class", "template", "netvm", "tag", "name", "mem", "cpu"}

// ParseFilter reads the filter language. A mistake is an error in words for the user.
func ParseFilter(text string) (Filter, error) {
	f := Filter{text: text}
	var group []term
	key := ""
	flush := func() {
		if len(group) > 0 {
			f.any = append(f.any, group)
		}
		group = nil
	}
	for rest := text; rest != ""; {
		switch {
		case rest[0] == ' ':
			rest, key = rest[1:], ""
			continue
		case rest[0] == ',':
			rest = rest[1:]
			flush()
			continue
		}
		word, after := nextWord(rest)
		rest = after
		t, k, err := parseTerm(word, key)
		if err != nil {
			return Filter{}, err
		}
		key = k
		if t.match != nil {
			group = append(group, t)
		}
	}
	flush()
	return f, nil
}

// nextWord cuts one term off; inside /…/ spaces and commas belong to it.
func nextWord(s string) (word, rest string) {
	start := 0
	if strings.HasPrefix(s, "!") {
		start = 1
	}
	if strings.HasPrefix(s[start:], "/") {
		if end := strings.IndexByte(s[start+1:], '/'); end >= 0 {
			cut := start + end + 2
			return s[:cut], s[cut:]
		}
		return s, ""
	}
	if end := strings.IndexAny(s, " ,"); end >= 0 {
		return s[:end], s[end:]
	}
	return s, ""
}

func parseTerm(word, lastKey string) (t term, key string, err error) {
	if strings.HasPrefix(word, "!") {
		t.invert, word = true, word[1:]
	}
	if strings.HasPrefix(word, "/") {
		body := strings.TrimSuffix(word[1:], "/")
		if body == "" {
			return term{}, "", nil
		}
		re, err := regexp.Compile("(?i)" + body)
		if err != nil {
			return term{}, "", fmt.Errorf("/%s/ is not a regular expression", body)
		}
		t.match = func(q Qube) bool { return re.MatchString(q.Name) }
		return t, "", nil
	}
	at := strings.IndexAny(word, ":<>")
	switch {
	case at > 0:
		key = strings.ToLower(word[:at])
		t.match, err = keyed(key, word[at], word[at+1:])
		return t, key, err
	case lastKey != "":
		t.match, err = keyed(lastKey, ':', word)
		return t, lastKey, err
	case word == "":
		return term{}, "", nil
	}
	t.match = func(q Qube) bool { return Fuzzy(word, q.Name) }
	return t, "", nil
}

func keyed(key string, op byte, value string) (func(Qube) bool, error) {
	column := map[string]func(Qube) string{
		"label": func(q Qube) string { return q.Label.Name }, "state": func(q Qube) string { return string(q.Phase) },
		"class": func(q Qube) string { return q.Class }, "template": func(q Qube) string { return orNone(q.Template) },
		"netvm": func(q Qube) string { return orNone(q.NetVM) }, "name": func(q Qube) string { return q.Name },
	}[key]
	value = strings.ToLower(value)
	switch {
	case key == "mem" || key == "cpu":
		return number(key, op, value)
	case op != ':':
		return nil, fmt.Errorf("%s cannot be compared; write %s:value", key, key)
	case key == "tag":
		return func(q Qube) bool {
			for _, t := range q.Tags {
				if strings.HasPrefix(strings.ToLower(t), value) {
					return true
				}
			}
			return value == ""
		}, nil
	case column == nil:
		return nil, fmt.Errorf("%q is not a column; there are %s", key, strings.Join(FilterKeys, ", "))
	}
	return func(q Qube) bool { return strings.HasPrefix(strings.ToLower(column(q)), value) }, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func number(key string, op byte, value string) (func(Qube) bool, error) {
	unit := 1.0
	digits := strings.TrimRight(value, "kmgib%")
	if key == "mem" {
		unit = map[byte]float64{'k': 1, 'm': 1 << 10, 'g': 1 << 20}[(value + "m")[len(digits)]]
	}
	n, err := strconv.ParseFloat(digits, 64)
	if value == "" {
		return func(Qube) bool { return true }, nil // still being typed
	}
	if err != nil || op == ':' || unit == 0 {
		return nil, fmt.Errorf("%s is compared like %s", key, map[string]string{"mem": "mem>1G or mem<500M", "cpu": "cpu>10"}[key])
	}
	return func(q Qube) bool {
		have := float64(q.MemKiB)
		if key == "cpu" {
			have = float64(q.CPU)
		}
		if op == '>' {
			return have > n*unit
		}
		return q.Phase.Active() && have < n*unit
	}, nil
}

// Fuzzy reports whether the letters of word occur in name in this order, whatever the case.
func Fuzzy(word, name string) bool {
	word, name = strings.ToLower(word), strings.ToLower(name)
	for _, r := range word {
		i := strings.IndexRune(name, r)
		if i < 0 {
			return false
		}
		name = name[i+len(string(r)):]
	}
	return true
}

// String is the text the filter was read from.
func (f Filter) String() string { return f.text }

// Empty reports whether the filter lets everything through.
func (f Filter) Empty() bool { return len(f.any) == 0 }

// Match reports whether q is shown.
func (f Filter) Match(q Qube) bool {
	for _, all := range f.any {
		ok := true
		for _, t := range all {
			if t.match(q) == t.invert {
				ok = false
				break
			}
		}
		if ok {
			return true
		}
	}
	return f.Empty()
}
