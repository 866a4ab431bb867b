// Package tool is the command line of QubesDB: qubesdb-read, -write, -rm, -multiread, -list,
// -watch, -cmd and -read-bool with the options, output and exit codes of the original (spec
// qubesdb.md §6). It differs where the original loses output or dies: events are printed as
// they come, and a connection that ends is an error with status 1.
package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"qubist/core/qube"
	"qubist/core/qubesdb"
)

// Env is what a tool needs of its surroundings. All fields are set.
type Env struct {
	Stdout, Stderr io.Writer
	// Dir finds the directory of the sockets; root is the value of --root, if given.
	Dir func(root string) (string, error)
}

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitMissing = 2
)

// options are those of the command line.
type options struct {
	command, domain, root string
	full, raw, quiet      bool
	wait, remove          bool
	fallback              *string
	events                int
	eventsSet, help       bool
}

// run is one call.
type run struct {
	Env
	options
	name string
	db   *qubesdb.Client
	args []string
}

// commands, with how their arguments are shown in the usage.
var commands = map[string]struct {
	args string
	do   func(*run, context.Context) int
}{
	"read":      {"PATH...", (*run).read},
	"write":     {"PATH VALUE [PATH VALUE...]", (*run).write},
	"rm":        {"PATH...", (*run).rm},
	"multiread": {"PATH...", (*run).multiread},
	"list":      {"PATH", (*run).list},
	"watch":     {"[-n N] PATH...", (*run).watch},
}

// Main runs the tool named by args[0], a path, and returns its exit code. Under a name
// without a dash the command is the first argument.
func Main(ctx context.Context, env Env, args []string) int {
	r := &run{Env: env, name: filepath.Base(args[0])}
	args = args[1:]
	_, command, named := strings.Cut(r.name, "-")
	switch {
	case !named && len(args) > 0:
		command, args = args[0], args[1:]
		r.name += "-" + command
	case command == "cmd":
		command = ""
	}
	if command == "read-bool" {
		return r.readBool(ctx, args)
	}
	r.events = 1
	var err error
	if r.args, err = parse(args, command == "", &r.options); err != nil {
		if errors.Is(err, errOption) {
			fmt.Fprintf(r.Stderr, "%s: %v\n", r.name, err)
			r.usage()
		} else {
			fmt.Fprintln(r.Stderr, err)
		}
		return exitFailed
	}
	if command == "" {
		command = r.command
	}
	cmd, known := commands[command]
	if r.help || !known || len(r.args) == 0 {
		r.usage()
		return exitOK
	}
	switch {
	case r.eventsSet && command != "watch":
		fmt.Fprintln(r.Stderr, "-n valid only for watch command")
		return exitFailed
	case r.fallback != nil && (command != "read" || len(r.args) != 1):
		fmt.Fprintln(r.Stderr, "--default is for the read command with one path")
		return exitFailed
	}
	if !r.connect(ctx) {
		return exitFailed
	}
	defer r.db.Close()
	return cmd.do(r, ctx)
}

func (r *run) usage() {
	fmt.Fprintf(r.Stderr, `Usage: %s [-frqwxh] [-d QUBE] [-e VALUE] [--root DIR] ARGUMENT...
       qubesdb-cmd -c COMMAND [OPTION]... ARGUMENT...
  -c COMMAND   the command, first option of qubesdb-cmd
  -d QUBE      that qube's database (in dom0)
  -f           print whole paths
  -r           print values as they are, without \xNN for special bytes
  -q           no error messages
  -w           read: wait until there is an entry
  -x           read: remove the entry afterwards
  -e VALUE, --default=VALUE
               read: print VALUE when there is no entry
  -n N         watch: end after N events (1), negative: never
  --root DIR   the instance (default: QUBIST_ROOT or the system's)
  -h           this text

Commands:
`, r.name)
	for _, c := range []string{"read", "write", "rm", "multiread", "list", "watch"} {
		fmt.Fprintf(r.Stderr, "  %-9s %s\n", c, commands[c].args)
	}
}

// fail says what went wrong, unless -q was given.
func (r *run) fail(format string, args ...any) {
	if !r.quiet {
		fmt.Fprintf(r.Stderr, format+"\n", args...)
	}
}

func (r *run) connect(ctx context.Context) bool {
	dir, err := r.Dir(r.root)
	if err == nil && r.domain != "" {
		_, err = qube.ParseName(r.domain)
	}
	if err == nil {
		r.db = qubesdb.New(dir, r.domain)
		err = r.db.Connect(ctx)
	}
	if err != nil {
		whose := r.domain
		if whose == "" {
			whose = "local"
		}
		r.fail("Failed connect to %s daemon", whose)
	}
	return err == nil
}

// show prepares a value for the terminal.
func (r *run) show(v string) string {
	if r.raw {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		if c := v[i]; c < 0x20 || c > 0x7f {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (r *run) print(path, value string) {
	if r.full {
		value = path + " = " + value
	}
	fmt.Fprintln(r.Stdout, value)
}

func (r *run) read(ctx context.Context) int {
	code := exitOK
	for _, path := range r.args {
		v, err := r.db.Read(ctx, path)
		if r.wait && errors.Is(err, qubesdb.ErrNotExist) {
			v, err = r.await(ctx, path)
		}
		switch {
		case err == nil:
			r.print(path, r.show(v))
		case errors.Is(err, qubesdb.ErrNotExist) && r.fallback != nil:
			r.print(path, *r.fallback)
		default:
			r.fail("Failed to read %s", path)
			if !errors.Is(err, qubesdb.ErrNotExist) {
				code = exitFailed
			} else if code == exitOK {
				code = exitMissing
			}
		}
		if r.remove && (err == nil || errors.Is(err, qubesdb.ErrNotExist)) {
			if r.db.Remove(ctx, path) != nil {
				code = exitFailed
			}
		}
	}
	return code
}

// await watches a missing entry until it is there.
func (r *run) await(ctx context.Context, path string) (string, error) {
	if err := r.db.Watch(ctx, path); err != nil {
		return "", err
	}
	for {
		v, err := r.db.Read(ctx, path)
		if err == nil || !errors.Is(err, qubesdb.ErrNotExist) {
			return v, err
		}
		if _, err := r.db.Next(ctx); err != nil {
			return "", err
		}
	}
}

func (r *run) write(ctx context.Context) int {
	if len(r.args)%2 != 0 {
		r.fail("A value is missing for %s", r.args[len(r.args)-1])
		return exitFailed
	}
	code := exitOK
	for i := 0; i < len(r.args); i += 2 {
		if err := r.db.Write(ctx, r.args[i], r.args[i+1]); err != nil {
			r.fail("Failed to write %s", r.args[i])
			code = exitFailed
		}
	}
	return code
}

func (r *run) rm(ctx context.Context) int {
	code := exitOK
	for _, path := range r.args {
		if err := r.db.Remove(ctx, path); err != nil {
			r.fail("Failed to remove %s", path)
			code = exitFailed
		}
	}
	return code
}

// rest is a path without what the caller knows already.
func (r *run) rest(path, prefix string) string {
	if r.full {
		return path
	}
	return strings.TrimPrefix(path, prefix)
}

func (r *run) multiread(ctx context.Context) int {
	code := exitOK
	for _, prefix := range r.args {
		es, err := r.db.MultiRead(ctx, prefix)
		if err != nil {
			r.fail("Failed to read %s", prefix)
			code = exitFailed
		}
		for _, e := range es {
			fmt.Fprintf(r.Stdout, "%s = %s\n", r.rest(e.Path, prefix), r.show(e.Value))
		}
	}
	return code
}

func (r *run) list(ctx context.Context) int {
	if len(r.args) > 1 {
		r.fail("LIST command accept only one path")
		return exitFailed
	}
	paths, err := r.db.List(ctx, r.args[0])
	if err != nil {
		r.fail("Failed to get entries list")
		return exitFailed
	}
	for _, p := range paths {
		fmt.Fprintln(r.Stdout, r.rest(p, r.args[0]))
	}
	return exitOK
}

func (r *run) watch(ctx context.Context) int {
	for _, path := range r.args {
		if err := r.db.Watch(ctx, path); err != nil {
			r.fail("Failed to setup watch on %s", path)
			return exitFailed
		}
	}
	for n := 0; n < r.events || r.events < 0; n++ {
		path, err := r.db.Next(ctx)
		if err != nil {
			r.fail("Failed to wait for a change")
			return exitFailed
		}
		if _, err := fmt.Fprintln(r.Stdout, path); err != nil {
			return exitFailed
		}
	}
	return exitOK
}
