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
	"runtime/debug"
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
	// Display says whether there is a screen to show windows on.
	Display bool
}

// tool is one run of one command.
type tool struct {
	Env
	name string
	cmd  command
	root string
	c    *adminclient.Client
	flags
	args []string
}

// Main runs the tool that args name, by args[0] or else args[1], and returns its exit status.
func Main(ctx context.Context, e Env, args []string) int {
	all := commands()
	name := filepath.Base(args[0])
	args = args[1:]
	if _, ok := all[name]; !ok {
		if len(args) > 0 {
			if name = "qvm-" + args[0]; all[name].run == nil {
				name = args[0]
			}
		}
		if _, ok := all[name]; !ok {
			return about(e, args)
		}
		args = args[1:]
	}
	t := &tool{Env: e, name: name, cmd: all[name]}
	err := t.parse(args)
	if err == nil {
		err = t.cmd.run(ctx, t)
	}
	return t.report(err)
}

func (t *tool) parse(args []string) error {
	var err error
	if t.flags, t.args, err = parseArgs(args, t.cmd.options(), t.name == "qvm-run"); err != nil {
		return err
	}
	if t.has("help") || t.has("version") {
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

func needed(what string) error { return usageError("the following arguments are required: " + what) }

type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// plainError is a message of our own: its lines are kept.
type plainError string

func (e plainError) Error() string { return string(e) }

func (t *tool) report(err error) int {
	var (
		usage  usageError
		status exitStatus
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errHelp):
		if t.has("version") {
			fmt.Fprintln(t.Stdout, t.name, version())
		} else {
			fmt.Fprint(t.Stdout, t.cmd.help(t.name))
		}
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(t.Stderr, "usage: %s %s\n%s: error: %s\n", t.name, t.cmd.usage, t.name, safetext.Line(string(usage), maxMessage))
		return exitUsage
	}
	t.complain(err)
	return exitError
}

// complain shows an error without ending.
func (t *tool) complain(err error) {
	prefix := t.cmd.prefix
	if prefix == "" {
		prefix = t.name + ": error: "
	}
	text := safetext.Line(err.Error(), maxMessage)
	var plain plainError
	if errors.As(err, &plain) {
		var lines []string
		for l := range strings.SplitSeq(err.Error(), "\n") {
			lines = append(lines, safetext.Line(l, maxMessage))
		}
		text = strings.Join(lines, "\n")
	}
	fmt.Fprintf(t.Stderr, "%s%s\n", prefix, text)
}

func isKind(err error, kind string) bool { return adminapi.KindOf(err) == kind }

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}

// all lists all qubes by name.
func (t *tool) all(ctx context.Context) ([]adminclient.ListedVM, error) {
	vms, err := t.c.List(ctx, string(qube.Dom0))
	slices.SortFunc(vms, func(a, b adminclient.ListedVM) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return vms, err
}

func find(vms []adminclient.ListedVM, n string) (adminclient.ListedVM, error) {
	i := slices.IndexFunc(vms, func(v adminclient.ListedVM) bool { return string(v.Name) == n })
	if i < 0 {
		return adminclient.ListedVM{}, usageError(fmt.Sprintf("no such domain: '%s'", n))
	}
	return vms[i], nil
}

// selected gives the qubes the command line names; at least one unless empty is allowed.
func (t *tool) selected(ctx context.Context, empty bool) ([]adminclient.ListedVM, error) {
	vms, err := t.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range t.list("exclude") {
		if _, err := find(vms, n); err != nil {
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
	if t.has("exclude") {
		return nil, usageError("--exclude can only be used with --all")
	}
	var out []adminclient.ListedVM
	for _, n := range t.args {
		v, err := find(vms, n)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if len(out) == 0 && !empty {
		return nil, needed("VMNAME")
	}
	return out, nil
}

// one gives the qube named by the first argument and the arguments after it.
func (t *tool) one(ctx context.Context) (adminclient.ListedVM, []string, error) {
	if len(t.args) == 0 {
		return adminclient.ListedVM{}, nil, needed("VMNAME")
	}
	vms, err := t.all(ctx)
	if err != nil {
		return adminclient.ListedVM{}, nil, err
	}
	v, err := find(vms, t.args[0])
	return v, t.args[1:], err
}

// call makes a call whose answer is not needed.
func (t *tool) call(ctx context.Context, method, dest, arg, payload string) error {
	_, err := t.c.Call(ctx, method, dest, arg, []byte(payload))
	return err
}
