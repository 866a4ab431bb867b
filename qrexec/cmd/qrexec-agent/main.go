// Command qrexec-agent is a VM's end of its qrexec link; see package qrexec/internal/agent.
// It stays in the foreground.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"qubist/core/vchan"
	"qubist/core/vchan/open"
	"qubist/qrexec/internal/agent"
	"qubist/qrexec/internal/getopt"
	"qubist/qrexec/internal/proc"
)

const (
	usage  = "usage: qrexec-agent [--no-fork-server] [--agent-socket=PATH]\n"
	socket = "/var/run/qubes/qrexec-agent"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	path := socket
	rest, err := getopt.Parse(args, []getopt.Option{
		{Long: "no-fork-server", Flag: func() {}}, // there is none
		{Long: "agent-socket", Value: getopt.Set(&path)},
	})
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unexpected argument %q", rest[0])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-agent: %v\n%s", err, usage)
		return 2
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	driver, err := vmDriver()
	if err != nil {
		log.Error(err.Error())
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	err = agent.New(agent.Config{
		Driver: driver, Socket: path, Accounts: proc.Accounts{Etc: "/etc"}, Log: log, StdioSocket: usr1,
		Dirs: proc.EnvDirs(os.Getenv, strings.Split(proc.DefaultServicePath, ":"), strings.Split(proc.DefaultConfigPath, ":")),
	}).Run(ctx)
	if err != nil {
		log.Error("ending", "reason", err)
		return 1
	}
	return 0
}

func vmDriver() (vchan.Driver, error) {
	id, err := open.GuestDomID(os.Getenv)
	if err != nil {
		return nil, err
	}
	return open.Guest(id, os.Getenv)
}
