// Command qvm is the command line over the Admin API. Called by a tool's name (qvm-ls, a
// link to it) or with the name as first argument, it is that tool.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"qubist/core/adminclient"
	"qubist/core/internal/qvm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(qvm.Main(ctx, qvm.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Run: adminclient.RunCommand, Display: os.Getenv("DISPLAY") != ""}, os.Args))
}
