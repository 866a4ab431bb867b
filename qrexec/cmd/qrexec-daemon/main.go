// Command qrexec-daemon is dom0's end of one VM's qrexec link. It stays in the foreground;
// see package qrexec/internal/daemon for what it does. It confines itself before it hears
// the VM; what then needs files or programs is done by a second process of it, see package
// qrexec/internal/outside. With --check-confinement it tells what this kernel keeps it from,
// and ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"qubist/core/adminclient"
	"qubist/core/confine"
	"qubist/core/logbound"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan/open"
	"qubist/qrexec/internal/daemon"
	"qubist/qrexec/internal/getopt"
	"qubist/qrexec/internal/outside"
	"qubist/qrexec/wire"
)

const usage = `usage: qrexec-daemon [-q] [--root DIR] [--ready-fd N] [--socket-dir=DIR] [-p PROGRAM] [-D]
                     -u UUID [--] domid name [default-user]
`

// exitTimeout is the status when the agent did not come in time.
const exitTimeout = 3

// What a daemon can need at most once confined: descriptors for its calls, its local
// clients and its questions, memory for the buffers of its calls.
const (
	maxFiles = 64 + 8*wire.NumPorts
	maxData  = 768 << 20
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == outsideArg {
		os.Exit(runOutside(os.Args[2:]))
	}
	os.Exit(run(os.Args[1:]))
}

// options are the command line, for both halves.
type options struct {
	root, socketDir, program, uuid string
	readyFD                        int
	check                          bool

	paths paths.Paths
	xid   qube.DomID
	name  qube.Name
	user  string
	log   *slog.Logger
}

func parse(args []string) (options, error) {
	o := options{readyFD: -1, user: "user"}
	none := func() {}
	rest, err := getopt.Parse(args, []getopt.Option{
		{Short: 'q', Long: "quiet", Flag: none},  // of the progress that the original prints
		{Short: 'D', Long: "direct", Flag: none}, // always: we never go into the background
		{Short: 'p', Long: "policy-program", Value: getopt.Set(&o.program)},
		{Short: 'u', Long: "uuid", Value: getopt.Set(&o.uuid)},
		{Long: "socket-dir", Value: getopt.Set(&o.socketDir)},
		{Long: "root", Value: getopt.Set(&o.root)},
		{Long: "ready-fd", Value: func(s string) (err error) { o.readyFD, err = strconv.Atoi(s); return err }},
		{Long: "check-confinement", Flag: func() { o.check = true }},
	})
	if err == nil && (len(rest) < 2 || len(rest) > 3 || !wire.ValidUUID(o.uuid)) {
		err = errors.New("a UUID, a domain number and a name are needed")
	}
	if err != nil {
		return o, err
	}
	id, err := strconv.ParseUint(rest[0], 10, 32)
	if err != nil || qube.DomID(id) > qube.MaxDomID || id == 0 {
		return o, fmt.Errorf("domain number %q", rest[0])
	}
	o.xid = qube.DomID(id)
	if o.name, err = qube.ParseName(rest[1]); err != nil {
		return o, err
	}
	if len(rest) == 3 {
		o.user = rest[2]
	}
	if o.paths, err = paths.New(o.root); err != nil {
		return o, err
	}
	if o.socketDir == "" {
		o.socketDir = o.paths.QrexecDir()
	}
	if o.socketDir, err = filepath.Abs(o.socketDir); err != nil {
		return o, err
	}
	o.log = slog.New(logbound.New(slog.NewTextHandler(os.Stderr, nil))).With("vm", o.name)
	return o, nil
}

func run(args []string) int {
	o, err := parse(args)
	var cfg daemon.Config
	if err == nil {
		cfg, err = config(o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-daemon: %v\n%s", err, usage)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err = serve(ctx, o, cfg)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, daemon.ErrStartup):
		cfg.Log.Error(err.Error())
		return exitTimeout
	}
	cfg.Log.Error("ending", "reason", err)
	return 1
}

// serve starts the process outside, confines this one, and serves.
func serve(ctx context.Context, o options, cfg daemon.Config) error {
	helper, err := startOutside()
	if err != nil {
		return err
	}
	defer helper.end()
	if err := confine.Apply(o.log, confine.Profile{Files: maxFiles, Data: maxData}); err != nil {
		return err
	}
	if o.check {
		return confine.Check(os.Stdout)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-helper.Lost():
			cancel(outside.ErrLost)
		case <-ctx.Done():
		}
	}()
	cfg.Outside = helper.Client
	err = daemon.New(cfg).Run(ctx)
	if errors.Is(context.Cause(ctx), outside.ErrLost) {
		return outside.ErrLost
	}
	return err
}

func config(o options) (daemon.Config, error) {
	driver, err := open.Dom0(o.paths, os.Getenv)
	if err != nil {
		return daemon.Config{}, err
	}
	cfg := daemon.Config{
		Driver: driver, DomID: o.xid, Name: o.name, DefaultUser: o.user,
		SocketDir: o.socketDir, PolicySocket: o.paths.PolicySocket(), PolicyProgram: o.program != "",
		Admin: adminclient.New(o.paths.QubesdSocket()),
		Log:   o.log,
	}
	if s := os.Getenv("QREXEC_STARTUP_TIMEOUT"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return cfg, fmt.Errorf("QREXEC_STARTUP_TIMEOUT: %w", err)
		}
		cfg.StartupLimit = time.Duration(n) * time.Second
	}
	if o.readyFD >= 0 {
		f := os.NewFile(uintptr(o.readyFD), "ready")
		if f == nil {
			return cfg, fmt.Errorf("descriptor %d", o.readyFD)
		}
		syscall.CloseOnExec(o.readyFD)
		cfg.Ready = func() {
			f.WriteString("READY\n")
			f.Close()
		}
	}
	return cfg, nil
}
