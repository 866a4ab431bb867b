// Command qubist-up brings an instance of Qubist from a bare Debian machine to the console:
//
//	qubist-up setup [--tests]     install missing packages
//	qubist-up run                 hypervisor, display, daemons, starter set, then the console
//	qubist-up run --no-console    the same without the console
//	qubist-up down                shut the qubes down and end the daemons
//	qubist-up supervise           (internal) keep the daemons running
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"qubist/core/internal/up"
	"qubist/core/paths"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted; run again to continue where this stopped")
		}
		fmt.Fprint(os.Stderr, up.Explain(err))
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	verb := "run"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	fs := flag.NewFlagSet("qubist-up "+verb, flag.ContinueOnError)
	fs.SetOutput(os.Stderr)
	var (
		root       = fs.String("root", "", "instance directory (default: the system's)")
		cache      = fs.String("cache", ".cache/template", "where qubist-template put its result")
		tests      = fs.Bool("tests", false, "setup: also install what the tests need")
		noConsole  = fs.Bool("no-console", false, "run: end when everything serves")
		refresh    = fs.Bool("refresh-template", false, "run: replace the root volume of template debian-12 by the newly built one")
		hypervisor = fs.String("hypervisor", "libvirt", "libvirt, or fake for trying without guests")
	)
	if err := fs.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil
		}
		return err
	}
	if *root == "" {
		*root = os.Getenv(paths.Default)
	}
	if *root != "" {
		abs, err := filepath.Abs(*root)
		if err != nil {
			return err
		}
		*root = abs
	}
	p, err := paths.New(*root)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	e := up.New(p, *root, filepath.Dir(self), *cache, os.Stdout)
	switch verb {
	case "setup":
		return e.Setup(ctx, *tests)
	case "run":
		if err := e.Bring(ctx, up.Options{Hypervisor: *hypervisor, RefreshTemplate: *refresh}); err != nil || *noConsole {
			return err
		}
		return e.Console()
	case "supervise":
		return e.Supervise(ctx, *hypervisor, slog.New(slog.NewTextHandler(io.Writer(os.Stderr), nil)))
	case "down":
		return e.Down(ctx)
	}
	return fmt.Errorf("unknown command %q (want run, setup, down)", verb)
}
