package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/local"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/internal/request"
	"qubist/qrexec/wire"
)

// exitUnconnected is the status when a request could not be connected to another VM.
const exitUnconnected = 137

// pending is a request of a VM that an outside policy program allowed (-c).
type pending struct {
	id      wire.Ident
	caller  qube.DomID
	driver  vchan.Driver
	dir     string
	timeout time.Duration
}

func parseRequest(s string) (pending, error) {
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return pending{}, errors.New("-c wants ident,name,number")
	}
	id, err := wire.MakeIdent(f[0])
	if err != nil {
		return pending{}, err
	}
	n, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil || qube.DomID(n) > qube.MaxDomID {
		return pending{}, fmt.Errorf("-c: domain number %q", f[2])
	}
	return pending{id: id, caller: qube.DomID(n)}, nil
}

// serveHere runs a service of dom0 for the request.
func (r pending) serveHere(ctx context.Context, p paths.Paths, command string) (int, error) {
	limit, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	conn, err := request.Dial(limit, r.dir, strconv.Itoa(int(r.caller)))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	e, err := request.Connect(limit, conn, wire.Exec{}, r.id)
	if err != nil {
		return 0, err
	}
	c, err := r.driver.Dial(limit, r.caller, vchan.Port(e.Port))
	if err != nil {
		return 0, err
	}
	link, err := data.Open(limit, c)
	if err != nil {
		return 0, err
	}
	run := local.Runner{
		Dirs: proc.EnvDirs(os.Getenv, p.RPCDirs(), p.RPCConfigDirs()),
		Log:  slog.New(slog.NewTextHandler(os.Stderr, nil)), Shell: true,
	}
	return 0, run.Serve(ctx, link, command)
}

// serveVM connects the request with a command in another VM.
func (r pending) serveVM(ctx context.Context, vm, command string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	target, err := request.Dial(ctx, r.dir, vm)
	if err != nil {
		return 0, err
	}
	defer target.Close()
	e, err := request.Exec(ctx, target, wire.ExecCmdline, uint32(r.caller), command)
	if err != nil {
		return exitUnconnected, err
	}
	conn, err := request.Dial(ctx, r.dir, strconv.Itoa(int(r.caller)))
	if err != nil {
		return exitUnconnected, err
	}
	defer conn.Close()
	if _, err := request.Connect(ctx, conn, e, r.id); err != nil {
		return exitUnconnected, err
	}
	return 0, nil
}
