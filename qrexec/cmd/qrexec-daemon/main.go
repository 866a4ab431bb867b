// Command qrexec-daemon is dom0's end of one VM's qrexec link. It stays in the foreground;
// see package qrexec/internal/daemon for what it does.
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
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan/open"
	"qubist/qrexec/internal/daemon"
	"qubist/qrexec/internal/getopt"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/wire"
)

const usage = `usage: qrexec-daemon [-q] [--root DIR] [--ready-fd N] [--socket-dir=DIR] [-p PROGRAM] [-D]
                     -u UUID [--] domid name [default-user]
`

// exitTimeout is the status when the agent did not come in time.
const exitTimeout = 3

func main() {
	os.Exit(run(os.Args[1:]))
}

type options struct {
	root, socketDir, program, uuid string
	readyFD                        int
}

func run(args []string) int {
	var o options
	o.readyFD = -1
	none := func() {}
	rest, err := getopt.Parse(args, []getopt.Option{
		{Short: 'q', Long: "quiet", Flag: none},  // of the progress that the original prints
		{Short: 'D', Long: "direct", Flag: none}, // always: we never go into the background
		{Short: 'p', Long: "policy-program", Value: getopt.Set(&o.program)},
		{Short: 'u', Long: "uuid", Value: getopt.Set(&o.uuid)},
		{Long: "socket-dir", Value: getopt.Set(&o.socketDir)},
		{Long: "root", Value: getopt.Set(&o.root)},
		{Long: "ready-fd", Value: func(s string) (err error) { o.readyFD, err = strconv.Atoi(s); return err }},
	})
	if err == nil && (len(rest) < 2 || len(rest) > 3 || !wire.ValidUUID(o.uuid)) {
		err = errors.New("a UUID, a domain number and a name are needed")
	}
	var cfg daemon.Config
	if err == nil {
		cfg, err = config(o, rest)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-daemon: %v\n%s", err, usage)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err = daemon.New(cfg).Run(ctx)
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

func config(o options, rest []string) (daemon.Config, error) {
	p, err := paths.New(o.root)
	if err != nil {
		return daemon.Config{}, err
	}
	id, err := strconv.ParseUint(rest[0], 10, 32)
	if err != nil || qube.DomID(id) > qube.MaxDomID || id == 0 {
		return daemon.Config{}, fmt.Errorf("domain number %q", rest[0])
	}
	name, err := qube.ParseName(rest[1])
	if err != nil {
		return daemon.Config{}, err
	}
	driver, err := open.Dom0(p, os.Getenv)
	if err != nil {
		return daemon.Config{}, err
	}
	cfg := daemon.Config{
		Driver: driver, DomID: qube.DomID(id), Name: name, UUID: o.uuid, DefaultUser: "user",
		SocketDir: p.QrexecDir(), PolicySocket: p.PolicySocket(), PolicyProgram: o.program,
		Admin:    adminclient.New(p.QubesdSocket()),
		Services: proc.EnvDirs(os.Getenv, p.RPCDirs(), p.RPCConfigDirs()),
		Log:      slog.New(slog.NewTextHandler(os.Stderr, nil)).With("vm", name),
	}
	if len(rest) == 3 {
		cfg.DefaultUser = rest[2]
	}
	if o.socketDir != "" {
		if cfg.SocketDir, err = filepath.Abs(o.socketDir); err != nil {
			return cfg, err
		}
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
