// Package filecopy sends files to another qube and receives them (spec filecopy.md): Pack
// walks files and writes the stream, Unpack reads one and makes the files below one
// directory. Streams are hostile in both directions: the receiver never follows a link and
// never shows an unfinished file, the sender believes nothing of the answer but its code.
// Who may send to whom is decided by the policy, and where the bytes come from by the
// programs that use this package.
package filecopy

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/filecopy/wire"
)

// Limits bound what one stream may make; 0 means no limit.
type Limits struct {
	Bytes   uint64 // of files and link targets together
	Entries uint64 // every message counts, a directory twice
}

// Options are the receiver's choices. The zero value is the strictest but for limits.
type Options struct {
	Rules       wire.Rules
	OnlyRegular bool // directories and links are refused
	Limits      Limits
	// WaitForSpace makes each file wait until the file system has room for it and KeepFree
	// bytes more, instead of failing.
	WaitForSpace bool
	KeepFree     uint64
	// Entry hears the name of each entry before it is made; may be nil.
	Entry func(name []byte)
}

// spacePoll is how often a full file system is looked at again.
const spacePoll = time.Second

// Outcome is what came of a stream.
type Outcome struct {
	Result wire.Result
	// Silent tells that no answer may be sent: the original ends without one when a time
	// is malformed.
	Silent bool
}

// ExitSilent is the exit status of an unpacker that sends no answer.
const ExitSilent = 1

// Exit is the unpacker's exit status.
func (o Outcome) Exit() int {
	if o.Silent {
		return ExitSilent
	}
	return o.Result.Code.Exit()
}

// unpacker is the state of one stream.
type unpacker struct {
	in      *reader
	tree    *tree
	o       Options
	name    []byte // of the answer; nil when none is known
	field   [wire.MaxName]byte
	entries uint64
	bytes   uint64
	batch   *batch
}

// failure is an error whose answer names something else than the last entry that was
// read, or has the checksum of an earlier moment.
type failure struct {
	code   wire.Code
	name   []byte
	sum    *uint32 // nil: as it is now
	silent bool
}

func (f *failure) Error() string { return f.code.Error() }

// asFailure is err as one, with no name unless it has its own.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{code: codeOf(err), silent: errors.Is(err, errTimes)}
}

// errTimes ends an unpacker without an answer.
var errTimes = errors.New("malformed time")

// Unpack makes the entries of the stream in below dir and returns the answer to send. The
// files that were complete before an error stay. When ctx ends, the answer is EIO.
func Unpack(ctx context.Context, in io.Reader, dir *Dir, o Options) Outcome {
	t := &tree{Dir: dir}
	u := &unpacker{in: newReader(in), tree: t, o: o, name: []byte{}, batch: &batch{t: t}}
	u.in.before = u.batch.flush
	err := u.run(ctx)
	if earlier := u.batch.flush(); earlier != nil {
		err = earlier
	}
	if syncErr := dir.sync(); err == nil && syncErr != nil {
		err = syncErr
	}
	r := wire.Result{Code: codeOf(err), CRC: u.in.sum(), LastName: u.name}
	var f *failure
	if errors.As(err, &f) {
		r.Code, r.LastName = f.code, f.name
		if f.sum != nil {
			r.CRC = *f.sum
		}
	}
	return Outcome{Result: r, Silent: errors.Is(err, errTimes) || f != nil && f.silent}
}

func (u *unpacker) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := u.in.take(wire.HeaderSize)
		if err != nil {
			return inputCode(err, wire.EREMOTEIO)
		}
		h := wire.ParseHeader((*[wire.HeaderSize]byte)(raw))
		if h.End() {
			return nil
		}
		if u.entries++; u.o.Limits.Entries > 0 && u.entries > u.o.Limits.Entries {
			return wire.EDQUOT
		}
		if err := u.entry(ctx, h); err != nil {
			return err
		}
	}
}

// entry reads the rest of one entry and makes it.
func (u *unpacker) entry(ctx context.Context, h wire.Header) error {
	if err := h.CheckName(); err != nil {
		return &failure{code: wire.ENAMETOOLONG}
	}
	raw, err := u.in.take(int(h.NameLen))
	if err != nil {
		return &failure{code: inputCode(err, wire.LegalEOF)}
	}
	raw = wire.CutNUL(raw)
	u.name = u.field[:copy(u.field[:], raw)]
	if u.o.Entry != nil {
		u.o.Entry(u.name)
	}
	kind := h.Kind()
	if kind == wire.KindFile && h.FileLen <= smallFile && u.in.has(h.FileLen) && u.batch.possible() {
		return u.small(ctx, h, raw)
	}
	if err := u.batch.flush(); err != nil {
		return err
	}
	switch {
	case kind == wire.KindFile:
		return u.file(ctx, h)
	case kind == wire.KindDir && !u.o.OnlyRegular:
		return u.dir(h)
	case kind == wire.KindLink && !u.o.OnlyRegular:
		return u.link(h)
	}
	return wire.EINVAL
}

// admit counts n bytes of data against the limit.
func (u *unpacker) admit(n uint64) error {
	if n > wire.MaxFileLen {
		return wire.EDQUOT
	}
	if limit := u.o.Limits.Bytes; limit > 0 && (n > limit || u.bytes > limit-n) {
		return wire.EDQUOT
	}
	u.bytes += n
	return nil
}

// allow makes the checks that precede making a file.
func (u *unpacker) allow(ctx context.Context, h wire.Header) error {
	if err := u.admit(h.FileLen); err != nil {
		return err
	}
	if err := u.o.Rules.CheckName(u.name); err != nil {
		return err
	}
	return u.waitForSpace(ctx, h.FileLen)
}

// small takes a file whose data has arrived into the batch.
func (u *unpacker) small(ctx context.Context, h wire.Header, name []byte) error {
	if err := u.allow(ctx, h); err != nil {
		return err
	}
	j := job{h: h, name: name, before: u.in.sum()}
	var err error
	if j.data, err = u.in.take(int(h.FileLen)); err != nil {
		return err
	}
	j.after = u.in.sum()
	return u.batch.add(j)
}

func (u *unpacker) file(ctx context.Context, h wire.Header) error {
	if err := u.allow(ctx, h); err != nil {
		return err
	}
	f, err := u.tree.create(u.name)
	if err != nil {
		return err
	}
	defer f.close()
	for left := h.FileLen; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := u.in.chunk(left)
		if err != nil {
			return inputCode(err, wire.LegalEOF)
		}
		if err := f.write(b); err != nil {
			return err
		}
		left -= uint64(len(b))
	}
	return f.publish(h)
}

func (u *unpacker) dir(h wire.Header) error {
	if err := u.o.Rules.CheckName(u.name); err != nil {
		return err
	}
	size, err := u.tree.mkdir(u.name, h)
	u.bytes += size
	return err
}

func (u *unpacker) link(h wire.Header) error {
	if h.FileLen > wire.MaxTarget {
		return wire.ENAMETOOLONG
	}
	if err := u.admit(h.FileLen); err != nil {
		return err
	}
	raw, err := u.in.take(int(h.FileLen))
	if err != nil {
		return inputCode(err, wire.LegalEOF)
	}
	target := append([]byte{}, wire.CutNUL(raw)...)
	if err := u.o.Rules.CheckLink(u.name, target); err != nil {
		return &failure{code: codeOf(err), name: target}
	}
	return u.tree.symlink(u.name, target)
}

// waitForSpace returns when n bytes fit, if that is wanted.
func (u *unpacker) waitForSpace(ctx context.Context, n uint64) error {
	for u.o.WaitForSpace {
		free, err := u.tree.free()
		if err != nil {
			return err
		}
		if free >= u.o.KeepFree && free-u.o.KeepFree >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(spacePoll):
		}
	}
	return nil
}

// codeOf is the answer's code for an error.
func codeOf(err error) wire.Code {
	var code wire.Code
	var errno unix.Errno
	switch {
	case err == nil:
		return wire.OK
	case errors.As(err, &code):
		return code
	case errors.As(err, &errno):
		return wire.Code(errno)
	}
	return wire.EIO
}
