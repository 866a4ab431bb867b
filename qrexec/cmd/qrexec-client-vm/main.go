// Command qrexec-client-vm asks, from inside a VM, for a service elsewhere and connects it
// to its own streams or those of a program it starts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"qubist/core/vchan"
	"qubist/core/vchan/open"
	"qubist/qrexec/internal/cli"
	"qubist/qrexec/internal/getopt"
	"qubist/qrexec/internal/vmcall"
	"qubist/qrexec/wire"
)

const (
	usage = `usage: qrexec-client-vm [options] target service[+arg] [program [args…]]
  -t, -T            replace control characters in stdout, stderr
                    (a terminal gets that unless --no-filter-escape-chars-stdout, …-stderr)
  -p DATA           send DATA before standard input
  -s NAME           name of the source, for relays
  --use-stdin-socket
                    standard input is a socket for both directions
  --agent-socket=PATH
`
	socket    = "/var/run/qubes/qrexec-agent"
	exitUsage = 2
)

func main() {
	os.Exit(run(os.Args[1:]))
}

type options struct {
	socket, prefix, source string
	out, err               filter
	stdinSocket            bool
}

// filter is on, off or by the kind of stream.
type filter int

func (f filter) on(s *os.File) bool { return f > 0 || f == 0 && cli.IsTerminal(s) }

func run(args []string) int {
	o := options{socket: socket}
	set := func(f *filter, v filter) func() { return func() { *f = v } }
	rest, err := getopt.Parse(args, []getopt.Option{
		{Short: 't', Long: "filter-escape-chars-stdout", Flag: set(&o.out, 1)},
		{Short: 'T', Long: "filter-escape-chars-stderr", Flag: set(&o.err, 1)},
		{Long: "no-filter-escape-chars-stdout", Flag: set(&o.out, -1)},
		{Long: "no-filter-escape-chars-stderr", Flag: set(&o.err, -1)},
		{Short: 'p', Long: "prefix-data", Value: getopt.Set(&o.prefix)},
		{Short: 's', Long: "source-qube", Value: getopt.Set(&o.source)},
		{Long: "buffer-size", Value: func(s string) error { _, err := strconv.ParseUint(s, 10, 31); return err }},
		{Long: "use-stdin-socket", Flag: getopt.On(&o.stdinSocket)},
		{Long: "agent-socket", Value: getopt.Set(&o.socket)},
		{Short: 'h', Long: "help", Flag: func() { fmt.Print(usage); os.Exit(0) }},
	})
	if err == nil && len(rest) < 2 {
		err = errors.New("a target and a service are needed")
	}
	if err == nil && o.stdinSocket && len(rest) > 2 {
		err = errors.New("--use-stdin-socket excludes a program")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-client-vm: %v\n%s", err, usage)
		return exitUsage
	}
	code, err := o.call(rest)
	switch {
	case errors.Is(err, vmcall.ErrRefused):
		fmt.Fprintln(os.Stderr, "Request refused")
		return wire.ExitRefused
	case err == nil:
		return code & 0xff
	}
	fmt.Fprintf(os.Stderr, "qrexec-client-vm: %v\n", err)
	if status := cli.ExitCode(code, err); status == wire.ExitLost {
		return status
	}
	return 1
}

func (o *options) call(rest []string) (int, error) {
	driver, err := vmDriver()
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := vmcall.Call{
		Driver: driver, Socket: o.socket, Source: o.source, Service: rest[1],
		Target: strings.ReplaceAll(rest[0], "$", "@"), Prefix: []byte(o.prefix),
		Stderr: os.Stderr, FilterStderr: o.err.on(os.Stderr),
	}
	s := cli.Standard()
	if o.stdinSocket {
		s = cli.OneSocket()
	}
	var prog *cli.Program
	if len(rest) == 2 {
		c.FilterStdout = o.out.on(os.Stdout)
		return c.Run(ctx, func() (io.Reader, io.Writer, func(), error) { return s.Stdin, s.Stdout, s.CloseStdout, nil })
	}
	// The program is started only once the call is allowed.
	code, err := c.Run(ctx, func() (io.Reader, io.Writer, func(), error) {
		prog, err = cli.Start(rest[2:])
		if err != nil {
			return nil, nil, nil, err
		}
		return prog.Stdin, prog.Stdout, prog.CloseStdout, nil
	})
	if prog != nil {
		if own := prog.Wait(); err == nil && code == 0 {
			code = own
		}
	}
	return code, err
}

func vmDriver() (vchan.Driver, error) {
	id, err := open.GuestDomID(os.Getenv)
	if err != nil {
		return nil, err
	}
	return open.Guest(id, os.Getenv)
}
