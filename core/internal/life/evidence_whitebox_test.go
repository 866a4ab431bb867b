package life

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLastWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "guest.log")
	if got := lastWords(file); got != "Its console said nothing" {
		t.Errorf("without a log: %q", got)
	}
	for in, want := range map[string]string{
		"\n\r\n":                      "Its console said nothing",
		"one\r\ntwo\r\n\r\nthree\r\n": "Its console ends with: two / three",
		"a\n[ 0.1] Kernel panic - not syncing: x\ntrace\n": "Its console says: [ 0.1] Kernel panic - not syncing: x",
		"\x1b[31mred\x1b[0m\n":                             "Its console ends with: _[31mred_[0m",
		strings.Repeat("x", 1<<20) + "\nend\n":             "",
	} {
		if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		got := lastWords(file)
		if want == "" && len(got) > consoleShown+40 || want != "" && got != want {
			t.Errorf("%.40q: %q", in, got)
		}
	}
}
