package data

import "io"

// Filter passes text on with every byte replaced by '_' that could steer a terminal: all
// outside 0x20 to 0x7e but TAB, LF, CR, BS and BEL (spec qrexec.md §7).
type Filter struct {
	W   io.Writer
	buf []byte
}

// Write never changes p.
func (f *Filter) Write(p []byte) (int, error) {
	f.buf = append(f.buf[:0], p...)
	for i, c := range f.buf {
		switch {
		case c >= 0x20 && c <= 0x7e:
		case c == '\t', c == '\n', c == '\r', c == '\b', c == '\a':
		default:
			f.buf[i] = '_'
		}
	}
	return f.W.Write(f.buf)
}
