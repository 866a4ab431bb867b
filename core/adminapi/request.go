package adminapi

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Request is one call. Method, Arg, Src and Dest are ASCII; nothing else was checked: names
// may be names, "uuid:…" forms or nonsense.
type Request struct {
	Method  string
	Arg     string
	Src     string
	Dest    string
	Payload []byte
}

// ParseRequest splits a whole request (everything up to the client's end of file). Payload
// aliases b.
func ParseRequest(b []byte) (Request, error) {
	if len(b) > MaxRequest {
		return Request{}, fmt.Errorf("request of %d bytes: %w", len(b), ErrTooLong)
	}
	head, payload, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return Request{}, fmt.Errorf("no NUL after the header: %w", ErrFraming)
	}
	f := strings.SplitN(string(head), " ", 4)
	if len(f) != 4 {
		return Request{}, fmt.Errorf("header has %d fields, want 4: %w", len(f), ErrFraming)
	}
	r := Request{Src: f[1], Dest: f[3], Payload: payload}
	r.Method, r.Arg, _ = strings.Cut(f[0], "+")
	switch {
	case f[2] == "keyword" && f[3] == "adminvm":
		r.Dest = "dom0"
	case f[2] != "name":
		return Request{}, fmt.Errorf("destination type %q: %w", f[2], ErrFraming)
	}
	if r.Method == "" || r.Src == "" || r.Dest == "" {
		return Request{}, fmt.Errorf("empty header field: %w", ErrFraming)
	}
	if !ascii(string(head)) {
		return Request{}, fmt.Errorf("header is not ASCII: %w", ErrFraming)
	}
	return r, nil
}

// Append writes the request in the form the stock client uses: always with a '+'.
func (r Request) Append(dst []byte) ([]byte, error) {
	for _, s := range []string{r.Method, r.Arg, r.Src} {
		if strings.ContainsAny(s, " \x00") || !ascii(s) {
			return nil, fmt.Errorf("encoding %q in a request header: %w", s, ErrFraming)
		}
	}
	if r.Method == "" || strings.Contains(r.Method, "+") || r.Src == "" || r.Dest == "" || !field(r.Dest) || !ascii(r.Dest) {
		return nil, fmt.Errorf("encoding request %q to %q: %w", r.Method, r.Dest, ErrFraming)
	}
	start := len(dst)
	dst = append(dst, r.Method...)
	dst = append(dst, '+')
	dst = append(dst, r.Arg...)
	dst = append(dst, ' ')
	dst = append(dst, r.Src...)
	dst = append(dst, " name "...)
	dst = append(dst, r.Dest...)
	dst = append(dst, 0)
	dst = append(dst, r.Payload...)
	if n := len(dst) - start; n > MaxRequest {
		return nil, fmt.Errorf("request of %d bytes: %w", n, ErrTooLong)
	}
	return dst, nil
}

// ReadRequest reads r to its end and parses it. It gives up one byte after MaxRequest.
func ReadRequest(r io.Reader) (Request, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxRequest+1))
	if err != nil {
		return Request{}, fmt.Errorf("reading request: %w", err)
	}
	return ParseRequest(b)
}
