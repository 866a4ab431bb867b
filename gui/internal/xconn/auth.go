package xconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

const (
	cookieName = "MIT-MAGIC-COOKIE-1"
	cookieSize = 16
	// maxAuthority bounds the Xauthority file in bytes.
	maxAuthority = 1 << 20

	familyLocal = 256
	familyWild  = 65535
)

// parseDisplay splits a local display name into its number and screen.
func parseDisplay(display string) (number, screen int, err error) {
	host, rest, ok := strings.Cut(display, ":")
	if !ok || host != "" && host != "unix" {
		return 0, 0, fmt.Errorf("display %q is not a local one (\":N\")", display)
	}
	num, scr, dotted := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(num, 10, 16)
	if err == nil && dotted {
		var s uint64
		s, err = strconv.ParseUint(scr, 10, 8)
		screen = int(s)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("display %q is not a local one (\":N\")", display)
	}
	return int(n), screen, nil
}

// readCookie finds the cookie for a local display; nil when there is none.
func readCookie(path string, number int) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the x authority: %w", err)
	}
	defer f.Close()
	b := make([]byte, maxAuthority)
	n := 0
	for n < len(b) {
		m, err := f.Read(b[n:])
		n += m
		if err != nil {
			break // the end, or what could be read is all there is
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the x authority: %w", err)
	}
	return findCookie(b[:n], host, strconv.Itoa(number)), nil
}

// findCookie walks the entries {u16 family, address, display, name, data}, big endian,
// strings with a u16 length. A damaged rest is ignored.
func findCookie(b []byte, host, number string) []byte {
	for len(b) >= 2 {
		family := binary.BigEndian.Uint16(b)
		b = b[2:]
		var fields [4]string
		for i := range fields {
			if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
				return nil
			}
			n := int(binary.BigEndian.Uint16(b))
			fields[i], b = string(b[2:2+n]), b[2+n:]
		}
		here := family == familyWild || family == familyLocal && fields[0] == host
		if here && (fields[1] == "" || fields[1] == number) && fields[2] == cookieName && len(fields[3]) == cookieSize {
			return []byte(fields[3])
		}
	}
	return nil
}

// setupRequest is the first request of a little-endian X11 client.
func setupRequest(cookie []byte) []byte {
	name := ""
	if cookie != nil {
		name = cookieName
	}
	b := []byte{'l', 0, 11, 0, 0, 0, byte(len(name)), 0, byte(len(cookie)), 0, 0, 0}
	for _, s := range []string{name, string(cookie)} {
		b = append(b, s...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return b
}
