package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/qrexec/internal/request"
	"qubist/qrexec/wire"
)

const (
	nilUUID = "uuid:00000000-0000-0000-0000-000000000000"
	dispvm  = "@dispvm:"
	// killLimit bounds the removal of a disposable after its call, also while we end.
	killLimit = 60 * time.Second
)

// request carries one call from policy to its end. Whatever goes wrong before the agent was
// told where the service is refuses it.
func (s *session) request(tr wire.Trigger) {
	log := s.d.cfg.Log.With("service", tr.Service, "target", tr.Target)
	defer s.refuse(tr.Ident)
	defer func() {
		if r := recover(); r != nil {
			log.Error("request handler failed", "reason", fmt.Sprint(r))
		}
	}()
	a, err := s.d.ask(s.ctx, wire.Question{
		Source: string(s.d.cfg.Name), RequestedSource: tr.Source, HasRequested: s.version >= 4,
		Target: tr.Target, Service: tr.Service,
	})
	switch {
	case err != nil:
		log.Error("no policy decision, refused", "reason", err)
		return
	case !a.Allow:
		log.Info("call refused")
		return
	}
	c := s.callOf(tr, a)
	log.Info("call allowed", "to", a.Target)
	switch {
	case c.target == "dom0" || c.target == "@adminvm" || a.TargetUUID == nilUUID:
		err = s.runDom0(tr.Ident, c)
	case strings.HasPrefix(a.Target, dispvm):
		err = s.runDisposable(tr.Ident, c)
	default:
		err = s.runVM(tr.Ident, c)
	}
	if err != nil && s.ctx.Err() == nil {
		log.Error("call failed", "reason", err)
	}
}

// call is an allowed request.
type call struct {
	service   string // name+arg, always with '+'
	source    string
	user      string
	target    string // as policy named it
	uuid      string // target_uuid or ""
	requested string
	autostart bool
}

func (s *session) callOf(tr wire.Trigger, a wire.Answer) call {
	c := call{service: tr.Service, source: string(s.d.cfg.Name), user: a.User, target: a.Target,
		uuid: a.TargetUUID, requested: a.RequestedTarget, autostart: a.Autostart}
	if a.Service != "" {
		c.service = a.Service
	}
	if a.PolicySource != "" {
		c.source = a.PolicySource
	}
	if !strings.Contains(c.service, "+") {
		c.service += "+"
	}
	return c
}

// command is what the target's agent is told.
func (c call) command() string { return c.user + ":QUBESRPC " + c.service + " " + c.source }

// runVM connects the request to a service in another VM, starting that if it may.
func (s *session) runVM(id wire.Ident, c call) error {
	vm := c.target
	if c.uuid != "" {
		vm = c.uuid
	}
	conn, err := request.Dial(s.ctx, s.d.cfg.SocketDir, vm)
	if errors.Is(err, request.ErrNoDaemon) && c.autostart {
		if err = s.d.start(s.ctx, vm); err == nil {
			conn, err = request.Dial(s.ctx, s.d.cfg.SocketDir, vm)
		}
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	return s.connectTo(id, c, conn)
}

// connectTo asks another VM's daemon to run the service and tells our agent where it is.
func (s *session) connectTo(id wire.Ident, c call, conn net.Conn) error {
	e, err := request.Exec(s.ctx, conn, wire.ExecCmdline, uint32(s.d.cfg.DomID), c.command())
	if err != nil {
		return err
	}
	return s.serviceConnect(id, e)
}

// start starts a VM; one that runs already is as good.
func (d *Daemon) start(ctx context.Context, vm string) error {
	_, err := d.cfg.Admin.Call(ctx, "admin.vm.Start", vm, "", nil)
	if err != nil && adminapi.KindOf(err) != "QubesVMNotHaltedError" {
		return fmt.Errorf("starting %q: %w", vm, err)
	}
	return nil
}

// runDisposable makes a disposable for the call and removes it afterwards.
func (s *session) runDisposable(id wire.Ident, c call) error {
	if !c.autostart {
		return errors.New("a disposable is needed, but policy forbids to start one")
	}
	vm, err := s.d.createDisposable(s.ctx, c)
	if err != nil {
		return err
	}
	defer s.d.kill(vm)
	if err := s.d.start(s.ctx, vm); err != nil {
		return err // it may run all the same: our session has ended, not its start
	}
	conn, err := request.Dial(s.ctx, s.d.cfg.SocketDir, vm)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.connectTo(id, c, conn); err != nil {
		return err
	}
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	var b [1]byte
	conn.Read(b[:]) // its end is the end of the call
	return nil
}

// createDisposable returns the name or "uuid:…" of a new disposable.
func (d *Daemon) createDisposable(ctx context.Context, c call) (string, error) {
	dest, payload := strings.TrimPrefix(c.target, dispvm), []byte(nil)
	if c.uuid != "" {
		dest, payload = strings.TrimPrefix(c.uuid, dispvm), []byte("uuid")
	}
	b, err := d.cfg.Admin.Call(ctx, "admin.vm.CreateDisposable", dest, "", payload)
	if err != nil {
		return "", fmt.Errorf("making a disposable of %q: %w", dest, err)
	}
	vm := string(b)
	if u, ok := strings.CutPrefix(vm, "uuid:"); ok != (payload != nil) || ok && !wire.ValidUUID(u) {
		return "", fmt.Errorf("making a disposable of %q: unexpected answer %q", dest, vm)
	}
	return vm, nil
}

// kill ends a disposable. It works while the daemon ends, too.
func (d *Daemon) kill(vm string) {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	_, err := d.cfg.Admin.Call(ctx, "admin.vm.Kill", vm, "", nil)
	switch adminapi.KindOf(err) {
	case "QubesVMNotFoundError", "QubesVMNotStartedError": // gone already
		return
	}
	if err != nil {
		d.cfg.Log.Error("removing a disposable", "vm", vm, "reason", err)
	}
}
