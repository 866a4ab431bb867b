// Package judge asks the policy daemon whether a qube may see something through the Admin
// API (spec admin-api.md §6). It only asks: no user is bothered and nothing is run. Whatever
// goes wrong is a no.
package judge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"qubist/core/qube"
)

const (
	// wait bounds one question.
	wait = 5 * time.Second
	// maxAnswer bounds what the policy daemon may answer, in bytes.
	maxAnswer = 4096
	allow     = "result=allow"
)

// Judge asks at a policy socket.
type Judge struct {
	Socket string
	Log    *slog.Logger
}

// Allowed reports whether policy plainly allows src to call method+arg on dest; a rule that
// would ask does not count. Policy may itself ask qubesd about the system: the caller must
// not hold the model's lock.
func (j Judge) Allowed(ctx context.Context, src qube.Name, method, arg string, dest qube.Name) bool {
	ok, err := j.ask(ctx, src, method, arg, dest)
	if err != nil {
		j.Log.Warn("asking policy", "src", src, "method", method, "dest", dest, "err", err)
	}
	return ok
}

func (j Judge) ask(ctx context.Context, src qube.Name, method, arg string, dest qube.Name) (bool, error) {
	if strings.ContainsFunc(method+arg, func(r rune) bool { return r <= 0x20 || r > 0x7e }) {
		return false, fmt.Errorf("%.64q cannot be asked about", arg)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", j.Socket)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	target := string(dest)
	if dest == qube.Dom0 {
		target = "@adminvm"
	}
	q := fmt.Sprintf("source=%s\nintended_target=%s\nservice_and_arg=%s+%s\njust_evaluate=yes\n\n", src, target, method, arg)
	if _, err := io.WriteString(conn, q); err != nil {
		return false, err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil {
		return false, err
	}
	first, _, _ := strings.Cut(string(answer), "\n")
	return first == allow, nil
}
