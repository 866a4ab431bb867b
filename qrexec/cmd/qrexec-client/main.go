// Command qrexec-client runs a command in a VM, or a service of dom0 itself, for a program
// in dom0. Package qrexec/client is the same for Go programs.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"qubist/core/paths"
	"qubist/core/vchan/open"
	"qubist/qrexec/client"
	"qubist/qrexec/internal/cli"
	"qubist/qrexec/internal/getopt"
)

const usage = `usage: qrexec-client [options] -d VM user:command
  -d VM             name, domain number, uuid:…; dom0 runs a service here
  -e                only start the command
  -E                exit with 0 whatever the command does
  -t, -T            replace control characters in stdout, stderr
                    (a terminal gets that anyway)
  -w SECONDS        time for the VM to connect, default 10
  -c IDENT,NAME,ID  answer the request IDENT of VM NAME (domain ID): the command,
                    a service in dom0 or in a VM, is for it
  -l PROGRAM        run a shell command whose streams are the call's
  -p DATA           send DATA before standard input
  --use-stdin-socket
                    standard input is a socket for both directions
  --root DIR, --socket-dir=DIR
`

func main() {
	os.Exit(run(os.Args[1:]))
}

type options struct {
	root, socketDir, vm, local, prefix, request string
	just, zero, filterOut, filterErr            bool
	stdinSocket                                 bool
	timeout                                     time.Duration
}

func run(args []string) int {
	var o options
	rest, err := getopt.Parse(args, []getopt.Option{
		{Short: 'd', Value: getopt.Set(&o.vm)},
		{Short: 'e', Flag: getopt.On(&o.just)},
		{Short: 'E', Flag: getopt.On(&o.zero)},
		{Short: 't', Flag: getopt.On(&o.filterOut)},
		{Short: 'T', Flag: getopt.On(&o.filterErr)},
		{Short: 'w', Value: o.setTimeout},
		{Short: 'c', Value: getopt.Set(&o.request)},
		{Short: 'l', Value: getopt.Set(&o.local)},
		{Short: 'p', Value: getopt.Set(&o.prefix)},
		{Long: "use-stdin-socket", Flag: getopt.On(&o.stdinSocket)},
		{Long: "socket-dir", Value: getopt.Set(&o.socketDir)},
		{Long: "root", Value: getopt.Set(&o.root)},
		{Short: 'h', Long: "help", Flag: func() { fmt.Print(usage); os.Exit(0) }},
	})
	switch {
	case err != nil:
	case o.vm == "" || len(rest) != 1:
		err = errors.New("a VM and one command are needed")
	case o.request != "" && (o.just || o.stdinSocket || o.local != ""):
		err = errors.New("-c excludes -e, -l and --use-stdin-socket")
	case o.local != "" && (o.just || o.stdinSocket):
		err = errors.New("-l excludes -e and --use-stdin-socket")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-client: %v\n%s", err, usage)
		return 1
	}
	code, err := o.call(rest[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-client: %v\n", err)
	}
	status := cli.ExitCode(code, err)
	if o.zero {
		return 0
	}
	return status
}

func (o *options) setTimeout(s string) error {
	n, err := strconv.ParseUint(s, 10, 31)
	o.timeout = time.Duration(n) * time.Second
	return err
}

func (o *options) call(command string) (int, error) {
	p, err := paths.New(o.root)
	if err != nil {
		return 0, err
	}
	here := o.vm == "dom0" || o.vm == "@adminvm"
	if here && o.request == "" {
		return 0, runHere(p, command)
	}
	driver, err := open.Dom0(p, os.Getenv)
	if err != nil {
		return 0, err
	}
	if o.socketDir == "" {
		o.socketDir = p.QrexecDir()
	}
	if o.socketDir, err = filepath.Abs(o.socketDir); err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if o.request != "" {
		r, err := parseRequest(o.request)
		if err != nil {
			return 0, err
		}
		r.driver, r.dir, r.timeout = driver, o.socketDir, cmp.Or(o.timeout, client.DefaultTimeout)
		if here {
			return r.serveHere(ctx, p, command)
		}
		return r.serveVM(ctx, o.vm, command)
	}
	opts := client.Options{
		Driver: driver, SocketDir: o.socketDir, VM: o.vm, Command: command, Prefix: []byte(o.prefix),
		Stderr: os.Stderr, Timeout: o.timeout,
		FilterStdout: o.filterOut || o.local == "" && cli.IsTerminal(os.Stdout),
		FilterStderr: o.filterErr || cli.IsTerminal(os.Stderr),
	}
	if o.just {
		return client.JustExec(ctx, o.streams(opts, cli.Standard()))
	}
	if o.stdinSocket {
		return client.Run(ctx, o.streams(opts, cli.OneSocket()))
	}
	if o.local == "" {
		return client.Run(ctx, o.streams(opts, cli.Standard()))
	}
	prog, err := cli.Start([]string{"/bin/sh", "-c", o.local})
	if err != nil {
		return 0, err
	}
	code, err := client.Run(ctx, o.streams(opts, prog.Streams))
	own := prog.Wait()
	if err == nil && code == 0 {
		code = own
	}
	return code, err
}

// streams puts a call's local ends in place.
func (o *options) streams(opts client.Options, s cli.Streams) client.Options {
	opts.Stdin, opts.Stdout, opts.CloseStdout = s.Stdin, io.Writer(s.Stdout), s.CloseStdout
	return opts
}
