package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"qubist/core/paths"
	"qubist/qrexec/internal/data"
	"qubist/qrexec/internal/proc"
	"qubist/qrexec/rpcname"
)

// runHere becomes a service of dom0 (-d dom0): the command must be "DEFAULT:QUBESRPC …".
// It returns only if the service is a socket, or on an error.
func runHere(p paths.Paths, command string) error {
	rest, ok := strings.CutPrefix(command, rpcname.DefaultUser+":")
	cmd, err := rpcname.ParseDom0(rest)
	if err == nil && (!ok || cmd.Call == nil) {
		err = errors.New("in dom0 only DEFAULT:QUBESRPC … can be run")
	}
	if err != nil {
		return err
	}
	dirs := proc.EnvDirs(os.Getenv, p.RPCDirs(), p.RPCConfigDirs())
	found, err := dirs.Find(*cmd.Call)
	if err != nil {
		return err
	}
	if found.IsSocket() {
		conf, err := dirs.Config(*cmd.Call)
		if err != nil {
			return err
		}
		return splice(found, conf, cmd.Call.Text)
	}
	env, err := cmd.Call.Env()
	if err != nil {
		return err
	}
	argv := []string{found.Exec}
	if cmd.Call.Arg != "" {
		argv = append(argv, cmd.Call.Arg)
	}
	err = syscall.Exec(found.Exec, argv, append(proc.CleanEnv(os.Environ()), env...))
	return fmt.Errorf("running %q: %w", found.Exec, err)
}

// splice joins our streams with a socket service until it closes.
func splice(found proc.Found, conf rpcname.Config, text string) error {
	conn, err := found.Connect(context.Background())
	if err != nil {
		return err
	}
	svc, err := data.FromSocket(conn, conf, text)
	if err != nil {
		return err
	}
	go func() {
		io.Copy(svc.Stdin, os.Stdin)
		svc.Stdin.Close()
		if conf.ExitOnClientEOF {
			svc.Stdout.Close()
		}
	}()
	_, err = io.Copy(os.Stdout, svc.Stdout)
	if conf.ExitOnClientEOF {
		return nil
	}
	return err
}
