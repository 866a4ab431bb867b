package filecopy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"qubist/qrexec/internal/filecopy"
	"qubist/qrexec/internal/filecopy/wire"
)

// pipe is the channel of one direction.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// transfer packs args and unpacks them into dir, over pipes as between two qubes.
func transfer(t testing.TB, args []string, dir string, po filecopy.PackOptions, o filecopy.Options) (filecopy.Outcome, error) {
	t.Helper()
	dataR, dataW := pipe(t)
	answerR, answerW := pipe(t)
	d, err := filecopy.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	done := make(chan filecopy.Outcome)
	go func() {
		out := filecopy.Unpack(context.Background(), dataR, d, o)
		if !out.Silent {
			answerW.Write(out.Result.Append(nil))
		}
		answerW.Close()
		dataR.Close()
		done <- out
	}()
	err = filecopy.Pack(context.Background(), dataW, answerR, args, po)
	return <-done, err
}

// message is one entry of a stream with its data.
type message struct {
	h    wire.Header
	name string
	data string
}

func parseStream(t *testing.T, b []byte) []message {
	t.Helper()
	var all []message
	for {
		if len(b) < wire.HeaderSize {
			t.Fatalf("stream ends in a head: %x", b)
		}
		h := wire.ParseHeader((*[wire.HeaderSize]byte)(b))
		b = b[wire.HeaderSize:]
		if h.End() {
			if len(b) > 0 {
				t.Fatalf("%d bytes after the end", len(b))
			}
			return all
		}
		n := uint64(0)
		if h.Kind() != wire.KindDir {
			n = h.FileLen
		}
		if uint64(len(b)) < uint64(h.NameLen)+n {
			t.Fatalf("stream ends in an entry")
		}
		all = append(all, message{h, string(b[:h.NameLen-1]), string(b[h.NameLen : uint64(h.NameLen)+n])})
		b = b[uint64(h.NameLen)+n:]
	}
}

// TestCorpusFilecopyPacker packs the recorded trees anew: the same messages with the same
// data, a directory's first message before what it holds and its second after it.
func TestCorpusFilecopyPacker(t *testing.T) {
	cases := corpus(t, "packed.jsonl.gz")
	agreed := 0
	for _, c := range cases {
		want := parseStream(t, b64(t, c.StreamB64))
		dir := t.TempDir()
		build(t, dir, c, want)
		t.Chdir(dir)
		got := packed(t, c.Args)
		if err := ordered(got); err != "" {
			t.Errorf("%s: %s", c.ID, err)
			continue
		}
		text := func(all []message) []string {
			var s []string
			for _, m := range all {
				m.h.Atime, m.h.AtimeNsec = 0, 0 // recorded after the files had been read
				s = append(s, fmt.Sprintf("%+v %q %x", m.h, m.name, sha256.Sum256([]byte(m.data))))
			}
			slices.Sort(s)
			return s
		}
		if g, w := text(got), text(want); !slices.Equal(g, w) {
			t.Errorf("%s:\n got %.2000s\nwant %.2000s", c.ID, g, w)
			continue
		}
		agreed++
	}
	t.Logf("corpus filecopy: %d/%d", agreed, len(cases))
}

// build makes the case's source tree; contents are those in the stream.
func build(t *testing.T, dir string, c corpusCase, stream []message) {
	t.Helper()
	data := map[string]string{}
	for _, m := range stream {
		data[m.name] = m.data
	}
	slices.SortFunc(c.SourceTree, func(a, b entry) int { return strings.Compare(string(b64(t, a.PathB64)), string(b64(t, b.PathB64))) })
	for _, e := range c.SourceTree {
		rel := string(b64(t, e.PathB64))
		file := filepath.Join(dir, rel)
		switch e.Type {
		case "dir":
			check(t, os.Mkdir(file, 0o700))
			t.Cleanup(func() { os.Chmod(file, 0o700) })
		case "link":
			check(t, os.Symlink(string(b64(t, *e.TargetB64)), file))
		case "file":
			name := rel
			for _, a := range c.Args {
				if rest, ok := strings.CutPrefix(rel, path.Dir(a)+"/"); ok {
					name = rest
				}
			}
			check(t, os.WriteFile(file, []byte(data[name]), 0o600))
		}
	}
	for _, e := range slices.Backward(c.SourceTree) {
		file := filepath.Join(dir, string(b64(t, e.PathB64)))
		for _, m := range stream { // the recorder made the links anew before it packed
			if e.Type == "link" && m.name == string(b64(t, e.PathB64)) {
				sec, nsec := int64(m.h.Mtime), int64(m.h.MtimeNsec)
				e.Mtime, e.MtimeNsec = &sec, &nsec
			}
		}
		ts := func(sec, nsec *int64) unix.Timespec {
			if sec == nil {
				return unix.Timespec{Nsec: unix.UTIME_OMIT}
			}
			return unix.Timespec{Sec: *sec, Nsec: *nsec}
		}
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, file, []unix.Timespec{ts(e.Atime, e.AtimeNsec), ts(e.Mtime, e.MtimeNsec)}, unix.AT_SYMLINK_NOFOLLOW))
		if e.Type != "link" {
			var mode uint32
			fmt.Sscanf(e.Mode, "0o%o", &mode)
			check(t, unix.Chmod(file, mode))
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// packed is the stream that args give; the answer is made from it.
func packed(t *testing.T, args []string) []message {
	t.Helper()
	dataR, dataW := pipe(t)
	answerR, answerW := pipe(t)
	var b []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		b, _ = io.ReadAll(dataR)
		answerW.Write(wire.Result{Code: wire.OK, CRC: crcOf(b)}.Append(nil))
		answerW.Close()
	}()
	check(t, filecopy.Pack(context.Background(), dataW, answerR, args, filecopy.PackOptions{}))
	<-done
	return parseStream(t, b)
}

// ordered says what is wrong with the order of messages.
func ordered(all []message) string {
	open := map[string]int{}
	for _, m := range all {
		if parent := path.Dir(m.name); parent != "." && open[parent] != 1 {
			return fmt.Sprintf("%q outside its directory", m.name)
		}
		if m.h.Kind() == wire.KindDir {
			open[m.name]++
		}
	}
	for name, n := range open {
		if n != 2 {
			return fmt.Sprintf("directory %q is sent %d times", name, n)
		}
	}
	return ""
}

// TestTransfer copies a tree and compares.
func TestTransfer(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 80_000)
	check(t, os.MkdirAll(filepath.Join(src, "d/e/f"), 0o755))
	check(t, os.WriteFile(filepath.Join(src, "d/big"), big, 0o640))
	check(t, os.WriteFile(filepath.Join(src, "d/e/empty"), nil, 0o400))
	check(t, os.Symlink("../big", filepath.Join(src, "d/e/l")))
	check(t, unix.Mkfifo(filepath.Join(src, "d/fifo"), 0o600))
	check(t, os.Chmod(filepath.Join(src, "d/e/f"), 0o500))
	t.Cleanup(func() { os.Chmod(filepath.Join(src, "d/e/f"), 0o700); os.Chmod(filepath.Join(dst, "d/e/f"), 0o700) })
	var told []uint64
	out, err := transfer(t, []string{filepath.Join(src, "d") + "/"}, dst,
		filecopy.PackOptions{Progress: func(n uint64) error { told = append(told, n); return nil }}, profiles["vm"])
	if err != nil || out.Result.Code != wire.OK {
		t.Fatalf("%v, %+v", err, out)
	}
	if len(told) == 0 || !slices.IsSorted(told) {
		t.Errorf("progress %v", told)
	}
	check(t, os.Remove(filepath.Join(src, "d/fifo"))) // is not sent
	a, b := listTree(t, src), listTree(t, dst)
	if len(a) != 6 || len(b) != 6 {
		t.Fatalf("%d and %d entries", len(a), len(b))
	}
	for name, e := range a {
		g := b[name]
		if e.SHA256 != g.SHA256 || e.Mode != g.Mode || e.Type == "file" && (*e.Mtime != *g.Mtime || *e.MtimeNsec != *g.MtimeNsec) {
			t.Errorf("%s: %+v, want %+v", name, g, e)
		}
	}
	_, err = transfer(t, []string{filepath.Join(src, "d")}, dst, filecopy.PackOptions{IgnoreSymlinks: true}, profiles["vm"])
	var refused *filecopy.Refused
	if !errors.As(err, &refused) || refused.Code != wire.Exists || !strings.HasPrefix(refused.Name(), "d/") {
		t.Errorf("a second copy gives %v, want a refusal", err)
	}
}

func TestLimits(t *testing.T) {
	src := t.TempDir()
	for _, n := range []string{"a", "b", "c"} {
		check(t, os.WriteFile(filepath.Join(src, n), make([]byte, 100), 0o600))
	}
	args := []string{filepath.Join(src, "a"), filepath.Join(src, "b"), filepath.Join(src, "c")}
	for _, row := range []struct {
		limits filecopy.Limits
		want   wire.Code
		files  int
	}{
		{filecopy.Limits{Bytes: 300, Entries: 3}, wire.OK, 3},
		{filecopy.Limits{Bytes: 299}, wire.EDQUOT, 2},
		{filecopy.Limits{Entries: 2}, wire.EDQUOT, 2},
	} {
		dst := t.TempDir()
		out, _ := transfer(t, args, dst, filecopy.PackOptions{}, filecopy.Options{Limits: row.limits})
		if out.Result.Code != row.want || len(listTree(t, dst)) != row.files {
			t.Errorf("%+v: %v with %d files", row.limits, out.Result.Code, len(listTree(t, dst)))
		}
	}
}

// TestT014bNothingPartial cuts a stream at every byte: a file is there whole or not at all.
func TestT014bNothingPartial(t *testing.T) {
	h := wire.Header{NameLen: 2, Mode: 0100644, FileLen: 40}
	stream := append(h.Append(nil), "a\x00"...)
	stream = append(stream, strings.Repeat("x", 40)...)
	for cut := range len(stream) {
		dst := memory(t)
		d, err := filecopy.OpenDir(dst)
		check(t, err)
		filecopy.Unpack(context.Background(), bytes.NewReader(stream[:cut]), d, filecopy.Options{})
		d.Close()
		if tree := listTree(t, dst); len(tree) != 0 {
			t.Fatalf("cut at %d leaves %v", cut, tree)
		}
	}
}

// TestT014aMovedDirectories: a directory is swapped for a link and back while files arrive
// in it. None may land where the link leads.
func TestT014aMovedDirectories(t *testing.T) {
	base := memory(t)
	in, outside := filepath.Join(base, "in"), filepath.Join(base, "outside")
	for _, d := range []string{in, filepath.Join(in, "d"), outside} {
		check(t, os.Mkdir(d, 0o700))
	}
	check(t, os.Symlink(outside, filepath.Join(in, "link")))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(in, "d"), unix.AT_FDCWD, filepath.Join(in, "link"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	d, err := filecopy.OpenDir(in)
	check(t, err)
	defer d.Close()
	made := 0
	for i := range 5_000 {
		name := fmt.Sprintf("d/f%d\x00", i)
		s := wire.Header{NameLen: uint32(len(name)), Mode: 0100600}.Append(nil)
		s = append(append(s, name...), wire.Header{}.Append(nil)...)
		if out := filecopy.Unpack(context.Background(), bytes.NewReader(s), d, filecopy.Options{}); out.Result.Code == wire.OK {
			made++
		}
	}
	close(stop)
	wg.Wait()
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Fatalf("%d files outside, %v", len(left), err)
	}
	if made == 0 || made == 5_000 {
		t.Errorf("%d of 5000 files were made: the race was not run", made)
	}
}

// TestAnswers: what the sender makes of answers.
func TestAnswers(t *testing.T) {
	src := filepath.Join(t.TempDir(), "f")
	check(t, os.WriteFile(src, []byte("hello"), 0o600))
	for name, row := range map[string]struct {
		answer []byte
		want   error
	}{
		"none":     {nil, filecopy.ErrNoAnswer},
		"short":    {make([]byte, 15), filecopy.ErrNoAnswer},
		"bad sum":  {wire.Result{CRC: 1}.Append(nil), filecopy.ErrChecksum},
		"negative": {wire.Result{Code: 0xFFFFFFAC}.Append(nil), &filecopy.Refused{Code: wire.EILSEQ}},
		"no space": {wire.Result{Code: 28, LastName: []byte("\x1b[2J\"x")}.Append(nil), &filecopy.Refused{Code: 28, LastName: []byte("\x1b[2J\"x")}},
	} {
		dataR, dataW := pipe(t)
		answerR, answerW := pipe(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(io.Discard, dataR)
			answerW.Write(row.answer)
			answerW.Close()
		}()
		err := filecopy.Pack(context.Background(), dataW, answerR, []string{src}, filecopy.PackOptions{})
		<-done
		if err == nil || err.Error() != row.want.Error() {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
		var r *filecopy.Refused
		if errors.As(err, &r) && name == "no space" && r.Name() != "_[2J_x" {
			t.Errorf("the name is shown as %q", r.Name())
		}
	}
}

// FuzzUnpack: whatever arrives, nothing appears outside and the answer is well formed. It
// is the same answer and the same tree whether files come at once, and are made in batches,
// or byte by byte.
func FuzzUnpack(f *testing.F) {
	for _, c := range corpus(f, "malformed.jsonl.gz") {
		if len(c.StreamB64) < 2000 {
			f.Add(b64(f, c.StreamB64), c.Profile == "vm-all-names")
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, all bool) {
		o := filecopy.Options{Rules: wire.Rules{AllNames: all}, Limits: filecopy.Limits{Bytes: 1 << 20, Entries: 100}}
		atOnce, tree := unpackInto(t, bytes.NewReader(stream), o)
		slowly, slowTree := unpackInto(t, iotest.OneByteReader(bytes.NewReader(stream)), o)
		if !bytes.Equal(atOnce.Result.Append(nil), slowly.Result.Append(nil)) || atOnce.Silent != slowly.Silent {
			t.Fatalf("at once %+v, byte by byte %+v", atOnce, slowly)
		}
		if !reflect.DeepEqual(tree, slowTree) {
			t.Fatalf("at once %v, byte by byte %v", tree, slowTree)
		}
		if r, err := wire.ParseResult(atOnce.Result.Append(nil)); err != nil || r.Code != atOnce.Result.Code {
			t.Fatalf("answer %+v: %v", atOnce, err)
		}
	})
}

// unpackInto gives the outcome and what was made: type, permissions, content by name.
func unpackInto(t *testing.T, in io.Reader, o filecopy.Options) (filecopy.Outcome, map[string]string) {
	t.Helper()
	outer := memory(t)
	inner := filepath.Join(outer, "in")
	check(t, os.Mkdir(inner, 0o700))
	d, err := filecopy.OpenDir(inner)
	check(t, err)
	defer d.Close()
	out := filecopy.Unpack(context.Background(), in, d, o)
	if beside, err := os.ReadDir(outer); err != nil || len(beside) != 1 {
		t.Fatalf("wrote outside: %v %v", beside, err)
	}
	made := map[string]string{}
	for name, e := range listTree(t, inner) {
		made[name] = fmt.Sprint(e.Type, e.Mode, e.SHA256)
	}
	return out, made
}
