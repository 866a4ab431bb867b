// Command qrexec-policy-admin serves one policy.* call in dom0. A file of the service's
// name in the instance's qubes-rpc directory runs it:
//
//	qrexec-policy-admin [--root DIR] SERVICE [ARGUMENT]
//
// The payload comes on standard input, the caller's name in QREXEC_REMOTE_DOMAIN, for
// policy.RegisterArgument the requested target in QREXEC_REQUESTED_TARGET.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"qubist/core/paths"
	"qubist/qrexec/internal/policyadmin"
)

// lockWait is how long a call waits for another one to end.
const lockWait = 30 * time.Second

func main() { os.Exit(run()) }

func run() int {
	root := flag.String("root", "", "directory of the `instance`")
	flag.Parse()
	p, err := paths.New(*root)
	if err == nil && (flag.NArg() < 1 || flag.NArg() > 2) {
		err = errors.New("usage: qrexec-policy-admin [--root DIR] SERVICE [ARGUMENT]")
	}
	var payload []byte
	if err == nil {
		payload, err = io.ReadAll(io.LimitReader(os.Stdin, policyadmin.MaxPayload+1))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "qrexec-policy-admin: %v\n", err)
		return policyadmin.ExitInternal
	}
	log := "policy-admin.log"
	if flag.Arg(0) == "policy.RegisterArgument" {
		log = "policy-register.log"
	}
	a := policyadmin.New(policyadmin.Config{
		Dir: p.PolicyDir(), Legacy: p.LegacyPolicyDir(), Log: filepath.Join(p.Log, log), Now: time.Now, Group: group(),
	})
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	out, err := a.Serve(ctx, policyadmin.Call{
		Service: flag.Arg(0), Argument: flag.Arg(1), Source: os.Getenv("QREXEC_REMOTE_DOMAIN"),
		RequestedTarget: os.Getenv("QREXEC_REQUESTED_TARGET"), Payload: payload,
	})
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	if err != nil && !errors.Is(err, policyadmin.ErrNotRegistered) {
		fmt.Fprint(os.Stderr, a.Message(err))
	}
	return policyadmin.Exit(err)
}

// group is the group of policy files, when root writes them and there is one.
func group() int {
	g, err := user.LookupGroup("qubes")
	if err != nil || os.Geteuid() != 0 {
		return -1
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return gid
}
