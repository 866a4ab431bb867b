// Package qvm is the command line over the Admin API: one function for each of the tools
// qvm-ls, qvm-run and so on, spelled and answering as spec cli.md says. It decides nothing;
// qubesd does. Every text that may come from a qube is shown through core/safetext.
package qvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/adminclient"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/safetext"
)

// Exit statuses of all tools.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Env is what a tool runs with.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Run runs a command in a qube; adminclient.RunCommand outside of tests.
	Run func(context.Context, adminclient.Run) (int, error)
}

// tool is one run of one command.
type tool struct {
	Env
	name string
	root string
	c    *adminclient.Client
	flags
	args []string
}

// command is one tool's table row.
type command struct {
	usage string
	opts  []option
	run   func(context.Context, *tool) error
}

func commands() map[string]command {
	return map[string]command{
		"qvm-ls":       {"[options] [VM…]", lsOptions, ls},
		"qvm-prefs":    {"[options] VM [PROPERTY [VALUE]]", prefsOptions, vmPrefs},
		"qubes-prefs":  {"[options] [PROPERTY [VALUE]]", prefsOptions, systemPrefs},
		"qvm-create":   {"[options] NAME", createOptions, create},
		"qvm-remove":   {"[options] VM…", append([]option{{long: "force", short: 'f'}}, selectOptions...), remove},
		"qvm-start":    {"[options] VM…", append([]option{{long: "skip-if-running"}}, selectOptions...), start},
		"qvm-shutdown": {"[options] VM…", append([]option{{long: "wait"}, {long: "timeout", value: true}, {long: "force"}, {long: "dry-run"}}, selectOptions...), shutdown},
		"qvm-kill":     {"[options] VM…", selectOptions, kill},
		"qvm-pause":    {"[options] VM…", append([]option{{long: "suspend", short: 'S'}}, selectOptions...), pause},
		"qvm-unpause":  {"[options] VM…", selectOptions, unpause},
		"qvm-run":      {"[options] VM COMMAND [ARGUMENT…]", runOptions, run},
		"qvm-check":    {"[options] VM…", append([]option{{long: "running"}, {long: "paused"}, {long: "template"}, {long: "networked"}}, selectOptions...), check},
		"qvm-features": {"[options] VM [FEATURE [VALUE]]", deleteOptions, features},
		"qvm-tags":     {"VM [list|add|del] [TAG…]", nil, tags},
	}
}

// Main runs the tool that args name, by args[0] or else args[1], and returns its exit status.
func Main(ctx context.Context, e Env, args []string) int {
	all := commands()
	name := filepath.Base(args[0])
	args = args[1:]
	if _, ok := all[name]; !ok {
		if len(args) == 0 || !known(all, args[0]) {
			names := make([]string, 0, len(all))
			for n := range all {
				names = append(names, n)
			}
			slices.Sort(names)
			fmt.Fprintf(e.Stderr, "usage: qvm TOOL …\ntools: %s\n", strings.Join(names, " "))
			return exitUsage
		}
		name, args = long(all, args[0]), args[1:]
	}
	cmd := all[name]
	t := &tool{Env: e, name: name}
	err := t.parse(args, cmd)
	if err == nil {
		err = cmd.run(ctx, t)
	}
	return t.report(err, cmd)
}

// known and long let "qvm ls" stand for "qvm-ls".
func known(all map[string]command, s string) bool { _, ok := all[long(all, s)]; return ok }

func long(all map[string]command, s string) string {
	if _, ok := all[s]; ok {
		return s
	}
	return "qvm-" + s
}

func (t *tool) parse(args []string, cmd command) error {
	opts := append(slices.Clone(commonOptions), cmd.opts...)
	var err error
	if t.flags, t.args, err = parseArgs(args, opts, t.name == "qvm-run"); err != nil {
		return err
	}
	if t.has("help") {
		return errHelp
	}
	t.root = t.get("root")
	p, err := paths.New(t.root)
	if err != nil {
		return err
	}
	t.c = adminclient.New(p.QubesdSocket())
	return nil
}

var errHelp = errors.New("help")

// usageError ends a tool with status 2, exitStatus with its own.
type usageError string

func (e usageError) Error() string { return string(e) }

type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// maxMessage bounds an error message shown, in terminal cells.
const maxMessage = 2000

func (t *tool) report(err error, cmd command) int {
	var (
		usage  usageError
		status exitStatus
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errHelp):
		fmt.Fprintf(t.Stdout, "usage: %s %s\n%s", t.name, cmd.usage, describe(append(slices.Clone(commonOptions), cmd.opts...)))
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(t.Stderr, "usage: %s %s\n%s: error: %s\n", t.name, cmd.usage, t.name, safetext.Line(string(usage), maxMessage))
		return exitUsage
	}
	t.complain(err)
	return exitError
}

// complain shows an error without ending.
func (t *tool) complain(err error) {
	fmt.Fprintf(t.Stderr, "%s: error: %s\n", t.name, safetext.Line(err.Error(), maxMessage))
}

// say writes one line of output.
func (t *tool) say(s string) { fmt.Fprintln(t.Stdout, safetext.Line(s, maxMessage)) }

func isKind(err error, kind string) bool { return adminapi.KindOf(err) == kind }

// all lists all qubes.
func (t *tool) all(ctx context.Context) ([]adminclient.ListedVM, error) {
	return t.c.List(ctx, string(qube.Dom0))
}

// selected gives the qubes the command line names; at least one unless empty is allowed.
func (t *tool) selected(ctx context.Context, empty bool) ([]adminclient.ListedVM, error) {
	vms, err := t.all(ctx)
	if err != nil {
		return nil, err
	}
	find := func(n string) (adminclient.ListedVM, error) {
		i := slices.IndexFunc(vms, func(v adminclient.ListedVM) bool { return string(v.Name) == n })
		if i < 0 {
			return adminclient.ListedVM{}, usageError(fmt.Sprintf("no such domain: '%s'", n))
		}
		return vms[i], nil
	}
	for _, n := range t.list("exclude") {
		if _, err := find(n); err != nil {
			return nil, err
		}
	}
	if t.has("all") {
		if len(t.args) > 0 {
			return nil, usageError("argument --all: not allowed with names")
		}
		return slices.DeleteFunc(vms, func(v adminclient.ListedVM) bool {
			return v.Class == qube.AdminVM || slices.Contains(t.list("exclude"), string(v.Name))
		}), nil
	}
	if len(t.list("exclude")) > 0 {
		return nil, usageError("--exclude can only be used with --all")
	}
	var out []adminclient.ListedVM
	for _, n := range t.args {
		v, err := find(n)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) == 0 && !empty {
		return nil, usageError("the following arguments are required: VMNAME")
	}
	return out, nil
}
