// Command qfile-dom0-unpacker receives files in dom0, with quotas.
//
//	qfile-dom0-unpacker USER DIR [-v] [-w BYTES] [--only-regular-files]
//
// UPDATES_MAX_BYTES and UPDATES_MAX_FILES change the quotas: 4 GiB or 90 % of the free
// space, whichever is less, and 4096 entries.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"

	"qubist/qrexec/internal/filecopy"
	"qubist/qrexec/internal/filecopy/receive"
	"qubist/qrexec/internal/getopt"
)

// The quotas without UPDATES_MAX_…
const (
	maxBytes   = 4 << 30
	maxEntries = 4096
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	status, err := run(log, os.Args[1:])
	if err != nil {
		log.Error("qfile-dom0-unpacker", "error", err)
	}
	os.Exit(status)
}

func run(log *slog.Logger, args []string) (int, error) {
	var o filecopy.Options
	verbose := false
	operands, err := getopt.Permute(args, []getopt.Option{
		{Short: 'v', Long: "verbose", Flag: getopt.On(&verbose)},
		{Long: "only-regular-files", Flag: getopt.On(&o.OnlyRegular)},
		{Short: 'w', Long: "wait-for-space", Value: func(s string) (err error) {
			o.WaitForSpace = true
			o.KeepFree, err = strconv.ParseUint(s, 10, 62)
			return err
		}},
	})
	if err == nil && len(operands) != 2 {
		err = errors.New("usage: qfile-dom0-unpacker USER DIR [-v] [-w BYTES] [--only-regular-files]")
	}
	if err != nil {
		return receive.ExitProblem, err
	}
	u, err := user.Lookup(operands[0])
	if err != nil {
		return receive.ExitProblem, fmt.Errorf("finding the user: %w", err)
	}
	if err := receive.Become(u); err != nil {
		return receive.ExitProblem, err
	}
	signal.Ignore(syscall.SIGPIPE)
	return receive.Run(context.Background(), log, operands[1], o, verbose, limit)
}

// limit sets the quotas.
func limit(d *filecopy.Dir, o *filecopy.Options) error {
	free, err := d.Free()
	if err != nil {
		return fmt.Errorf("finding the free space: %w", err)
	}
	o.Limits = filecopy.Limits{Bytes: min(maxBytes, free/10*9), Entries: maxEntries}
	for name, p := range map[string]*uint64{"UPDATES_MAX_BYTES": &o.Limits.Bytes, "UPDATES_MAX_FILES": &o.Limits.Entries} {
		s := os.Getenv(name)
		if s == "" {
			continue
		}
		if *p, err = strconv.ParseUint(s, 10, 63); err != nil || *p == 0 {
			return fmt.Errorf("%s=%q is not a positive number", name, s)
		}
	}
	return nil
}
