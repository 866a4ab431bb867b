// Command qubes-guid shows one qube's windows on the X server, framed in its colour, and
// carries the user's input to it.
//
// Exit status: 0 after SIGTERM or when the domain is gone, 2 when the display is lost, 1
// when it cannot start or the qube's agent broke the protocol. With --frame wm it is 1
// wherever the original's is.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"qubist/core/paths"
	"qubist/core/vchan"
	"qubist/core/vchan/open"
	"qubist/gui/internal/daemon"
	"qubist/gui/internal/display/x11"
	"qubist/gui/internal/grant"
	"qubist/gui/internal/options"
	"qubist/gui/internal/runfile"
	"qubist/gui/internal/shm"
	"qubist/gui/internal/window"
	"qubist/gui/internal/xconn"
)

const (
	exitFailure = 1
	exitDisplay = 2
	// displayLimit is how long connecting to the X server may take.
	displayLimit = 10 * time.Second
)

func main() {
	o, err := options.Parse(os.Args[1:])
	if errors.Is(err, options.ErrHelp) {
		fmt.Print(o.Print)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "qubes-guid:", err)
		os.Exit(exitFailure)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level(o.Level)}))
	// The signals stay caught to the end: a second one must not spoil the exit status.
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	signal.Ignore(syscall.SIGHUP) // changes of the screen are heard from the X server
	err = run(ctx, o, log)
	os.Exit(report(err, o, log))
}

// report logs why the daemon ends and turns it into the exit status.
func report(err error, o *options.Options, log *slog.Logger) int {
	var killed errKilled
	switch {
	case err == nil:
		return 0
	case errors.Is(err, runfile.ErrRunning):
		log.Info("ending", "qube", o.Name, "reason", err)
		return 0
	case errors.As(err, &killed):
		log.Warn("ending", "qube", o.Name, "reason", err)
		return killed.status
	}
	log.Error("ending", "qube", o.Name, "err", err)
	if errors.Is(err, daemon.ErrDisplay) && o.Own {
		return exitDisplay
	}
	return exitFailure
}

func level(n int) slog.Level {
	switch {
	case n <= 0:
		return slog.LevelWarn
	case n == 1:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func run(ctx context.Context, o *options.Options, log *slog.Logger) error {
	p, err := paths.New(o.Root)
	if err != nil {
		return err
	}
	driver, err := open.Dom0(p, os.Getenv)
	if err != nil {
		return err
	}
	cfg := daemon.Config{
		Dial: func(ctx context.Context) (vchan.Conn, error) { return driver.Dial(ctx, o.Domain, vchan.PortGUI) },
		Log:  log, Ready: func() { ready(o.ReadyFD, log) },
	}
	end, err := live(ctx, o, p, &cfg)
	if err != nil {
		return err
	}
	defer end()
	display, closeDisplay, err := connect(ctx, o, p, &cfg.Window, log)
	if err != nil {
		return err
	}
	defer closeDisplay()
	cfg.Display = display
	return daemon.Run(ctx, cfg)
}

// connect opens the display and the memory of the qube's pictures.
func connect(ctx context.Context, o *options.Options, p paths.Paths, wcfg *window.Config, log *slog.Logger) (*x11.Display, func(), error) {
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
	closers := []func(){c.Close}
	closeAll := func() {
		for _, f := range closers {
			f()
		}
	}
	opt, err := appearance(c, o, log)
	if err == nil && o.Region != "" {
		var region *shm.Region
		if region, err = shm.Open(o.Region); err == nil {
			closers = append(closers, func() { region.Close() })
			wcfg.Region, opt.Region = region.Size, region.File
		}
	}
	if err == nil && o.Grants != "" {
		var broker *grant.Client
		if broker, err = grant.Dial(o.Grants); err == nil {
			closers = append(closers, func() { broker.Close() })
			opt.Grants = broker
		}
	}
	var d *x11.Display
	if err == nil {
		wcfg.Label = opt.Colour
		d, err = x11.Open(c, opt)
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return d, closeAll, nil
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
