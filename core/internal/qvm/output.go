package qvm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode/utf16"

	"qubist/core/safetext"
)

// maxMessage bounds a message or a cell, in terminal cells.
const maxMessage = 2000

// show writes an answer: as JSON when that was asked for, else by text.
func (t *tool) show(v any, text func()) error {
	if !t.has("json") {
		text()
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	_, err := t.Stdout.Write(asciiJSON(b.Bytes()))
	return err
}

// asciiJSON escapes everything but ASCII, so that no text of a qube can command a terminal
// and none is lost.
func asciiJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// say writes one line of output, or a JSON string.
func (t *tool) say(s string) {
	_ = t.show(s, func() { fmt.Fprintln(t.Stdout, safetext.Line(s, maxMessage)) })
}

// lines writes a list, one in a line.
func (t *tool) lines(list []string) error {
	if list == nil {
		list = []string{}
	}
	return t.show(list, func() {
		for _, s := range list {
			fmt.Fprintln(t.Stdout, safetext.Line(s, maxMessage))
		}
	})
}

// table writes rows below a head, columns padded with two spaces between; as JSON, objects
// whose keys are the head's words. A nil head is not shown, keys names the columns then.
func (t *tool) table(head []string, rows [][]string, keys ...string) error {
	if keys == nil {
		keys = head
	}
	objects := make([]map[string]string, 0, len(rows))
	for _, r := range rows {
		o := map[string]string{}
		for i, c := range r {
			o[jsonKey(keys[i])] = c
		}
		objects = append(objects, o)
	}
	return t.show(objects, func() {
		if head != nil {
			rows = append([][]string{head}, rows...)
		}
		t.pad(rows)
	})
}

// jsonKey makes "PORT(S)" ports and "PRIV-CURR" priv_curr.
func jsonKey(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '(' || r == ')':
			return -1
		case r == '-' || r == ' ' || r == ':':
			return '_'
		}
		return r
	}, strings.ToLower(s))
}

// pairs writes keys and values in two columns; as JSON, one object.
func (t *tool) pairs(rows [][]string) error {
	o := map[string]string{}
	for _, r := range rows {
		o[r[0]] = r[1]
	}
	return t.show(o, func() { t.pad(rows) })
}

// pad writes the text of a table.
func (t *tool) pad(rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			r[i] = cleanCell(c)
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], safetext.Width(r[i]))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-safetext.Width(c)+2))
			}
		}
		fmt.Fprintln(t.Stdout, strings.TrimRight(b.String(), " "))
	}
}

// branch stands before a name in a tree; it is drawn by us and so is left alone.
const branch = "└─"

func cleanCell(s string) string {
	before, name, ok := strings.Cut(s, branch)
	if !ok || strings.Trim(before, " ") != "" {
		return safetext.Line(s, maxMessage)
	}
	return before + branch + safetext.Line(name, maxMessage)
}

// confirm asks before something is lost; force answers.
func (t *tool) confirm(question string) error {
	if t.has("force") {
		return nil
	}
	fmt.Fprintf(t.Stdout, "%s\nAre you sure? [y/N] ", safetext.Line(question, maxMessage))
	line, _ := bufio.NewReader(t.Stdin).ReadString('\n')
	if strings.TrimSpace(strings.ToLower(line)) != "y" {
		return exitStatus(exitError)
	}
	return nil
}

// terminal reports whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
