// Command qrexec-policy answers questions about the policy of one instance; it changes
// nothing.
//
//	qrexec-policy [--root DIR] [--policy-dir DIR] [--system FILE] COMMAND
//	  explain SOURCE TARGET SERVICE[+ARG]
//	  lint
//	  graph [--source QUBE] [--target QUBE] [--service NAME] [--dot]
//	  simulate --edited DIR [--calls FILE]
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"qubist/core/adminclient"
	"qubist/core/paths"
	"qubist/qrexec/policy"
)

const usage = `usage: qrexec-policy [--root DIR] [--policy-dir DIR] [--system FILE] COMMAND
  explain SOURCE TARGET SERVICE[+ARG]   what is decided, by which rule, what almost matched
  lint                                  rules that never match, name nothing, or allow too much
  graph [--source QUBE] [--target QUBE] [--service NAME] [--dot]
                                        who can call whom
  simulate --edited DIR [--calls FILE]  which recorded calls an edited policy decides otherwise
                                        (FILE: the policy daemon's log, or lines SOURCE TARGET SERVICE)
`

// Exit statuses: besides 0, a denied call or findings that matter, and everything else.
const (
	exitNo    = 1
	exitUsage = 2
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	status, err := run(context.Background(), out, os.Args[1:])
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-policy: %v\n", err)
		status = exitUsage
	}
	os.Exit(status)
}

// tool is what the commands work on.
type tool struct {
	out    io.Writer
	paths  paths.Paths
	dir    string // permanent policy
	system func(context.Context) (*policy.System, error)
}

func run(ctx context.Context, out io.Writer, args []string) (int, error) {
	f := flag.NewFlagSet("qrexec-policy", flag.ContinueOnError)
	f.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	root := f.String("root", "", "")
	dir := f.String("policy-dir", "", "")
	system := f.String("system", "", "")
	if err := f.Parse(args); err != nil {
		return exitUsage, err
	}
	p, err := paths.New(*root)
	if err != nil {
		return exitUsage, err
	}
	t := &tool{out: out, paths: p, dir: *dir}
	if t.dir == "" {
		t.dir = p.PolicyDir()
	}
	t.system = func(ctx context.Context) (*policy.System, error) { return loadSystem(ctx, p, *system) }
	commands := map[string]func(context.Context, []string) (int, error){
		"explain": t.explain, "lint": t.lint, "graph": t.graph, "simulate": t.simulate,
	}
	do := commands[f.Arg(0)]
	if do == nil {
		f.Usage()
		return exitUsage, errors.New("no such command")
	}
	return do(ctx, f.Args()[1:])
}

// loadSystem reads the system information from a file, or asks qubesd.
func loadSystem(ctx context.Context, p paths.Paths, file string) (*policy.System, error) {
	var data []byte
	var err error
	if file != "" {
		data, err = os.ReadFile(file)
	} else {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		data, err = adminclient.New(p.QubesdInternalSocket()).Call(ctx, "internal.GetSystemInfo", "dom0", "", nil)
	}
	if err != nil {
		return nil, fmt.Errorf("getting the system information: %w", err)
	}
	return policy.ParseSystem(data)
}

// load reads a policy with dir as its permanent directory.
func (t *tool) load(dir string) (*policy.Policy, error) {
	d := policy.Dirs{Runtime: t.paths.RuntimePolicyDir(), Permanent: dir, Legacy: t.paths.LegacyPolicyDir()}
	if _, err := os.Stat(d.Runtime); err != nil {
		d.Runtime = d.Permanent // not made yet: nothing is running
	}
	for _, p := range []*string{&d.Runtime, &d.Permanent, &d.Legacy} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, fmt.Errorf("resolving %q: %w", *p, err)
		}
		*p = strings.TrimPrefix(abs, "/")
	}
	return policy.Load(os.DirFS("/"), d)
}

// flags parses the options of a command, which takes n operands.
func flags(name string, args []string, n int, define func(*flag.FlagSet)) ([]string, error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	if define != nil {
		define(f)
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != n {
		return nil, fmt.Errorf("%s takes %d operands", name, n)
	}
	return f.Args(), nil
}
