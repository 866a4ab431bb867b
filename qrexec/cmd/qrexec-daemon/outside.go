package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"qubist/qrexec/internal/outside"
	"qubist/qrexec/internal/proc"
)

const (
	// outsideArg makes this program its own unconfined half. The rest of the command line is
	// the daemon's.
	outsideArg = "--outside"
	// outsideFD is the descriptor that the half inherits.
	outsideFD = 3
)

// helper is the running other half.
type helper struct {
	*outside.Client
	cmd *exec.Cmd
}

// startOutside starts the unconfined half with our own command line. It must come before
// the confinement, which the half would inherit.
func startOutside() (*helper, error) {
	ours, theirs, err := outside.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe", append([]string{outsideArg}, os.Args[1:]...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting the unconfined half: %w", err)
	}
	return &helper{outside.NewClient(ours), cmd}, nil
}

// end lets the half end and waits for it.
func (h *helper) end() {
	h.Close()
	_ = h.cmd.Wait() // it has logged what was wrong
}

// runOutside is the unconfined half. It ends when the daemon does; signals sent to both are
// the daemon's matter.
func runOutside(args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	o, err := parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "qrexec-daemon:", err)
		return 1
	}
	conn, err := outside.Conn(os.NewFile(outsideFD, "outside"))
	if err == nil {
		err = outside.Serve(context.Background(), conn, outside.Config{
			Services: proc.EnvDirs(os.Getenv, o.paths.RPCDirs(), o.paths.RPCConfigDirs()),
			Socket:   outside.Names{Dir: o.socketDir, XID: o.xid, Name: o.name, UUID: o.uuid}, PolicyProgram: o.program, Log: o.log,
		})
	}
	if err != nil {
		o.log.Error("the unconfined half ends", "reason", err)
		return 1
	}
	return 0
}
