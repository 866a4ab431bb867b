package xconn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Locate finds the display to use: $DISPLAY and $XAUTHORITY or, without $DISPLAY, what the
// instance's display file says (line 1 the display, line 2 the authority or empty).
func Locate(getenv func(string) string, displayFile string) (display, authority string, err error) {
	if display = getenv("DISPLAY"); display != "" {
		if authority = getenv("XAUTHORITY"); authority == "" && getenv("HOME") != "" {
			authority = getenv("HOME") + "/.Xauthority"
		}
		return display, authority, nil
	}
	b, err := os.ReadFile(displayFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("no display: DISPLAY is not set and there is no %s", displayFile)
	}
	if err != nil {
		return "", "", fmt.Errorf("finding the display: %w", err)
	}
	display, rest, _ := strings.Cut(string(b), "\n")
	authority, _, _ = strings.Cut(rest, "\n")
	return strings.TrimSpace(display), strings.TrimSpace(authority), nil
}
