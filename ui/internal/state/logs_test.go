package state

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLogBookIsBoundedAndOrdered(t *testing.T) {
	var b LogBook
	at := func(i int) time.Time { return time.Unix(int64(i), 0) }
	for i := range 3 * logLines / 100 {
		var lines []LogLine
		for k := range 100 {
			lines = append(lines, LogLine{At: at(i*100 + k), Text: fmt.Sprint(i*100 + k)})
		}
		b.Add(lines)
	}
	if b.Len() != logLines || b.Dropped() != 2*logLines {
		t.Errorf("%d kept, %d dropped", b.Len(), b.Dropped())
	}
	b.Add([]LogLine{{At: at(3*logLines - 5), Text: "late"}})
	all := b.Select(LogFilter{})
	for i := range all[1:] {
		if all[i].At.After(all[i+1].At) {
			t.Fatalf("line %d is out of order", i)
		}
	}
	for range 3 {
		var lines []LogLine
		for range 1000 {
			lines = append(lines, LogLine{At: at(4 * logLines), Text: strings.Repeat("x", 5000)})
		}
		b.Add(lines)
	}
	if b.bytes > logBytes {
		t.Errorf("%d bytes kept", b.bytes)
	}
}

func TestLogFilter(t *testing.T) {
	lines := []LogLine{
		{Program: "qubesd", Level: "INFO", Text: "started vm=work"}, {Program: "qubes-guid", Qube: "work", Level: "ERROR", Text: "lost the X server"},
		{Program: "console", Qube: "vault", Text: "Kernel panic - not syncing"}, {Program: "qubesd", Level: "WARN", Text: "slow start"},
	}
	for text, want := range map[string]string{
		"": "0123", "qube:work": "1", "from:qubes": "013", "level:warn": "13", "level:e": "1", "start": "03", "START !slow": "0", "/kernel p.nic/": "2",
		"qube:vault level:info": "", "!qube:work from:qubes": "03", "/": "0123", "level:": "0123",
	} {
		f, err := ParseLogFilter(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := ""
		for i, l := range lines {
			if f.match(l) {
				got += fmt.Sprint(i)
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for _, bad := range []string{"level:x", "/(/"} {
		if _, err := ParseLogFilter(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
