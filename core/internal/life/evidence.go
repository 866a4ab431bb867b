package life

import (
	"io"
	"os"
	"strings"

	"qubist/core/safetext"
)

// Bounds of what is quoted of a guest's console, in bytes read and characters shown.
const (
	consoleTail  = 16 << 10
	consoleShown = 200
)

// lastWords is what a guest that did not answer said last on its console: the kernel's
// panic if there was one, else its last lines. The text is the guest's: it is shown, never
// acted upon.
func lastWords(consoleLog string) string {
	lines := readTail(consoleLog)
	if len(lines) == 0 {
		return "Its console said nothing"
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.Contains(lines[i], "Kernel panic") {
			return "Its console says: " + safetext.Name(lines[i], consoleShown)
		}
	}
	return "Its console ends with: " + safetext.Name(strings.Join(lines[max(0, len(lines)-2):], " / "), consoleShown)
}

// readTail gives the lines at the end of a file that are not blank.
func readTail(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > consoleTail {
		if _, err := f.Seek(-consoleTail, io.SeekEnd); err != nil {
			return nil
		}
	}
	b, _ := io.ReadAll(io.LimitReader(f, consoleTail)) // what could be read is what we have
	var lines []string
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}
