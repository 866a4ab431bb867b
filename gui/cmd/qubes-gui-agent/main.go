// Command qubes-gui-agent is a VM's end of the GUI: it runs the VM's X server and shows its
// windows to dom0; see package gui/internal/agent. It stays in the foreground. Its end does
// not end the X server; the next agent takes over.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"qubist/core/qube"
	"qubist/core/vchan/open"
	"qubist/gui/internal/agent"
	"qubist/gui/internal/agent/region"
	"qubist/gui/internal/agent/xserver"
)

const pciDevices = "/sys/bus/pci/devices"

func main() {
	os.Exit(run(os.Args[1:]))
}

type options struct {
	display, region, status, user string
	daemon                        uint
	debug                         bool
	server                        xserver.Config
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("qubes-gui-agent", flag.ContinueOnError)
	f.StringVar(&o.display, "display", "", "use the X server that runs on this display (cookie from --xauthority or XAUTHORITY); start none")
	f.StringVar(&o.server.Display, "start-display", ":0", "display of the X server to start")
	f.StringVar(&o.server.Kind, "server", xserver.Xorg, "X server to start: xorg or xvfb")
	f.StringVar(&o.server.XorgConf, "xorg-config", "/usr/share/qubes/xorg/qubes.conf", "configuration of xorg")
	f.StringVar(&o.server.LogFile, "xorg-log", "/var/log/Xorg.0.log", "log of xorg")
	f.StringVar(&o.server.Authority, "xauthority", "", "cookie file (default /run/qubes/xauth; with --display $XAUTHORITY)")
	f.StringVar(&o.user, "user", "", "user who may read the cookie (default: qubist.user of the kernel command line)")
	f.StringVar(&o.region, "region", "", "file of the window region (default: the ivshmem device)")
	f.StringVar(&o.status, "status-file", "/run/qubes/gui-agent.status", "file that tells the agent's state; empty for none")
	f.UintVar(&o.daemon, "d", 0, "domain of the GUI daemon")
	f.BoolVar(&o.debug, "debug", false, "log every failed X request")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.daemon > uint(qube.MaxDomID) {
		return o, fmt.Errorf("no such domain %d", o.daemon)
	}
	if o.server.Authority == "" {
		o.server.Authority = "/run/qubes/xauth"
		if o.display != "" {
			o.server.Authority = os.Getenv("XAUTHORITY")
		}
	}
	return o, nil
}

func run(args []string) int {
	o, err := parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "qubes-gui-agent:", err)
		return 2
	}
	level := slog.LevelInfo
	if o.debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := serve(ctx, o, log); err != nil {
		log.Error("ending", "reason", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, o options, log *slog.Logger) error {
	local, err := open.GuestDomID(os.Getenv)
	if err != nil {
		return err
	}
	driver, err := open.Guest(local, os.Getenv)
	if err != nil {
		return err
	}
	if o.region == "" {
		if o.region, err = region.Find(pciDevices); err != nil {
			log.Warn("windows will have no pixels", "err", err)
		}
	}
	status := newStatus(o.status, log)
	defer status.remove()
	status.tell("starting")
	c := agent.Config{
		Display: o.display, Authority: o.server.Authority, Region: o.region,
		Vchan: driver, Daemon: qube.DomID(o.daemon), Log: log, Status: status.tell,
	}
	if o.display != "" {
		return agent.Serve(ctx, c)
	}
	if o.user == "" {
		o.user = defaultUser()
	}
	o.server.Log, o.server.Owner = log, uid(o.user, log)
	return agent.ServeOwn(ctx, c, o.server)
}

// defaultUser is whom dom0 named on the kernel command line.
func defaultUser() string {
	name := "user"
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return name
	}
	for _, word := range strings.Fields(string(b)) {
		if v, ok := strings.CutPrefix(word, "qubist.user="); ok && v != "" {
			name = v
		}
	}
	return name
}

// uid is the number of the user who may use the X server; our own where there is none.
func uid(name string, log *slog.Logger) int {
	u, err := user.Lookup(name)
	if err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil {
			return n
		}
	}
	log.Warn("only this user can reach the X server", "err", err)
	return os.Geteuid()
}
