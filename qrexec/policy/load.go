package policy

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of one load. Policy files are the administrator's, yet a slip must not take the
// machine: beyond a limit loading fails with ReasonTooLarge.
const (
	MaxFileSize = 4 << 20 // bytes of one file
	MaxFiles    = 10_000  // files read, counting a file as often as it is included
	MaxRules    = 50_000
	maxDepth    = 64 // includes within includes
)

// Dirs are the three policy directories as paths in the fs.FS (no leading slash).
type Dirs struct {
	Runtime   string // gone after a boot; its files replace those of the same name below
	Permanent string
	Legacy    string // read only by !compat-4.0
}

// Load reads and compiles the policy. Absolute include paths are taken from the root of
// fsys, so for a real system fsys is the root directory. Every error is an *Error.
func Load(fsys fs.FS, dirs Dirs) (*Policy, error) {
	l := &loader{fsys: fsys, dirs: dirs}
	type entry struct{ dir, name string }
	var files []entry
	seen := map[string]bool{}
	for _, dir := range []string{dirs.Runtime, dirs.Permanent} {
		names, err := l.policyNames(dir)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if !seen[n] {
				seen[n] = true
				files = append(files, entry{dir, n})
			}
		}
	}
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for _, f := range files {
		l.base = f.dir
		file := path.Join(f.dir, f.name)
		text, err := l.read(file)
		if err != nil {
			return nil, &Error{File: file, Reason: readReason(err, ReasonOS), Err: err}
		}
		if err := l.file(file, text, l.newFormat); err != nil {
			return nil, err
		}
	}
	return compile(l.rules), nil
}

// loader is the state of one load.
type loader struct {
	fsys  fs.FS
	dirs  Dirs
	base  string   // directory of the top-level file: includes are relative to it
	stack []string // files being read, outermost first
	files int
	rules []*Rule
}

var (
	errTooLarge = errors.New("limit exceeded")
	errEncoding = errors.New("invalid UTF-8")
)

// readReason turns a failure of read into a Reason.
func readReason(err error, otherwise Reason) Reason {
	switch {
	case errors.Is(err, errTooLarge):
		return ReasonTooLarge
	case errors.Is(err, errEncoding):
		return ReasonEncoding
	}
	return otherwise
}

// policyNames lists the *.policy files of a directory, sorted; one bad name is an error.
func (l *loader) policyNames(dir string) ([]string, error) {
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		return nil, &Error{File: dir, Reason: ReasonOS, Err: err}
	}
	var names []string
	for _, e := range entries {
		n := e.Name()
		if n[0] == '.' || path.Ext(n) != ".policy" || !l.regular(path.Join(dir, n)) {
			continue
		}
		if !only(n, "_.-") || strings.ToLower(n) != n {
			return nil, &Error{File: path.Join(dir, n), Reason: ReasonFileName}
		}
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

// regular reports whether file is, behind its links, a regular file.
func (l *loader) regular(file string) bool {
	info, err := fs.Stat(l.fsys, file)
	return err == nil && info.Mode().IsRegular()
}

// read gives the text of a file within the limits.
func (l *loader) read(file string) (string, error) {
	if l.files++; l.files > MaxFiles {
		return "", errTooLarge
	}
	f, err := l.fsys.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > MaxFileSize:
		return "", errTooLarge
	case !utf8.Valid(data):
		return "", errEncoding
	}
	return string(data), nil
}

// file reads one text line by line with handle.
func (l *loader) file(name, text string, handle func(place, string) error) error {
	l.stack = append(l.stack, name)
	defer func() { l.stack = l.stack[:len(l.stack)-1] }()
	for i, line := range lines(text) {
		line = strings.TrimFunc(line, isSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := handle(place{name, i + 1}, line); err != nil {
			return err
		}
	}
	return nil
}

// place is where a line stands.
type place struct {
	file string
	line int
}

func (p place) error(f *fault) error {
	return &Error{File: p.file, Line: p.line, Reason: f.reason, Detail: f.detail}
}

// add appends a rule.
func (l *loader) add(p place, r *Rule) error {
	if len(l.rules) >= MaxRules {
		return p.error(&fault{reason: ReasonTooLarge})
	}
	r.File, r.Line = p.file, p.line
	l.rules = append(l.rules, r)
	return nil
}

// newFormat handles a line of a policy file.
func (l *loader) newFormat(p place, line string) error {
	words := strings.FieldsFunc(line, isSpace)
	if line[0] == '!' {
		return l.directive(p, words[0], words[1:])
	}
	if len(words) < 5 {
		return p.error(&fault{ReasonFieldCount, line})
	}
	r, f := parseRule(words[0], words[1], words[2:])
	if f != nil {
		return p.error(f)
	}
	return l.add(p, r)
}
