// Command qubesdb-daemon is one end of a VM's QubesDB. With a name it is dom0's end for that
// VM (or dom0's own database: 0 dom0), without one it is the VM's:
//
//	qubesdb-daemon [--root DIR] [--socket-dir DIR] [--ready-fd N] [--rw-socket-perms=OCTAL] REMOTE-DOMID [REMOTE-NAME]
//
// It stays in the foreground. Readiness goes to --ready-fd, and to NOTIFY_SOCKET if that is
// set. SIGTERM ends it with status 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"qubist/core/confine"
	"qubist/core/internal/qubesdb"
	"qubist/core/paths"
	"qubist/core/qube"
	clients "qubist/core/qubesdb"
	"qubist/core/vchan/open"
)

// What the daemon can need at most: descriptors for its sockets; memory for the database and
// for what waits for its clients.
const (
	maxFiles = 64 + qubesdb.MaxClients
	maxData  = 1 << 30
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Args[1:]); err != nil {
		log.Error("ending", "reason", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, args []string) error {
	flags := flag.NewFlagSet("qubesdb-daemon", flag.ContinueOnError)
	root := flags.String("root", "", "directory of the instance (default: the system's)")
	dir := flags.String("socket-dir", "", "directory of the sockets (default: of the instance, in a VM "+clients.GuestDir+")")
	readyFD := flags.Int("ready-fd", -1, "descriptor that gets READY")
	perms := flags.String("rw-socket-perms", "666", "mode of the read-write socket, octal")
	if err := flags.Parse(args); err != nil {
		return err
	}
	mode, err := strconv.ParseUint(*perms, 8, 32)
	if err != nil || mode > 0o777 {
		return fmt.Errorf("--rw-socket-perms %q: want 0 to 777, octal", *perms)
	}
	cfg, err := config(*root, flags.Args(), log)
	if err != nil {
		return err
	}
	cfg.Perms = os.FileMode(mode)
	if *dir != "" {
		if cfg.Dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	cfg.Ready = func() {
		if err := errors.Join(readyTo(*readyFD), notify(os.Getenv("NOTIFY_SOCKET"))); err != nil {
			log.Warn("telling that clients are served", "err", err)
		}
	}
	if cfg.Name != "" {
		if err := confineDom0(log, *root, cfg.Dir); err != nil {
			return err
		}
	}
	return qubesdb.New(cfg).Run(ctx)
}

// config takes the domain and the name.
func config(root string, args []string, log *slog.Logger) (qubesdb.Config, error) {
	cfg := qubesdb.Config{Dir: clients.GuestDir, Log: log}
	if len(args) < 1 || len(args) > 2 {
		return cfg, fmt.Errorf("want REMOTE-DOMID and, in dom0, REMOTE-NAME; got %d arguments", len(args))
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil || qube.DomID(n) > qube.MaxDomID {
		return cfg, fmt.Errorf("domain number %q: want 0 to %d", args[0], qube.MaxDomID)
	}
	cfg.Remote = qube.DomID(n)
	if len(args) == 1 {
		id, err := open.GuestDomID(os.Getenv)
		if err != nil {
			return cfg, err
		}
		cfg.Driver, err = open.Guest(id, os.Getenv)
		return cfg, err
	}
	name, err := qube.ParseName(args[1])
	if err != nil {
		return cfg, err
	}
	if (name == qube.Dom0) != (n == 0) {
		return cfg, fmt.Errorf("domain %d is not %s", n, name)
	}
	p, err := paths.New(root)
	if err != nil {
		return cfg, err
	}
	cfg.Name, cfg.Dir, cfg.Log = string(name), p.QubesDBDir(), log.With("qube", name)
	if n != 0 {
		cfg.Driver, err = open.Dom0(p, os.Getenv)
	}
	return cfg, err
}

// confineDom0 keeps what serving one VM takes: the two directories of sockets.
func confineDom0(log *slog.Logger, root, dir string) error {
	p, err := paths.New(root)
	if err != nil {
		return err
	}
	vchans := p.VchanDir()
	if d := os.Getenv(open.EnvSocketDir); d != "" {
		vchans = d
	}
	unix.Umask(0o007)
	for _, d := range []string{vchans, dir} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return fmt.Errorf("creating the directories of sockets: %w", err)
		}
	}
	write := []string{vchans, dir}
	if s := os.Getenv("NOTIFY_SOCKET"); strings.HasPrefix(s, "/") {
		write = append(write, s)
	}
	return confine.Apply(log, confine.Profile{Write: write, Files: maxFiles, Data: maxData})
}

// readyTo says READY on a descriptor.
func readyTo(fd int) error {
	if fd < 0 {
		return nil
	}
	f := os.NewFile(uintptr(fd), "ready")
	defer f.Close()
	_, err := f.WriteString("READY\n")
	return err
}

// notify tells a service manager.
func notify(socket string) error {
	if socket == "" {
		return nil
	}
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("READY=1"))
	return err
}
