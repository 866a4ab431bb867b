// Package wire is the format of a file copy (spec filecopy.md §1–§5): the stream of entries
// from the sender and the receiver's one answer, and the rules for names and links in it.
// It is pure: bytes in, checked values or a Code out. It opens no files; what the entries
// do to a file system is the unpacker's work.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Limits and sizes of the format, in bytes.
const (
	HeaderSize    = 32
	ResultSize    = 16 // without the last name
	MaxName       = 16383
	MaxTarget     = 16383
	MaxNameField  = 16384           // the longest last name of an answer that is read
	MaxFileLen    = 1<<63 - 1       // a longer file exceeds every quota
	MaxNanosecond = 999_999_999     // of a time
	ProgressStep  = 15_000_000      // bytes between two looks at the answer
	typeMask      = uint32(0170000) // of Header.Mode
)

// Code is an answer's code: 0, a Linux error number, or LegalEOF.
type Code uint32

// The codes that this format itself gives. An unpacker may answer any other Linux error
// number.
const (
	OK           Code = 0
	EIO          Code = 5
	EINVAL       Code = 22
	ENAMETOOLONG Code = 36
	ENOLINK      Code = 67
	EILSEQ       Code = 84
	EREMOTEIO    Code = 121
	EDQUOT       Code = 122
	LegalEOF     Code = 31415926 // the input ended inside an entry
)

// NotADirectory and its neighbours are codes the original's answers show for paths.
const (
	NotFound      Code = 2
	Exists        Code = 17
	NotADirectory Code = 20
)

// negatedEILSEQ is what the original answers for a bad name of a directory.
const negatedEILSEQ Code = 0xFFFFFFAC

var codeText = map[Code]string{
	OK: "success", NotFound: "a folder does not exist there", EIO: "input or output error", Exists: "it exists there already",
	NotADirectory: "a part of its path is not a folder", EINVAL: "not a file, folder or link",
	ENAMETOOLONG: "the name is too long", ENOLINK: "the link leaves the copied folder", EILSEQ: "the name has characters that are refused",
	28: "no space left there", 13: "permission denied there", EREMOTEIO: "the copy ended early", EDQUOT: "the quota is exceeded",
	LegalEOF: "the copy ended inside a file",
}

// Error is the code in words.
func (c Code) Error() string {
	if t, ok := codeText[c]; ok {
		return t
	}
	return fmt.Sprintf("error %d", uint32(c))
}

// Exit is the exit status of an unpacker that answered c.
func (c Code) Exit() int { return int(c & 0xff) }

// Normal is c with the original's negated EILSEQ set right.
func (c Code) Normal() Code {
	if c == negatedEILSEQ {
		return EILSEQ
	}
	return c
}

// Kind is what an entry is.
type Kind uint8

// The kinds of an entry; every other type of file is KindOther, which is refused.
const (
	KindOther Kind = iota
	KindFile
	KindDir
	KindLink
)

// Header is the head of one entry. Only sizes are checked by Check; the name follows it.
type Header struct {
	NameLen          uint32 // including the NUL; 0 ends the stream
	Mode             uint32 // st_mode
	FileLen          uint64 // bytes of data; means nothing for a directory
	Atime, AtimeNsec uint32
	Mtime, MtimeNsec uint32
}

// ParseHeader reads a head. Every 32 bytes are one.
func ParseHeader(b *[HeaderSize]byte) Header {
	le := binary.LittleEndian
	return Header{
		NameLen: le.Uint32(b[0:]), Mode: le.Uint32(b[4:]), FileLen: le.Uint64(b[8:]),
		Atime: le.Uint32(b[16:]), AtimeNsec: le.Uint32(b[20:]), Mtime: le.Uint32(b[24:]), MtimeNsec: le.Uint32(b[28:]),
	}
}

// Append adds the head's bytes to b.
func (h Header) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, h.NameLen)
	b = le.AppendUint32(b, h.Mode)
	b = le.AppendUint64(b, h.FileLen)
	for _, v := range [...]uint32{h.Atime, h.AtimeNsec, h.Mtime, h.MtimeNsec} {
		b = le.AppendUint32(b, v)
	}
	return b
}

// End reports whether the head ends the stream.
func (h Header) End() bool { return h.NameLen == 0 }

// CheckName is the check of NameLen that precedes reading the name.
func (h Header) CheckName() error {
	if h.NameLen > MaxName {
		return ENAMETOOLONG
	}
	return nil
}

// Kind is the type in Mode.
func (h Header) Kind() Kind {
	switch h.Mode & typeMask {
	case 0100000:
		return KindFile
	case 0040000:
		return KindDir
	case 0120000:
		return KindLink
	}
	return KindOther
}

// Perm are the permission bits, with set-id and sticky.
func (h Header) Perm() uint32 { return h.Mode & 07777 }

// TimesValid reports whether both nanoseconds are below a second.
func (h Header) TimesValid() bool {
	return h.AtimeNsec <= MaxNanosecond && h.MtimeNsec <= MaxNanosecond
}

// Result is the receiver's answer.
type Result struct {
	Code     Code
	CRC      uint32 // CRC-32 (IEEE) of all bytes that were read
	LastName []byte // nil: the answer has none (an old receiver, or a name too long)
}

// Append adds the answer's bytes to b.
func (r Result) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(r.Code))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(r.CRC))
	if r.LastName == nil {
		return b
	}
	b = le.AppendUint32(b, uint32(len(r.LastName)))
	return append(b, r.LastName...)
}

// ParseResult reads a whole answer, as it was collected up to its end; at most
// ResultSize+4+MaxNameField bytes of it count. A last name that is cut short is kept as far
// as it goes.
func ParseResult(b []byte) (Result, error) {
	if len(b) < ResultSize {
		return Result{}, fmt.Errorf("answer of %d bytes, at least %d needed", len(b), ResultSize)
	}
	le := binary.LittleEndian
	r := Result{Code: Code(le.Uint32(b)), CRC: le.Uint32(b[8:])}
	if le.Uint32(b[4:]) != 0 || le.Uint32(b[12:]) != 0 {
		return Result{}, fmt.Errorf("answer with padding that is not zero")
	}
	if b = b[ResultSize:]; len(b) < 4 {
		return r, nil
	}
	n := min(uint64(le.Uint32(b)), MaxNameField, uint64(len(b)-4))
	r.LastName = append([]byte{}, b[4:4+n]...)
	return r, nil
}
