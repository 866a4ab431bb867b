// Package admin serves the Admin API: it reads requests from Unix sockets, finds the method
// in a table that says who it is for and what it may carry, and calls its handler. What the
// methods do to the system is in packages domain and life. Spec admin-api.md.
//
// The sockets' file modes are the authorisation, as in the original: the source name in a
// request is trusted, because only dom0's root and the qrexec machinery can connect.
package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/life"
	"qubist/core/qube"
)

const (
	// requestWait bounds how long a client may take to send its request.
	requestWait = 60 * time.Second
	// maxConns bounds the connections of one socket that are open at a time.
	maxConns = 512
)

// API answers requests. All fields must be set.
type API struct {
	Sys *life.System
	Log *slog.Logger
	// Allowed asks policy whether src may call method+arg on dest without a question; it is
	// asked only for what a source other than dom0 may see, and without the model's lock.
	Allowed func(ctx context.Context, src qube.Name, method, arg string, dest qube.Name) bool
	// QubesDB reads the entries of a qube's database whose paths begin with prefix. The qube
	// wrote them.
	QubesDB func(ctx context.Context, n qube.Name, prefix string) (map[string]string, error)
	// Drivers are the kinds of pools that can be added.
	Drivers []PoolDriver
	// Status are the lines of admin.qubist.Status.
	Status []domain.KV

	tokens tokens
}

// Call is a request whose source and destination exist.
type Call struct {
	Method    string // as called
	Var       string // the variable part of the method's name: a class of qubes
	Src, Dest qube.Name
	Arg       string
	Payload   []byte
	api       *API
}

// src and dest are the qubes of the call; only with the model's lock held.
func (c *Call) src(m *domain.Model) *domain.VM  { return m.VM(c.Src) }
func (c *Call) dest(m *domain.Model) *domain.VM { return m.VM(c.Dest) }

// Serve answers requests on l with the methods of set until ctx ends, then joins all calls.
func (a *API) Serve(ctx context.Context, l net.Listener, set Set) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	slots := make(chan struct{}, maxConns)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return nil
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			a.handle(ctx, conn, set)
		})
	}
}

func (a *API) handle(ctx context.Context, conn net.Conn, set Set) {
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now().Add(time.Second)) })()
	_ = conn.SetReadDeadline(time.Now().Add(requestWait))
	r, err := adminapi.ReadRequest(conn)
	if err != nil {
		a.Log.Debug("dropping a connection", "err", err)
		return
	}
	out, stream := a.answer(ctx, r, set)
	if stream == nil {
		_, _ = conn.Write(out) // the peer may be gone
		return
	}
	// A subscriber that closes is noticed when a write fails, or here when it hangs up.
	sctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		waitHangup(sctx, conn)
		cancel()
	}()
	if err := stream.Copy(sctx, conn); err != nil && !errors.Is(err, io.EOF) && sctx.Err() == nil {
		a.Log.Info("event stream ended", "src", r.Src, "err", err)
	}
	cancel()
	<-watch
}

// answer does one call: the response's bytes, or a stream.
func (a *API) answer(ctx context.Context, r adminapi.Request, set Set) ([]byte, *life.Subscription) {
	data, stream, err := a.do(ctx, r, set)
	if err == nil {
		return adminapi.AppendOK(nil, data), stream
	}
	var e *adminapi.Error
	if !errors.As(err, &e) {
		a.Log.Error("call failed", "method", r.Method, "dest", r.Dest, "err", err)
		e = adminapi.Errorf(adminapi.Exception, "%v", err)
	}
	return e.Append(nil), nil
}

// do checks in the original's order, then acts.
func (a *API) do(ctx context.Context, r adminapi.Request, set Set) (data []byte, stream *life.Subscription, err error) {
	c := &Call{Method: r.Method, Arg: r.Arg, Payload: r.Payload, api: a}
	if err := a.Sys.Read(func(m *domain.Model) error {
		src, err := lookup(m, r.Src)
		if err != nil {
			return err
		}
		dest, err := lookup(m, r.Dest)
		if err != nil {
			return err
		}
		c.Src, c.Dest = src.Name, dest.Name
		return nil
	}); err != nil {
		return nil, nil, err
	}
	meth := set.find(c)
	if meth == nil {
		return nil, nil, adminapi.Errorf(adminapi.ProtocolError, "no such method: '%s'", r.Method)
	}
	if err := meth.check(c); err != nil {
		return nil, nil, err
	}
	switch {
	case meth.Read != nil:
		err = a.Sys.Read(func(m *domain.Model) (err error) {
			if err = c.present(m); err == nil {
				data, err = meth.Read(m, c)
			}
			return err
		})
	case meth.Write != nil:
		err = a.Sys.Write(func(m *domain.Model) (err error) {
			if err = c.present(m); err == nil {
				data, err = meth.Write(m, c)
			}
			return err
		})
	case meth.Stream != nil:
		stream, err = meth.Stream(c)
	default:
		data, err = meth.Do(ctx, c)
	}
	return data, stream, err
}

// present reports whether both qubes are still there, since the lock was given up.
func (c *Call) present(m *domain.Model) error {
	for _, n := range []qube.Name{c.Src, c.Dest} {
		if m.VM(n) == nil {
			return domain.NotFound(string(n))
		}
	}
	return nil
}

// lookup finds the qube that untrusted names, by name or "uuid:…".
func lookup(m *domain.Model, untrusted string) (*domain.VM, error) {
	if u, ok := bytes.CutPrefix([]byte(untrusted), []byte("uuid:")); ok {
		if !domain.UUID(string(u)) {
			return nil, adminapi.Errorf(adminapi.VMInvalidUUID, "VM UUID is not valid: '%.64s'", u)
		}
		if vm := m.ByUUID(string(u)); vm != nil {
			return vm, nil
		}
		return nil, domain.NotFound(untrusted)
	}
	n, err := domain.CheckName(untrusted)
	if err != nil {
		return nil, err
	}
	if vm := m.VM(n); vm != nil {
		return vm, nil
	}
	return nil, domain.NotFound(string(n))
}
