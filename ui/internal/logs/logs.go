// Package logs reads the log directory of an instance on this machine: what the daemons
// write and what the guests print on their consoles. The content is hostile: it is bounded
// and passes core/safetext before anyone sees it. Only regular files are opened, and
// nothing is written.
package logs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"qubist/core/qube"
	"qubist/core/safetext"
	"qubist/ui/internal/state"
)

const (
	// maxFiles bounds the files followed; the least recently written ones are left out.
	maxFiles = 5000
	// tailBytes is what is read of a file that is met for the first time, firstBytes of all
	// of them together, pollBytes what one poll reads of a file at most.
	tailBytes  = 64 << 10
	firstBytes = 4 << 20
	pollBytes  = 256 << 10
	// maxCells bounds one line.
	maxCells = 1000
	// suffix of the files that are logs; rotated ones end otherwise.
	suffix = ".log"
	// guest is the prefix of the files with a guest's console.
	guest = "guest-"
)

// Console is the program name of what a guest prints on its console.
const Console = "console"

// Reader follows the files of one directory. It is not safe for concurrent use.
type Reader struct {
	dir   string
	files map[string]*file
	began bool
}

// file is one log being followed.
type file struct {
	program, qube string
	id            uint64 // inode: another one is a new file
	offset        int64
	rest          []byte // a line without its end
	at            time.Time
	skipping      bool // in the middle of a line that is too long
	refused       bool // was said to be unreadable
}

// New prepares to read dir.
func New(dir string) *Reader { return &Reader{dir: dir, files: map[string]*file{}} }

// found is a log in the directory.
type found struct {
	name string
	info os.FileInfo
}

// Poll gives the lines that are new since the last call, in the order of their times. The
// first call gives the ends of all logs.
func (r *Reader) Poll(ctx context.Context) ([]state.LogLine, error) {
	list, err := r.list()
	if err != nil {
		return nil, err
	}
	first := !r.began
	r.began = true
	here := make(map[string]*file, len(list))
	var out []state.LogLine
	budget := int64(firstBytes)
	for _, f := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		known := r.files[f.name]
		if known == nil || known.id != inode(f.info) || f.info.Size() < known.offset {
			known = &file{id: inode(f.info)}
			known.program, known.qube = Origin(f.name)
			if tail := min(tailBytes, max(budget, 0)); f.info.Size() > tail {
				known.offset, known.skipping = f.info.Size()-tail, tail > 0
			}
			budget -= min(f.info.Size(), tailBytes)
		}
		here[f.name] = known
		if f.info.Size() > known.offset {
			seen := time.Now()
			if first {
				seen = f.info.ModTime()
			}
			out = append(out, r.read(f, known, seen)...)
		}
	}
	r.files = here
	slices.SortStableFunc(out, func(a, b state.LogLine) int { return a.At.Compare(b.At) })
	return out, nil
}

// list are the logs, newest first.
func (r *Reader) list() ([]found, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the log directory: %w", err)
	}
	var out []found
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil {
			out = append(out, found{e.Name(), info})
		}
	}
	slices.SortFunc(out, func(a, b found) int {
		return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), cmp.Compare(a.name, b.name))
	})
	return out[:min(len(out), maxFiles)], nil
}

// open opens a regular file and nothing else, whatever it has become since it was listed.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, errors.New("it is not a regular file")
	}
	return f, nil
}

// read gives the new whole lines of one file.
func (r *Reader) read(w found, f *file, seen time.Time) []state.LogLine {
	h, err := open(filepath.Join(r.dir, w.name))
	if err != nil {
		if f.refused {
			return nil
		}
		f.refused = true
		return []state.LogLine{{At: seen, Program: f.program, Qube: f.qube, Level: "WARN", Text: safetext.Line("This log cannot be read: "+err.Error(), maxCells)}}
	}
	defer h.Close()
	b := make([]byte, min(w.info.Size()-f.offset, pollBytes))
	n, err := h.ReadAt(b, f.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	f.offset += int64(n)
	return f.lines(b[:n], seen)
}

// lines cuts b, which follows what was read before, into lines.
func (f *file) lines(b []byte, seen time.Time) (out []state.LogLine) {
	b = append(f.rest, b...)
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		line := b[:end]
		b = b[end+1:]
		if f.skipping {
			f.skipping = false
			continue
		}
		if l, ok := f.parse(line, seen); ok {
			out = append(out, l)
		}
	}
	f.rest = bytes.Clone(b)
	if len(f.rest) > pollBytes {
		f.rest, f.skipping = nil, true
	}
	return out
}

// parse reads a line: of a daemon (log/slog's text form), else as it is. A line without a
// time of its own belongs to the one before it, or to when it was seen.
func (f *file) parse(line []byte, seen time.Time) (state.LogLine, bool) {
	l := state.LogLine{Program: f.program, Qube: f.qube}
	text := string(line[:min(len(line), 4*maxCells)])
	if f.program != Console {
		if rest, ok := strings.CutPrefix(text, "time="); ok {
			stamp, after, _ := strings.Cut(rest, " ")
			if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
				l.At, text, f.at = at, after, at
			}
		}
		if rest, ok := strings.CutPrefix(text, "level="); ok {
			level, after, _ := strings.Cut(rest, " ")
			if slices.Contains([]string{"DEBUG", "INFO", "WARN", "ERROR"}, level) {
				l.Level, text = level, strings.TrimPrefix(after, "msg=")
			}
		}
	} else {
		text = consoleText(text)
	}
	if l.At.IsZero() {
		l.At = seen
		if f.program != Console && !f.at.IsZero() {
			l.At = f.at
		}
	}
	l.Text = strings.TrimRight(safetext.Line(text, maxCells), " ")
	return l, strings.Trim(l.Text, "_ ") != ""
}

// consoleText removes what terminals would not show: escape sequences, and what a carriage
// return overwrites.
func consoleText(s string) string {
	s = strings.TrimRight(s, "\r")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 0x1b {
			b.WriteByte(s[i])
			continue
		}
		i = skipEscape(s, i)
	}
	return strings.ReplaceAll(b.String(), "\t", "    ")
}

// skipEscape is the index of the last byte of the escape sequence that begins at i.
func skipEscape(s string, i int) int {
	if i+1 >= len(s) || s[i+1] != '[' {
		return min(i+1, len(s)-1)
	}
	for j := i + 2; j < len(s); j++ {
		if s[j] >= 0x40 && s[j] <= 0x7e {
			return j
		}
	}
	return len(s) - 1
}

// Origin is the program and the qube that a file's name tells: "qubes-guid.work.log",
// "guest-work.log", "qubesd.log".
func Origin(name string) (program, vm string) {
	name = strings.TrimSuffix(name, suffix)
	if g, ok := strings.CutPrefix(name, guest); ok {
		if n, err := qube.ParseName(g); err == nil {
			return Console, string(n)
		}
	}
	program, rest, _ := strings.Cut(name, ".")
	if n, err := qube.ParseName(rest); err == nil {
		return safetext.Name(program, 40), string(n)
	}
	return safetext.Name(name, 40), ""
}

// Tail gives the last n lines that a qube printed on its console. No error and no lines: it
// has never printed any.
func (r *Reader) Tail(vm string, n int) ([]string, error) {
	if _, err := qube.ParseName(vm); err != nil {
		return nil, err
	}
	h, err := open(filepath.Join(r.dir, guest+vm+suffix))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the console of %s: %w", vm, err)
	}
	defer h.Close()
	st, err := h.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(st.Size(), tailBytes))
	if k, err := h.ReadAt(b, st.Size()-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the console of %s: %w", vm, err)
	} else {
		b = b[:k]
	}
	f := file{program: Console, qube: vm, skipping: st.Size() > tailBytes}
	var out []string
	for _, l := range f.lines(append(b, '\n'), time.Time{}) {
		out = append(out, l.Text)
	}
	return out[max(len(out)-n, 0):], nil
}

func inode(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
