// Command qubes-vchand owns the host end of one VM's virtio-serial port and carries the
// VM's vchans over it:
//
//	qubes-vchand [--root DIR] [--ready-fd N] XID NAME
//
// It ends with status 0 on SIGTERM and when the VM is gone. With --check-confinement it
// tells what this kernel keeps it from, and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"qubist/core/confine"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan/link"
)

// What a link can need at most: descriptors for its sockets, memory for stalled streams.
const (
	maxFiles = 64 + link.MaxLocal + link.MaxStreams
	maxData  = 768 << 20
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Args[1:]); err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		log.Error("ending", "reason", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, args []string) error {
	flags := flag.NewFlagSet("qubes-vchand", flag.ContinueOnError)
	root := flags.String("root", "", "directory of the instance (default: the system's)")
	readyFD := flags.Int("ready-fd", -1, "descriptor that gets READY once the multiplexer serves")
	check := flags.Bool("check-confinement", false, "confine, try what must fail, tell, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	xid, name, err := parseDomain(flags.Args())
	if err != nil {
		return err
	}
	log = log.With("qube", string(name), "xid", uint32(xid))
	p, err := paths.New(*root)
	if err != nil {
		return err
	}
	unix.Umask(0o007)
	if err := os.MkdirAll(p.VchanDir(), 0o750); err != nil {
		return fmt.Errorf("creating the vchan directory: %w", err)
	}
	if err := confine.Apply(log, confine.Profile{
		Write: []string{p.VchanDir()},
		Caps:  []int{unix.CAP_DAC_OVERRIDE}, // QEMU's socket belongs to QEMU's user
		Files: maxFiles,
		Data:  maxData,
	}); err != nil {
		return err
	}
	if *check {
		return confine.Check(os.Stdout)
	}
	l := link.New(link.Config{
		VM:       xid,
		Dom0:     true,
		Dir:      p.VchanDir(),
		Socket:   p.MuxSocket(uint32(xid)),
		OtherMux: func(id qube.DomID) string { return p.MuxSocket(uint32(id)) },
		Open:     link.HostPort(p.PortSocket(uint32(xid))),
		Log:      log,
	})
	return l.Run(ctx, func() { ready(log, *readyFD) })
}

func parseDomain(args []string) (qube.DomID, qube.Name, error) {
	if len(args) != 2 {
		return 0, "", fmt.Errorf("want XID and NAME, got %d arguments", len(args))
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil || n == 0 || qube.DomID(n) > qube.MaxDomID {
		return 0, "", fmt.Errorf("XID %q: want 1 to %d", args[0], qube.MaxDomID)
	}
	name, err := qube.ParseName(args[1])
	return qube.DomID(n), name, err
}

// ready tells whoever started us that we serve.
func ready(log *slog.Logger, fd int) {
	if fd < 0 {
		return
	}
	f := os.NewFile(uintptr(fd), "ready")
	if _, err := f.WriteString("READY\n"); err != nil {
		log.Warn("telling that the multiplexer serves", "reason", err)
	}
	f.Close()
}
