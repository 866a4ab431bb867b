// Package policyadmin serves the policy.* calls (spec qrexec-policy.md §10): they list,
// read, replace and remove policy files, and register arguments. A change is validated
// with the complete policy that would result, and made in one step under a lock. Who may
// call is decided by the policy itself; deciding calls is package policy's work.
package policyadmin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"qubist/core/safetext"
)

// MaxPayload is the longest payload taken, in bytes.
const MaxPayload = 4 << 20

const suffix = ".policy"

// Config says where the policy is.
type Config struct {
	Dir    string // permanent policy
	Legacy string // read by !compat-4.0
	Log    string // file for the calls; its name is told when something fails inside
	Now    func() time.Time
	// Group owns what is written; negative: as the process.
	Group int
}

// Call is one call. Argument is without '+'; it is empty when there is none.
type Call struct {
	Service, Argument string
	Source            string // the caller's name
	RequestedTarget   string // as asked; only policy.RegisterArgument uses it
	Payload           []byte
}

// Admin serves calls. Its methods may run in several processes at once.
type Admin struct{ cfg Config }

// New makes an Admin.
func New(cfg Config) *Admin { return &Admin{cfg} }

var (
	argumentChars = regexp.MustCompile(`^[A-Za-z0-9+._-]*$`)
	nameChars     = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// method is one service.
type method struct {
	argument, payload bool // taken
	do                func(a *Admin, d dir, c Call) ([]byte, error)
}

// dir is one of the two directories: where, and what file names end in.
type dir struct{ path, suffix string }

var methods = map[string]method{
	"List":     {do: (*Admin).list},
	"Get":      {argument: true, do: (*Admin).get},
	"Replace":  {argument: true, payload: true, do: (*Admin).replace},
	"Remove":   {argument: true, payload: true, do: (*Admin).remove},
	"GetFiles": {argument: true, do: (*Admin).getFiles},
}

// Serve does a call and writes its line to the log. It returns the call's output; an error
// that is no *Error is for the log alone.
func (a *Admin) Serve(ctx context.Context, c Call) ([]byte, error) {
	if c.Service == "policy.RegisterArgument" {
		return nil, a.register(ctx, c)
	}
	out, err := a.serve(ctx, c)
	line := fmt.Sprintf("%s+%s (%s)", c.Service, c.Argument, c.Source)
	var e *Error
	switch {
	case errors.As(err, &e):
		line += ": error: " + e.Text
	case err != nil:
		line += ": internal error: " + err.Error()
	}
	a.log(line)
	return out, err
}

// Message is what a caller reads on stderr for an error.
func (a *Admin) Message(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return fmt.Sprintf("Internal error. See '%s' in dom0 for details.", a.cfg.Log)
}

// log appends one line; the call must not fail because the log is full.
func (a *Admin) log(text string) {
	f, err := os.OpenFile(a.cfg.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		fmt.Fprintf(os.Stderr, "policy administration: %v\n", err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s %s\n", a.cfg.Now().Format("2006-01-02 15:04:05,000"), safetext.Line(strings.ReplaceAll(text, "\n", " "), 2000))
}

func (a *Admin) serve(ctx context.Context, c Call) ([]byte, error) {
	if !argumentChars.MatchString(c.Argument) {
		return nil, refuse(KindProtocol, "Invalid argument: \"%s\"\nValid characters are letters, numbers, dot, plus, hyphen and underline", c.Argument)
	}
	d := dir{a.cfg.Dir, suffix}
	name, ok := strings.CutPrefix(c.Service, "policy.")
	if include, isInclude := strings.CutPrefix(name, "include."); isInclude && include != "GetFiles" {
		name, d = include, dir{filepath.Join(a.cfg.Dir, "include"), ""}
	}
	m, known := methods[name]
	switch {
	case !ok || !known:
		return nil, refuse(KindProtocol, "unrecognized method: %s", c.Service)
	case c.Argument != "" && !m.argument:
		return nil, refuse(KindProtocol, "Unexpected argument")
	case len(c.Payload) > 0 && !m.payload:
		return nil, refuse(KindProtocol, "Unexpected payload")
	case len(c.Payload) > MaxPayload:
		return nil, refuse(KindProtocol, "Payload too long")
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return m.do(a, d, c)
}

// lock takes the exclusive lock on the policy directory.
func (a *Admin) lock(ctx context.Context) (func(), error) {
	f, err := os.Open(a.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("locking the policy: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking the policy: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("locking the policy: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (a *Admin) list(d dir, _ Call) ([]byte, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing: %w", err)
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), d.suffix)
		if info, err := os.Stat(filepath.Join(d.path, e.Name())); ok && err == nil && info.Mode().IsRegular() {
			names = append(names, name+"\n")
		}
	}
	slices.Sort(names)
	return []byte(strings.Join(names, "")), nil
}

// file checks a name and gives the file's path.
func (d dir) file(name string) (string, error) {
	if !nameChars.MatchString(name) {
		return "", refuse(KindInvalidName, "Invalid policy file name: %s\nNames must contain only alphanumeric characters, underscore and hyphen.", name)
	}
	return filepath.Join(d.path, name+d.suffix), nil
}

// read gives a file's content; exists is false when there is none.
func read(file string) (text []byte, exists bool, err error) {
	text, err = os.ReadFile(file)
	switch {
	case err == nil:
		return text, true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENAMETOOLONG):
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("reading a policy file: %w", err)
}

func token(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (a *Admin) get(d dir, c Call) ([]byte, error) {
	file, err := d.file(c.Argument)
	if err != nil {
		return nil, err
	}
	text, exists, err := read(file)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, refuse(KindNotFound, "Not found: %s", file)
	}
	return append([]byte(token(text)+"\n"), text...), nil
}

// checkToken compares the caller's idea of the file with the file.
func checkToken(want string, text []byte, exists bool) error {
	switch {
	case want == "any":
		return nil
	case want == "new" && exists:
		return refuse(KindToken, "File exists but token is 'new'")
	case want == "new":
		return nil
	case !strings.HasPrefix(want, "sha256:"):
		return refuse(KindProtocol, "Unrecognized token")
	case !exists:
		return refuse(KindToken, "File doesn't exist, but token isn't 'new'")
	case want != token(text):
		return refuse(KindToken, "Token mismatch")
	}
	return nil
}

func (a *Admin) replace(d dir, c Call) ([]byte, error) {
	file, err := d.file(c.Argument)
	if err != nil {
		return nil, err
	}
	if d.suffix != "" && strings.ToLower(c.Argument) != c.Argument {
		// The loader refuses such a file, and with it every call.
		return nil, refuse(KindInvalidName, "Invalid policy file name: %s\nNames of policy files must not contain upper-case letters.", c.Argument)
	}
	want, text, ok := strings.Cut(string(c.Payload), "\n")
	if !ok {
		return nil, refuse(KindProtocol, "Payload needs to include first line with token")
	}
	old, exists, err := read(file)
	if err != nil {
		return nil, err
	}
	if err := checkToken(want, old, exists); err != nil {
		return nil, err
	}
	return nil, a.write(file, []byte(text))
}

func (a *Admin) remove(d dir, c Call) ([]byte, error) {
	file, err := d.file(c.Argument)
	if err != nil {
		return nil, err
	}
	old, exists, err := read(file)
	if err != nil {
		return nil, err
	}
	if err := checkToken(string(c.Payload), old, exists); err != nil {
		return nil, err
	}
	if !exists {
		return nil, refuse(KindNotFound, "Not found: %s", file)
	}
	if err := a.validate(map[string][]byte{file: nil}); err != nil {
		return nil, err
	}
	if err := os.Remove(file); err != nil {
		return nil, fmt.Errorf("removing a policy file: %w", err)
	}
	return nil, syncDir(filepath.Dir(file))
}
