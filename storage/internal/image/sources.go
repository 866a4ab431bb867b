package image

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// hostSources collects, from the apt configuration below etc, the entries that serve suite
// ("bookworm", "bookworm-updates", "bookworm-security"), in apt's own formats. Empty when
// the host is another distribution: then mmdebstrap's own default mirror is right.
func hostSources(etc, suite string) (list, deb822 string) {
	var lists, stanzas bytes.Buffer
	files, _ := filepath.Glob(filepath.Join(etc, "apt/sources.list.d/*"))
	for _, name := range append([]string{filepath.Join(etc, "apt/sources.list")}, files...) {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		switch filepath.Ext(name) {
		case ".list":
			oneLiners(&lists, b, suite)
		case ".sources":
			deb822Stanzas(&stanzas, b, suite)
		}
	}
	return lists.String(), stanzas.String()
}

// serves reports whether an entry for the suite named got belongs to the release suite.
func serves(got, suite string) bool {
	return got == suite || got == suite+"-updates" || got == suite+"-security"
}

func oneLiners(out *bytes.Buffer, b []byte, suite string) {
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		f := strings.Fields(line)
		if len(f) < 4 || f[0] != "deb" {
			continue
		}
		rest := f[1:]
		if strings.HasPrefix(rest[0], "[") { // options up to the closing bracket
			for len(rest) > 0 && !strings.HasSuffix(rest[0], "]") {
				rest = rest[1:]
			}
			rest = rest[min(1, len(rest)):]
		}
		if len(rest) >= 3 && serves(rest[1], suite) && hasWord(rest[2:], "main") {
			out.WriteString(line + "\n")
		}
	}
}

func deb822Stanzas(out *bytes.Buffer, b []byte, suite string) {
	for stanza := range strings.SplitSeq(string(b), "\n\n") {
		field := map[string][]string{}
		key := ""
		for line := range strings.Lines(stanza) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if k, v, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
				key = strings.ToLower(k)
				field[key] = strings.Fields(v)
			} else if key != "" {
				field[key] = append(field[key], strings.Fields(line)...)
			}
		}
		if e := field["enabled"]; len(e) == 1 && strings.EqualFold(e[0], "no") {
			continue
		}
		ok := len(field["suites"]) > 0 && hasWord(field["types"], "deb") && hasWord(field["components"], "main")
		for _, s := range field["suites"] {
			ok = ok && serves(s, suite)
		}
		if ok {
			out.WriteString(strings.TrimSpace(stanza) + "\n\n")
		}
	}
}

func hasWord(words []string, w string) bool {
	for _, x := range words {
		if x == w {
			return true
		}
	}
	return false
}

// passedOn are the apt settings of the host that a build needs to reach the same mirrors.
var passedOn = []string{"Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::", "Acquire::https::", "Acquire::ForceIPv4", "Acquire::ForceIPv6", "Acquire::Retries"}

// aptOptions filters the output of `apt-config dump`.
func aptOptions(dump string) []string {
	var out []string
	for l := range strings.Lines(dump) {
		l = strings.TrimSpace(l)
		for _, p := range passedOn {
			if strings.HasPrefix(strings.ToLower(l), strings.ToLower(p)) && !strings.HasSuffix(l, `"";`) {
				out = append(out, strings.TrimSuffix(l, ";"))
				break
			}
		}
	}
	return out
}
