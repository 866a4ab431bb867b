package filecopy

import (
	"errors"
	"hash/crc32"
	"io"

	"qubist/qrexec/internal/filecopy/wire"
)

// bufferSize is how much is read or written at once, in bytes.
const bufferSize = 256 << 10

// reader is a buffered reader that keeps the checksum of what was taken from it.
type reader struct {
	in         io.Reader
	buf        []byte
	pos, end   int
	summed     int // buf[:summed] is in crc
	crc        uint32
	err        error        // of in, sticky
	before     func() error // called before the buffer changes; its error ends the input
	emptyReads int
}

func newReader(in io.Reader) *reader { return &reader{in: in, buf: make([]byte, bufferSize)} }

// sum is the checksum of all bytes taken so far.
func (r *reader) sum() uint32 {
	r.crc = crc32.Update(r.crc, crc32.IEEETable, r.buf[r.summed:r.pos])
	r.summed = r.pos
	return r.crc
}

// fill reads more behind what is buffered. It returns nil when at least a byte came.
func (r *reader) fill() error {
	if r.err != nil {
		return r.err
	}
	if r.before != nil {
		if err := r.before(); err != nil {
			r.err = err
			return err
		}
	}
	r.sum()
	copy(r.buf, r.buf[r.pos:r.end])
	r.end -= r.pos
	r.pos, r.summed = 0, 0
	for {
		n, err := r.in.Read(r.buf[r.end:])
		r.end += n
		if err != nil {
			r.err = err
		}
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if r.emptyReads++; r.emptyReads > 100 {
			r.err = io.ErrNoProgress
			return r.err
		}
	}
}

// has reports whether n more bytes can be taken without reading.
func (r *reader) has(n uint64) bool { return uint64(r.end-r.pos) >= n }

// chunk takes up to most bytes, at least one. They are valid until the next call.
func (r *reader) chunk(most uint64) ([]byte, error) {
	if r.pos == r.end {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	n := int(min(uint64(r.end-r.pos), most))
	b := r.buf[r.pos : r.pos+n]
	r.pos += n
	return b, nil
}

// take takes exactly n ≤ wire.MaxNameField bytes, which are valid until the next call. On
// an error nothing counts as taken.
func (r *reader) take(n int) ([]byte, error) {
	for r.end-r.pos < n {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	b := r.buf[r.pos : r.pos+n]
	r.pos += n
	return b, nil
}

// inputCode is the code of a failure to read: the end of the input gives atEnd.
func inputCode(err error, atEnd wire.Code) wire.Code {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return atEnd
	}
	return codeOf(err)
}
