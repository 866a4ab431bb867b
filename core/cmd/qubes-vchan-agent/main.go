// Command qubes-vchan-agent is the VM's end of the vchan multiplexer: it opens the
// virtio-serial port and serves the VM's programs at /run/vchan/mux.sock:
//
//	qubes-vchan-agent [--dir DIR] [--group GROUP] [--ready-fd N]
//
// The VM's number is qubist.domid of the kernel command line, or VCHAN_DOMAIN. It ends
// with status 0 on SIGTERM.
package main

import (
	"bufio"
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

	"golang.org/x/sys/unix"

	"qubist/core/vchan/link"
	"qubist/core/vchan/open"
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
	flags := flag.NewFlagSet("qubes-vchan-agent", flag.ContinueOnError)
	dir := flags.String("dir", open.GuestDir, "directory of the vchan sockets")
	group := flags.String("group", "qubes", "group whose members may use vchans, if there is such a group")
	root := flags.String("devices", "/", "where sys and dev are")
	readyFD := flags.Int("ready-fd", -1, "descriptor that gets READY once the multiplexer serves")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	domid, err := open.GuestDomID(os.Getenv)
	if err != nil {
		return err
	}
	unix.Umask(0o007)
	if err := makeDir(*dir, *group); err != nil {
		return err
	}
	l := link.New(link.Config{
		VM:     domid,
		Dir:    *dir,
		Socket: open.GuestMux(*dir),
		Open:   link.GuestPort(*root, link.PortName),
		Log:    log,
	})
	return l.Run(ctx, func() {
		if *readyFD >= 0 {
			f := os.NewFile(uintptr(*readyFD), "ready")
			f.WriteString("READY\n")
			f.Close()
		}
	})
}

// makeDir makes the directory of the vchan sockets, for root and the group: with the group
// bit the sockets made in it are the group's too. Without such a group it is root's alone.
func makeDir(dir, group string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("creating the vchan directory: %w", err)
	}
	gid, err := findGroup(group)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Chown(dir, -1, gid); err != nil {
		return fmt.Errorf("giving the vchan directory to group %s: %w", group, err)
	}
	if err := os.Chmod(dir, 0o770|os.ModeSetgid); err != nil {
		return fmt.Errorf("giving the vchan directory to group %s: %w", group, err)
	}
	return nil
}

// findGroup looks group up in /etc/group; os.ErrNotExist if it is not there.
func findGroup(group string) (gid int, err error) {
	f, err := os.Open("/etc/group")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if field := strings.Split(lines.Text(), ":"); len(field) >= 3 && field[0] == group {
			return strconv.Atoi(field[2])
		}
	}
	return 0, fmt.Errorf("group %q: %w", group, os.ErrNotExist)
}
