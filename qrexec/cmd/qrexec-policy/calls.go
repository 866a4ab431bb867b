package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"qubist/qrexec/policy"
)

// Limits of a record of calls.
const (
	maxCallLine = 1 << 16 // bytes
	maxCalls    = 1_000_000
)

// readCalls reads recorded calls: lines of the policy daemon's log, or SOURCE TARGET
// SERVICE[+ARG] separated by blanks. Other lines of the log are passed over.
func readCalls(file string) ([]policy.Request, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading recorded calls: %w", err)
	}
	defer f.Close()
	var calls []policy.Request
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxCallLine)
	for n := 1; s.Scan(); n++ {
		r, ok, err := parseCall(s.Text())
		if err != nil {
			return nil, fmt.Errorf("reading recorded calls: %s:%d: %w", file, n, err)
		}
		if ok {
			calls = append(calls, r)
		}
		if len(calls) > maxCalls {
			return nil, fmt.Errorf("reading recorded calls: more than %d", maxCalls)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading recorded calls: %w", err)
	}
	return calls, nil
}

// parseCall reads one line; ok is false when it is about something else.
func parseCall(line string) (r policy.Request, ok bool, err error) {
	if strings.HasPrefix(line, "time=") {
		kv := logFields(line)
		if kv["msg"] != "allowed" && kv["msg"] != "denied" || kv["service"] == "" {
			return r, false, nil
		}
		r = policy.Request{Source: kv["source"], Target: kv["target"], RequestedSource: kv["for"]}
		r.Service, r.Argument = policy.SplitService(kv["service"])
		return r, true, nil
	}
	words := strings.Fields(line)
	if len(words) == 0 || words[0][0] == '#' {
		return r, false, nil
	}
	if len(words) != 3 {
		return r, false, fmt.Errorf("%d words, want SOURCE TARGET SERVICE", len(words))
	}
	r = policy.Request{Source: words[0], Target: words[1]}
	r.Service, r.Argument = policy.SplitService(words[2])
	return r, true, nil
}

// logFields splits a line of log/slog's text format.
func logFields(line string) map[string]string {
	kv := map[string]string{}
	for line != "" {
		key, rest, ok := strings.Cut(strings.TrimLeft(line, " "), "=")
		if !ok {
			break
		}
		value := rest
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			line = rest[len(quoted):]
			value, _ = strconv.Unquote(quoted)
		} else {
			value, line, _ = strings.Cut(rest, " ")
		}
		kv[key] = value
	}
	return kv
}
