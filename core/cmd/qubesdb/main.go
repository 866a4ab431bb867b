// Command qubesdb is the command line of QubesDB. Called by a tool's name (qubesdb-read,
// -write, -rm, -multiread, -list, -watch, -cmd, -read-bool: links to it) or with the command
// as first argument, it is that tool.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"qubist/core/internal/qubesdb/tool"
	"qubist/core/paths"
	"qubist/core/qubesdb"
	"qubist/core/vchan/open"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := tool.Main(ctx, tool.Env{Stdout: os.Stdout, Stderr: os.Stderr, Dir: dir}, os.Args)
	stop()
	os.Exit(code)
}

// dir finds the sockets: of the instance that was asked for; in a VM its own; else of the
// system's instance.
func dir(root string) (string, error) {
	if id, err := open.GuestDomID(os.Getenv); err == nil && id != 0 && root == "" && os.Getenv(paths.Default) == "" {
		return qubesdb.GuestDir, nil
	}
	p, err := paths.New(root)
	return p.QubesDBDir(), err
}
