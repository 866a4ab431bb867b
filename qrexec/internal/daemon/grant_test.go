package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/mem"
	"qubist/qrexec/internal/daemon"
	"qubist/qrexec/internal/msg"
	"qubist/qrexec/internal/request"
	"qubist/qrexec/wire"
)

// granting is a transport that needs leave and notes who got it.
type granting struct {
	vchan.Driver
	granted chan [3]uint32
	err     error
}

func (g *granting) Grant(_ context.Context, vm, server qube.DomID, port vchan.Port) error {
	g.granted <- [3]uint32{uint32(vm), uint32(server), uint32(port)}
	return g.err
}

// A VM may connect to another one before its agent is told to; to dom0 it needs no leave.
func TestGrantComesBeforeTheCommand(t *testing.T) {
	for _, refuse := range []error{nil, errors.New("no")} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		world := mem.New()
		g := &granting{world.Domain(0), make(chan [3]uint32, 8), refuse}
		dir := t.TempDir()
		ready := make(chan struct{})
		d := daemon.New(daemon.Config{
			Driver: g, DomID: 42, Name: "vault", UUID: "f5086f02-e322-4876-a670-14973aed21b5", DefaultUser: "user", SocketDir: dir,
			PolicySocket: filepath.Join(dir, "none"), Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) },
		})
		run, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- d.Run(run) }()
		l, err := world.Domain(42).Listen(ctx, 0, vchan.PortQrexec)
		if err != nil {
			t.Fatal(err)
		}
		agent, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		agent.Write(wire.AppendHello(nil, wire.Version))
		if _, err := msg.ReadHello(agent); err != nil {
			t.Fatal(err)
		}
		<-ready
		ask := func(caller uint32) net.Conn {
			c, err := request.Dial(ctx, dir, "vault")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := request.Exec(ctx, c, wire.ExecCmdline, caller, "DEFAULT:x"); err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := ask(43)
		defer c.Close()
		if got := <-g.granted; got != [3]uint32{42, 43, 514} {
			t.Errorf("granted %v", got)
		}
		want := uint32(514)
		if refuse != nil {
			// The caller hears of it at once, and the agent never.
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a call without leave goes on")
			}
			defer ask(0).Close()
			want = 513
		}
		h, err := msg.ReadHeader(agent)
		if err != nil {
			t.Fatal(err)
		}
		b, err := msg.ReadBody(agent, h.Len)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := wire.ParseExec(b); err != nil || e.Port != want || e.Command != "user:x" {
			t.Errorf("agent was told %+v, %v", e, err)
		}
		if len(g.granted) > 0 {
			t.Errorf("granted %v", <-g.granted)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		agent.Close()
	}
}
