package state

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// LogLine is one line of a log, fit to show.
type LogLine struct {
	At      time.Time // its own, else when it was first seen
	Program string    // "qubesd"; "console" for what a guest's kernel and init print
	Qube    string    // "" for a program of the whole system
	Level   string    // DEBUG, INFO, WARN or ERROR; "" when it says none
	Text    string
}

const (
	// logLines and logBytes bound the lines kept.
	logLines = 20000
	logBytes = 8 << 20
)

// LogBook keeps the newest lines of all logs in the order of their times.
type LogBook struct {
	lines   []LogLine
	bytes   int
	dropped int // lines that gave way to newer ones
}

// Add puts new lines, themselves in order, where they belong. A late line of a slow writer
// is moved up past at most those that came since.
func (b *LogBook) Add(lines []LogLine) {
	if len(lines) == 0 {
		return
	}
	tail := len(b.lines)
	for tail > 0 && b.lines[tail-1].At.After(lines[0].At) {
		tail--
	}
	all := append(slices.Clip(b.lines), lines...)
	slices.SortStableFunc(all[tail:], func(x, y LogLine) int { return x.At.Compare(y.At) })
	for _, l := range lines {
		b.bytes += len(l.Text)
	}
	cut := max(len(all)-logLines, 0)
	for i := range cut {
		b.bytes -= len(all[i].Text)
	}
	for b.bytes > logBytes && cut < len(all) {
		b.bytes -= len(all[cut].Text)
		cut++
	}
	b.dropped += cut
	b.lines = all[cut:]
	if cut > 0 {
		b.lines = slices.Clone(b.lines) // lets the old ones go
	}
}

// Len is how many lines are kept, Dropped how many are not any more.
func (b *LogBook) Len() int { return len(b.lines) }

// Dropped is how many lines gave way to newer ones.
func (b *LogBook) Dropped() int { return b.dropped }

// Select are the lines f lets through.
func (b *LogBook) Select(f LogFilter) []LogLine {
	if len(f.terms) == 0 {
		return b.lines
	}
	var out []LogLine
	for _, l := range b.lines {
		if f.match(l) {
			out = append(out, l)
		}
	}
	return out
}

// LogFilter decides which lines are shown: all of its terms must hold. A word must occur in
// the text; qube: from: and level: compare; /…/ is a regular expression; ! inverts.
type LogFilter struct {
	text  string
	terms []logTerm
}

type logTerm struct {
	match  func(LogLine) bool
	invert bool
}

// levels in order of weight.
var levels = []string{"DEBUG", "INFO", "WARN", "ERROR"}

// ParseLogFilter reads the filter language. A mistake is an error in words for the user.
func ParseLogFilter(text string) (LogFilter, error) {
	f := LogFilter{text: text}
	for rest := strings.TrimLeft(text, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		word, after := nextLogWord(rest)
		rest = after
		t := logTerm{}
		if strings.HasPrefix(word, "!") {
			t.invert, word = true, word[1:]
		}
		if word == "" || word == "/" {
			continue // still being typed
		}
		var err error
		if t.match, err = logMatch(word); err != nil {
			return LogFilter{}, err
		}
		f.terms = append(f.terms, t)
	}
	return f, nil
}

// nextLogWord cuts one term off; inside /…/ spaces belong to it.
func nextLogWord(s string) (word, rest string) {
	start := 0
	if strings.HasPrefix(s, "!") {
		start = 1
	}
	if strings.HasPrefix(s[start:], "/") {
		if end := strings.IndexByte(s[start+1:], '/'); end >= 0 {
			return s[:start+end+2], s[start+end+2:]
		}
		return s, ""
	}
	word, rest, _ = strings.Cut(s, " ")
	return word, rest
}

func logMatch(word string) (func(LogLine) bool, error) {
	if strings.HasPrefix(word, "/") {
		body := strings.TrimSuffix(word[1:], "/")
		re, err := regexp.Compile("(?i)" + body)
		if err != nil {
			return nil, fmt.Errorf("/%s/ is not a regular expression", body)
		}
		return func(l LogLine) bool { return re.MatchString(l.Text) }, nil
	}
	key, value, keyed := strings.Cut(word, ":")
	value = strings.ToLower(value)
	switch {
	case keyed && key == "qube":
		return func(l LogLine) bool { return strings.ToLower(l.Qube) == value || value == "" }, nil
	case keyed && key == "from":
		return func(l LogLine) bool { return strings.HasPrefix(l.Program, value) }, nil
	case keyed && key == "level":
		least := slices.IndexFunc(levels, func(n string) bool { return value != "" && strings.HasPrefix(strings.ToLower(n), value) })
		if least < 0 && value != "" {
			return nil, fmt.Errorf("a level is debug, info, warn or error")
		}
		return func(l LogLine) bool { return least < 0 || slices.Index(levels, l.Level) >= least }, nil
	}
	word = strings.ToLower(word)
	return func(l LogLine) bool { return strings.Contains(strings.ToLower(l.Text), word) }, nil
}

// String is the text the filter was read from.
func (f LogFilter) String() string { return f.text }

// Empty reports whether the filter lets everything through.
func (f LogFilter) Empty() bool { return len(f.terms) == 0 }

func (f LogFilter) match(l LogLine) bool {
	for _, t := range f.terms {
		if t.match(l) == t.invert {
			return false
		}
	}
	return true
}
