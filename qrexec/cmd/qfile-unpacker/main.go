// Command qfile-unpacker is the receiving end of qubes.Filecopy in a VM.
//
//	qfile-unpacker [-v] [--allow-all-names] [--allow-unsafe-symlinks] [-w BYTES] [UID [DIR]]
//
// Files go to ~/QubesIncoming/<sender>; the sender's name comes from QREXEC_REMOTE_DOMAIN.
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
	"qubist/qrexec/internal/filecopy/wire"
	"qubist/qrexec/internal/getopt"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	status, err := run(log, os.Args[1:])
	if err != nil {
		log.Error("qfile-unpacker", "error", err)
	}
	os.Exit(status)
}

func run(log *slog.Logger, args []string) (int, error) {
	o := filecopy.Options{Rules: wire.Rules{LooseTargets: true}}
	verbose := false
	opts := []getopt.Option{
		{Short: 'v', Long: "verbose", Flag: getopt.On(&verbose)},
		{Long: "allow-all-names", Flag: getopt.On(&o.Rules.AllNames)},
		{Long: "allow-unsafe-symlinks", Flag: getopt.On(&o.Rules.UnsafeLinks)},
		{Long: "no-allow-unsafe-symlinks", Flag: func() { o.Rules.UnsafeLinks = false }},
		{Short: 'w', Long: "wait-for-space", Value: func(s string) (err error) {
			o.WaitForSpace = true
			o.KeepFree, err = strconv.ParseUint(s, 10, 62)
			return err
		}},
	}
	operands, err := getopt.Permute(args, opts)
	if err != nil {
		return receive.ExitProblem, err
	}
	if len(operands) > 2 {
		return receive.ExitProblem, errors.New("at most a uid and a directory")
	}
	u, err := user.Current()
	if err == nil && len(operands) > 0 {
		u, err = user.LookupId(operands[0])
	}
	if err != nil {
		return receive.ExitProblem, fmt.Errorf("finding the user: %w", err)
	}
	if err := receive.Become(u); err != nil {
		return receive.ExitProblem, err
	}
	var dir string
	if len(operands) == 2 {
		dir = operands[1]
	} else if dir, err = receive.IncomingDir(home(u, operands), os.Getenv("QREXEC_REMOTE_DOMAIN")); err != nil {
		return receive.ExitProblem, err
	}
	signal.Ignore(syscall.SIGPIPE)
	return receive.Run(context.Background(), log, dir, o, verbose, nil)
}

// home is where the files go: the environment's unless another user is named.
func home(u *user.User, operands []string) string {
	if h := os.Getenv("HOME"); h != "" && len(operands) == 0 {
		return h
	}
	return u.HomeDir
}
