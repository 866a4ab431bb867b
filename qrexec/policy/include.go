package policy

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// directive handles a line that starts with '!' in the new format.
func (l *loader) directive(p place, name string, args []string) error {
	want := map[string]int{"!include": 1, "!include-dir": 1, "!include-service": 3, "!compat-4.0": 0}
	n, ok := want[name]
	if !ok {
		return p.error(&fault{ReasonDirective, name})
	}
	if len(args) != n {
		return p.error(&fault{ReasonDirectiveParams, name})
	}
	switch name {
	case "!include":
		return l.include(p, args[0], l.newFormat)
	case "!include-dir":
		return l.includeDir(p, args[0])
	case "!include-service":
		if f := checkService(args[0], args[1]); f != nil {
			return p.error(f)
		}
		return l.include(p, args[2], l.oldFormat(args[0], args[1]))
	}
	return l.compat(p)
}

// resolve gives the path in the file system of an include's PATH.
func (l *loader) resolve(name string) string {
	if !path.IsAbs(name) {
		name = path.Join("/", l.base, name)
	}
	if name = path.Clean(name)[1:]; name == "" {
		return "."
	}
	return name
}

// include expands one file in place.
func (l *loader) include(p place, name string, handle func(place, string) error) error {
	file := l.resolve(name)
	if !fs.ValidPath(file) || !l.regular(file) {
		return &Error{File: p.file, Line: p.line, Reason: ReasonIncludeFile, Detail: name}
	}
	if slices.Contains(l.stack, file) || len(l.stack) >= maxDepth {
		return &Error{File: p.file, Line: p.line, Reason: ReasonIncludeLoop, Detail: name}
	}
	text, err := l.read(file)
	if err != nil {
		return &Error{File: p.file, Line: p.line, Reason: readReason(err, ReasonIncludeFile), Detail: name, Err: err}
	}
	return l.file(file, text, handle)
}

// includeDir expands the *.policy files of a directory in place.
func (l *loader) includeDir(p place, name string) error {
	dir := l.resolve(name)
	info, err := fs.Stat(l.fsys, dir)
	if err != nil || !info.IsDir() {
		return &Error{File: p.file, Line: p.line, Reason: ReasonIncludeDir, Detail: name, Err: err}
	}
	names, err := l.policyNames(dir)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Reason == ReasonOS {
			return &Error{File: p.file, Line: p.line, Reason: ReasonIncludeDir, Detail: name, Err: e.Err}
		}
		return err
	}
	for _, n := range names {
		if err := l.include(p, "/"+path.Join(dir, n), l.newFormat); err != nil {
			return err
		}
	}
	return nil
}

// oldFormat handles the lines of a two-column file for one service and argument.
func (l *loader) oldFormat(service, argument string) func(place, string) error {
	var handle func(place, string) error
	handle = func(p place, line string) error {
		line = strings.ReplaceAll(line, "$include:", "!include ")
		line = strings.ReplaceAll(line, "$", "@")
		line = strings.ReplaceAll(line, ",", " ")
		words := strings.FieldsFunc(line, isSpace)
		switch {
		case len(words) == 0:
			return p.error(&fault{reason: ReasonFieldCount})
		case words[0][0] == '!' && words[0] != "!include":
			return p.error(&fault{ReasonDirective, words[0]})
		case words[0] == "!include" && len(words) != 2:
			return p.error(&fault{ReasonDirectiveParams, words[0]})
		case words[0] == "!include":
			return l.include(p, words[1], handle)
		}
		r, f := parseRule(service, argument, words)
		if f != nil {
			return p.error(f)
		}
		return l.add(p, r)
	}
	return handle
}

// compat reads the legacy directory (spec §4): one file per service, or per service and
// argument. A file with argument denies whatever its rules leave open.
func (l *loader) compat(p place) error {
	entries, err := fs.ReadDir(l.fsys, l.dirs.Legacy)
	if err != nil {
		return &Error{File: p.file, Line: p.line, Reason: ReasonOS, Detail: l.dirs.Legacy, Err: err}
	}
	outer := l.base
	l.base = l.dirs.Legacy
	defer func() { l.base = outer }()
	for _, f := range legacyFiles(entries) {
		name := path.Join(l.dirs.Legacy, f.name)
		if !l.regular(name) {
			continue
		}
		if err := l.include(p, "/"+name, l.oldFormat(f.service, f.argument)); err != nil {
			return err
		}
		if f.argument == "*" {
			continue
		}
		for _, target := range []string{"@anyvm", adminName} {
			r, bad := parseRule(f.service, f.argument, []string{"@anyvm", target, string(Deny)})
			if bad != nil {
				return p.error(bad)
			}
			if err := l.add(place{file: name}, r); err != nil {
				return err
			}
		}
	}
	return nil
}

type legacyFile struct{ name, service, argument string }

// legacyFiles selects and orders: by service, then by argument, the one without last.
func legacyFiles(entries []fs.DirEntry) []legacyFile {
	var files []legacyFile
	for _, e := range entries {
		n := e.Name()
		switch path.Ext(n) {
		case ".rpmsave", ".rpmnew", ".swp":
			continue
		}
		if n[0] == '.' || !only(n, "+-._") {
			continue
		}
		f := legacyFile{name: n, service: n, argument: "*"}
		if i := strings.IndexByte(n, '+'); i >= 0 {
			f.service, f.argument = n[:i], n[i:]
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b legacyFile) int {
		if c := strings.Compare(a.service, b.service); c != 0 {
			return c
		}
		if (a.argument == "*") != (b.argument == "*") {
			if a.argument == "*" {
				return 1
			}
			return -1
		}
		return strings.Compare(a.argument, b.argument)
	})
	return files
}
