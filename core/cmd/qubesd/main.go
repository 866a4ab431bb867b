// Command qubesd is the core daemon: it holds the system description, serves the Admin API,
// and starts, watches and stops qubes. See assets/doc/architecture.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	var o options
	flag.StringVar(&o.root, "root", os.Getenv("QUBIST_ROOT"), "directory of the instance; empty for the system's")
	flag.StringVar(&o.hypervisor, "hypervisor", "libvirt", "libvirt, or fake for no guests at all")
	flag.StringVar(&o.uri, "libvirt-uri", "", "libvirt connection; empty for the usual one")
	flag.BoolVar(&o.noDaemons, "no-daemons", false, "start no per-qube daemons (with --hypervisor fake)")
	flag.IntVar(&o.readyFD, "ready-fd", -1, "descriptor that receives READY when both sockets are served")
	flag.BoolVar(&o.verbose, "verbose", false, "log more")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "qubesd: unexpected argument", flag.Arg(0))
		os.Exit(2)
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o, log); err != nil && !errors.Is(err, context.Canceled) {
		log.Error("qubesd failed", "err", err)
		os.Exit(1)
	}
}
