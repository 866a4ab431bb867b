package proc

import (
	"context"
	"fmt"
	"io"
	"sync"

	"qubist/qrexec/rpcname"
)

// WaitService is the service that ends once a user's session is there.
const WaitService = "qubes.WaitForSession"

// AwaitSession runs WaitService as user, whose name it gets on its input, on behalf of a call
// from source. Without such a service the error wraps ErrNotFound. How it ends is its matter.
func (d Dirs) AwaitSession(ctx context.Context, accounts Accounts, user, source string, env []string) error {
	cmd, err := rpcname.ParseDom0("QUBESRPC " + WaitService + " " + source)
	if err != nil {
		return err
	}
	found, err := d.Find(*cmd.Call)
	if err != nil {
		return err
	}
	if found.IsSocket() {
		return fmt.Errorf("%s is a socket", WaitService)
	}
	callEnv, err := cmd.Call.Env()
	if err != nil {
		return err
	}
	pr := Program{Path: found.Exec, Env: append(env, callEnv...)}
	if pr.Account, err = accounts.Switch(user); err != nil {
		return err
	}
	p, err := Start(pr)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer p.CloseStreams()
	wg.Go(func() { io.Copy(io.Discard, p.Stdout) })
	wg.Go(func() { io.Copy(io.Discard, p.Stderr) })
	io.WriteString(p.Stdin, user+"\n")
	p.Stdin.Close()
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
