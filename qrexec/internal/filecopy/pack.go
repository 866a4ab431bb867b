package filecopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/filecopy/wire"
)

// PackOptions are the sender's choices.
type PackOptions struct {
	IgnoreSymlinks bool
	// Progress hears how many bytes of the stream are written, at every entry and every
	// wire.ProgressStep bytes. An error ends the copy; may be nil.
	Progress func(sent uint64) error
}

// Refused is the receiver's refusal, or its report of a damaged stream.
type Refused struct {
	Code     wire.Code
	LastName []byte // as the receiver sent it: hostile
}

func (r *Refused) Error() string { return r.Code.Error() }

// ErrNoAnswer tells that the receiver closed its channel without an answer.
var ErrNoAnswer = errors.New("the receiver ended without an answer")

// ErrChecksum tells that the receiver read other bytes than were sent.
var ErrChecksum = errors.New("the receiver got other bytes than were sent")

// errAnswered ends the walk when an answer is there before the end.
var errAnswered = errors.New("answered early")

// packer is the state of one stream.
type packer struct {
	out    io.Writer
	o      PackOptions
	buf    []byte
	crc    uint32
	sent   uint64 // written to out
	told   uint64 // sent, when progress was last told
	path   []byte // name of the current entry, as sent
	answer chan answer
	early  *answer
}

type answer struct {
	result wire.Result
	err    error
}

// Pack sends the files named by args: the last component of each is the name sent, with
// all that lies below a directory. Types other than files, directories and links are left
// out. It closes out after the stream and returns when the receiver has answered on
// answers; nil means that everything has arrived. When ctx ends, both are closed.
func Pack(ctx context.Context, out io.WriteCloser, answers io.ReadCloser, args []string, o PackOptions) error {
	p := &packer{out: out, o: o, buf: make([]byte, 0, bufferSize), answer: make(chan answer, 1)}
	go func() {
		// Reading ends with the answer's last byte, at the latest with the channel.
		r, err := readAnswer(answers)
		p.answer <- answer{r, err}
	}()
	stop := context.AfterFunc(ctx, func() { out.Close(); answers.Close() })
	defer stop()
	err := p.all(ctx, args)
	closeErr := out.Close()
	if p.early == nil {
		a := <-p.answer
		p.early = &a
	}
	switch a := *p.early; {
	case ctx.Err() != nil:
		return ctx.Err()
	case a.err == nil && a.result.Code != wire.OK:
		return &Refused{a.result.Code.Normal(), a.result.LastName} // says more than a broken pipe
	case err != nil && !errors.Is(err, errAnswered):
		return err
	case a.err != nil:
		return a.err
	case err != nil:
		return fmt.Errorf("sending: %w", errAnswered)
	case closeErr != nil:
		return fmt.Errorf("sending: %w", closeErr)
	case a.result.CRC != p.crc:
		return ErrChecksum
	}
	return nil
}

// readAnswer reads one answer.
func readAnswer(r io.Reader) (wire.Result, error) {
	b, err := io.ReadAll(io.LimitReader(r, wire.ResultSize+4+wire.MaxNameField))
	if err != nil {
		return wire.Result{}, fmt.Errorf("reading the answer: %w", err)
	}
	if len(b) < wire.ResultSize {
		return wire.Result{}, ErrNoAnswer
	}
	return wire.ParseResult(b)
}

func (p *packer) all(ctx context.Context, args []string) error {
	for _, arg := range args {
		dir, base, err := splitArgument(arg)
		if err != nil {
			return err
		}
		fd, err := openat(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %q: %w", dir, err)
		}
		p.path = p.path[:0]
		err = p.argument(ctx, fd, base)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	if err := p.bytes(wire.Header{}.Append(nil)); err != nil {
		return err
	}
	if err := p.flush(); err != nil {
		return err
	}
	return p.tell()
}

// splitArgument gives where to look and the name to send.
func splitArgument(arg string) (dir, base string, err error) {
	if arg == "" {
		return "", "", errors.New("sending: empty file name")
	}
	for len(arg) > 1 && arg[len(arg)-1] == '/' {
		arg = arg[:len(arg)-1]
	}
	dir, base = filepath.Split(arg)
	if base == "." || base == ".." || base == "" {
		abs, err := filepath.Abs(arg)
		if err != nil {
			return "", "", fmt.Errorf("sending %q: %w", arg, err)
		}
		if dir, base = filepath.Split(abs); base == "" {
			return "", "", fmt.Errorf("sending %q: it has no name", arg)
		}
	}
	if dir == "" {
		dir = "."
	}
	return dir, base, nil
}

// argument sends what base in the directory at is.
func (p *packer) argument(ctx context.Context, at int, base string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(at, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("sending %q: %w", base, err)
	}
	kind := fs.ModeIrregular
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind = 0
	case unix.S_IFDIR:
		kind = fs.ModeDir
	case unix.S_IFLNK:
		kind = fs.ModeSymlink
	}
	return p.entry(ctx, at, base, kind)
}

// entry sends base in the directory at, which was of the given kind a moment ago.
func (p *packer) entry(ctx context.Context, at int, base string, kind fs.FileMode) error {
	before := len(p.path)
	if before > 0 {
		p.path = append(p.path, '/')
	}
	p.path = append(p.path, base...)
	defer func() { p.path = p.path[:before] }()
	if err := p.poll(ctx); err != nil {
		return err
	}
	switch {
	case kind.IsRegular():
		return p.file(ctx, at, base)
	case kind.IsDir():
		return p.dir(ctx, at, base)
	case kind == fs.ModeSymlink && !p.o.IgnoreSymlinks:
		return p.link(at, base)
	}
	return nil
}

func (p *packer) link(at int, base string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(at, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return p.failed(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return p.failed(errors.New("it is no longer a link"))
	}
	target, err := readlink(at, base)
	if err != nil {
		return p.failed(err)
	}
	if err := p.head(&st, uint64(len(target))); err != nil {
		return err
	}
	return p.bytes(target)
}

func (p *packer) failed(err error) error { return fmt.Errorf("sending %q: %w", p.path, err) }

// file sends a regular file, whose size counts as it is when it is opened: what is
// appended later is not sent, and a file that shrinks ends the copy.
func (p *packer) file(ctx context.Context, at int, base string) error {
	fd, err := openat(at, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.failed(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.failed(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return p.failed(errors.New("it is no longer a regular file"))
	}
	if err := p.head(&st, uint64(st.Size)); err != nil {
		return err
	}
	for left := st.Size; left > 0; {
		if len(p.buf) == cap(p.buf) {
			if err := p.flush(); err != nil {
				return err
			}
			if p.sent-p.told >= wire.ProgressStep {
				if err := p.poll(ctx); err != nil {
					return err
				}
			}
		}
		room := p.buf[len(p.buf):cap(p.buf)]
		n, err := unix.Read(fd, room[:min(int64(len(room)), left)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return p.failed(err)
		}
		if n == 0 {
			return p.failed(errors.New("it became shorter while it was sent"))
		}
		p.buf = p.buf[:len(p.buf)+n]
		left -= int64(n)
	}
	return nil
}

// dir sends a directory before and after what it holds, both times as it was before.
func (p *packer) dir(ctx context.Context, at int, base string) error {
	fd, err := openat(at, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.failed(err)
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return p.failed(err)
	}
	if err := p.head(&st, 0); err != nil {
		return err
	}
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if err := p.entry(ctx, fd, e.Name(), e.Type()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return p.head(&st, 0)
		}
		if err != nil {
			return p.failed(err)
		}
	}
}

func readlink(at int, base string) ([]byte, error) {
	b := make([]byte, wire.MaxTarget+1)
	n, err := unix.Readlinkat(at, base, b)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}

// head appends the head of the current entry and its name.
func (p *packer) head(st *unix.Stat_t, size uint64) error {
	h := wire.Header{
		NameLen: uint32(len(p.path) + 1), Mode: st.Mode, FileLen: size,
		Atime: uint32(st.Atim.Sec), AtimeNsec: uint32(st.Atim.Nsec), Mtime: uint32(st.Mtim.Sec), MtimeNsec: uint32(st.Mtim.Nsec),
	}
	if err := h.CheckName(); err != nil {
		return p.failed(err)
	}
	var b [wire.HeaderSize]byte
	if err := p.bytes(h.Append(b[:0])); err != nil {
		return err
	}
	if err := p.bytes(p.path); err != nil {
		return err
	}
	return p.bytes([]byte{0})
}

// bytes appends b to the stream.
func (p *packer) bytes(b []byte) error {
	for {
		n := min(cap(p.buf)-len(p.buf), len(b))
		p.buf = append(p.buf, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

func (p *packer) flush() error {
	p.crc = crc32.Update(p.crc, crc32.IEEETable, p.buf)
	n, err := p.out.Write(p.buf)
	p.sent += uint64(n)
	p.buf = p.buf[:0]
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// poll tells the progress and looks for an early answer.
func (p *packer) poll(ctx context.Context) error {
	if err := p.tell(); err != nil {
		return err
	}
	select {
	case a := <-p.answer:
		p.early = &a
		return errAnswered
	default:
		return ctx.Err()
	}
}

// tell reports the progress when there is any.
func (p *packer) tell() error {
	if p.sent == p.told {
		return nil
	}
	p.told = p.sent
	if p.o.Progress == nil {
		return nil
	}
	if err := p.o.Progress(p.sent); err != nil {
		return fmt.Errorf("telling the progress: %w", err)
	}
	return nil
}

// Name is LastName for a terminal: ASCII, without quotes.
func (r *Refused) Name() string {
	return string(bytes.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' {
			return '_'
		}
		return c
	}, r.LastName))
}
