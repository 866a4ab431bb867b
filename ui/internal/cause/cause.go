// Package cause guesses why a qube did not start, from what qubesd said and from the last
// lines of the guest's console. It is a table of signs, most telling first; a sign that is
// not in the table gives no guess rather than a wrong one. All text it reads has been
// cleaned; all text it gives is its own.
package cause

import "strings"

// Guess is a likely cause with the line that tells it.
type Guess struct {
	ID       string // names the row of the table
	Likely   string // the cause, a sentence
	Next     string // what to do, a sentence
	Evidence string // the line it was seen in
}

// sign is a row: any of the words, in small letters, in one line.
type sign struct {
	id           string
	words        []string
	likely, next string
}

// Of guesses from what qubesd said about the named qube and what its console printed during
// the start, the newest line last. The console is believed first: it tells how the guest
// ended, qubesd only sees that it did. heard is whether the console could be read at all; if
// not, qubesd's words are searched for a quotation of it.
func Of(name, said string, console []string, heard bool) (Guess, bool) {
	if !heard {
		console = []string{said}
	}
	for _, s := range onConsole {
		for i := len(console) - 1; i >= 0; i-- {
			if s.in(console[i], name) {
				return s.guess(console[i]), true
			}
		}
	}
	for _, s := range bySaid {
		if s.in(said, name) {
			return s.guess(said), true
		}
	}
	return Guess{}, false
}

// in reports whether the sign is in line. The qube's own name is no sign of anything.
func (s sign) in(line, name string) bool {
	line = without(strings.ToLower(line), strings.ToLower(name))
	for _, w := range s.words {
		if inOrder(line, strings.Split(w, "*")) {
			return true
		}
	}
	return false
}

// without is line with name, as a word of its own, left out.
func without(line, name string) string {
	if name == "" {
		return line
	}
	inName := func(at int) bool {
		return at >= 0 && at < len(line) && (line[at] >= 'a' && line[at] <= 'z' || line[at] >= '0' && line[at] <= '9' || strings.IndexByte("_.-", line[at]) >= 0)
	}
	var b strings.Builder
	for i := 0; i < len(line); {
		if end := i + len(name); strings.HasPrefix(line[i:], name) && !inName(i-1) && (!inName(end) || line[end] == '.') {
			i = end
			continue
		}
		b.WriteByte(line[i])
		i++
	}
	return b.String()
}

// inOrder reports whether the parts occur in line one after the other.
func inOrder(line string, parts []string) bool {
	for _, part := range parts {
		i := strings.Index(line, part)
		if i < 0 {
			return false
		}
		line = line[i+len(part):]
	}
	return true
}

func (s sign) guess(line string) Guess {
	return Guess{ID: s.id, Likely: s.likely, Next: s.next, Evidence: strings.TrimSpace(line)}
}
