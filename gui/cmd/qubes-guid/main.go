// Command qubes-guid shows one qube's windows on the X server, framed in its colour, and
// carries the user's input to it.
//
// Exit status: 0 after SIGTERM or when the domain is gone, 2 when the display is lost, 1
// when it cannot start or the qube's agent broke the protocol.
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
	"strings"
	"syscall"
	"time"

	"qubist/core/confine"
	"qubist/core/logbound"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/open"
	"qubist/gui/internal/daemon"
	"qubist/gui/internal/display/x11"
	"qubist/gui/internal/shm"
	"qubist/gui/internal/window"
	"qubist/gui/internal/xconn"
)

const (
	exitFailure = 1
	exitDisplay = 2
	// displayLimit is how long connecting to the X server may take.
	displayLimit = 10 * time.Second
	// maxFiles and maxData bound descriptors and memory once confined: the display, one
	// channel and what the Go runtime wants; queues, pictures of titles.
	maxFiles = 64
	maxData  = 512 << 20
)

// options are the command line.
type options struct {
	root, region string
	readyFD      int
	domain       qube.DomID
	name         qube.Name
	colour       uint32
	label        int
	prefix       bool
	own          bool
	check        bool
	level        slog.Level
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "qubes-guid:", err)
		os.Exit(exitFailure)
	}
	log := slog.New(logbound.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: o.level})))
	// The signals stay caught to the end: a second one must not spoil the exit status.
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err = run(ctx, o, log)
	switch {
	case errors.Is(err, daemon.ErrDisplay):
		log.Error("ending", "qube", o.name, "err", err)
		os.Exit(exitDisplay)
	case err != nil:
		log.Error("ending", "qube", o.name, "err", err)
		os.Exit(exitFailure)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("qubes-guid", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", "", "`directory` of the instance (default $QUBIST_ROOT or the system's)")
	flags.IntVar(&o.readyFD, "ready-fd", -1, "`descriptor` that gets READY after the first handshake")
	domain := flags.Uint("d", 0, "`number` of the qube's domain")
	name := flags.String("N", "", "`name` of the qube")
	colour := flags.String("c", "", "the label's colour, `0xRRGGBB`")
	flags.IntVar(&o.label, "l", 0, "the label's `index`")
	flags.StringVar(&o.region, "region", "", "`path` of the window region")
	flags.BoolVar(&o.prefix, "T", false, "prefix titles with [name]")
	quiet := flags.Bool("q", false, "log warnings and errors only")
	verbose := flags.Bool("v", false, "log details")
	mode := flags.String("frame", "own", "who draws frames: `own` or wm (a window manager that knows _QUBES_LABEL_COLOR)")
	flags.BoolVar(&o.check, "check-confinement", false, "confine, try what must fail, tell, and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *domain < 1 || *domain > uint(qube.MaxDomID) {
		return o, fmt.Errorf("domain %d (-d) is not between 1 and %d", *domain, qube.MaxDomID)
	}
	o.domain = qube.DomID(*domain)
	var err error
	if o.name, err = qube.ParseName(*name); err != nil {
		return o, err
	}
	rgb, err := strconv.ParseUint(strings.TrimPrefix(*colour, "0x"), 16, 24)
	if err != nil || !strings.HasPrefix(*colour, "0x") {
		return o, fmt.Errorf("colour %q (-c) is not of the form 0xRRGGBB", *colour)
	}
	o.colour = uint32(rgb)
	if *mode != "own" && *mode != "wm" {
		return o, fmt.Errorf("frame mode %q is neither own nor wm", *mode)
	}
	o.own = *mode == "own"
	switch {
	case *verbose:
		o.level = slog.LevelDebug
	case *quiet:
		o.level = slog.LevelWarn
	}
	return o, nil
}

func run(ctx context.Context, o options, log *slog.Logger) error {
	p, err := paths.New(o.root)
	if err != nil {
		return err
	}
	driver, err := open.Dom0(p, os.Getenv)
	if err != nil {
		return err
	}
	wcfg := window.Config{Name: string(o.name), TitlePrefix: o.prefix && !o.own, UTF8Titles: o.own, Now: time.Now, Log: log}
	xopt := x11.Options{Own: o.own, Name: string(o.name), Label: o.label, Colour: o.colour, Log: log}
	if o.region != "" {
		region, err := shm.Open(o.region)
		if err != nil {
			return err
		}
		defer region.Close()
		wcfg.Region, xopt.Region = region.Size, region.File
	}
	d, closeDisplay, err := connect(ctx, p, xopt)
	if err != nil {
		return err
	}
	defer closeDisplay()
	// Everything is open: the display, the region, the log. What is left is connecting to
	// the multiplexer, again and again.
	if err := confine.Apply(log, confine.Profile{Files: maxFiles, Data: maxData}); err != nil {
		return err
	}
	if o.check {
		return confine.Check(os.Stdout)
	}
	return daemon.Run(ctx, daemon.Config{
		Dial: func(ctx context.Context) (vchan.Conn, error) {
			return driver.Dial(ctx, o.domain, vchan.PortGUI)
		},
		Display: d, Window: wcfg, Log: log,
		Ready: func() { ready(o.readyFD, log) },
	})
}

func connect(ctx context.Context, p paths.Paths, opt x11.Options) (*x11.Display, func(), error) {
	name, authority, err := xconn.Locate(os.Getenv, p.DisplayFile())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, displayLimit)
	defer cancel()
	c, err := xconn.Dial(ctx, name, authority)
	if err != nil {
		return nil, nil, err
	}
	d, err := x11.Open(c, opt)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return d, c.Close, nil
}

// ready tells whoever started us that we serve.
func ready(fd int, log *slog.Logger) {
	if fd < 0 {
		return
	}
	f := os.NewFile(uintptr(fd), "ready")
	if _, err := f.WriteString("READY\n"); err != nil {
		log.Warn("reporting readiness", "err", err)
	}
	if err := f.Close(); err != nil {
		log.Warn("reporting readiness", "err", err)
	}
}
