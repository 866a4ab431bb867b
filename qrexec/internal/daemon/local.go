package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/qrexec/internal/msg"
	"qubist/qrexec/rpcname"
	"qubist/qrexec/wire"
)

// localSocket is the daemon's socket with its two links.
type localSocket struct {
	l     *net.UnixListener
	paths []string
}

// listen makes the socket and its links, replacing what an earlier daemon left.
func (d *Daemon) listen() (*localSocket, error) {
	base := fmt.Sprintf("qrexec.%d", d.cfg.DomID)
	at := func(name string) string { return filepath.Join(d.cfg.SocketDir, name) }
	ls := &localSocket{paths: []string{at(base), at("qrexec." + string(d.cfg.Name)), at("qrexec.uuid:" + d.cfg.UUID)}}
	ls.remove()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ls.paths[0], Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	ls.l = l
	err = os.Chmod(ls.paths[0], 0o660) // who may connect may run anything in the VM
	for _, link := range ls.paths[1:] {
		err = errors.Join(err, os.Symlink(base, link))
	}
	if err != nil {
		ls.remove()
		return nil, fmt.Errorf("making the local socket: %w", err)
	}
	return ls, nil
}

func (ls *localSocket) remove() {
	for _, p := range ls.paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue // a directory in the way: listening will fail and say so
		}
	}
	if ls.l != nil {
		ls.l.Close()
	}
}

// serveLocal accepts clients until the listener is closed. It joins them.
func (s *session) serveLocal(l net.Listener) {
	free := make(chan struct{}, wire.NumPorts)
	for {
		c, err := l.Accept()
		if err != nil {
			break
		}
		s.mu.Lock()
		ok := s.ctx.Err() == nil
		if ok {
			s.clients[c] = struct{}{}
		}
		s.mu.Unlock()
		select {
		case free <- struct{}{}:
		default:
			ok = false
		}
		if !ok {
			s.drop(c)
			continue
		}
		s.d.wg.Go(func() {
			defer func() { <-free }()
			defer s.drop(c)
			if err := s.client(c); err != nil {
				s.d.cfg.Log.Warn("local client dropped", "reason", err)
			}
		})
	}
}

func (s *session) drop(c net.Conn) {
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	c.Close()
}

// client serves one local program: hello, one request, then silence until either side
// closes.
func (s *session) client(c net.Conn) error {
	if _, err := c.Write(wire.AppendHello(nil, wire.ClientVersion)); err != nil {
		return err
	}
	v, err := msg.ReadHello(c)
	if err != nil {
		return err
	}
	if v < wire.MinClient {
		return fmt.Errorf("client speaks version %d", v)
	}
	h, err := msg.ReadHeader(c)
	if err != nil {
		return err
	}
	if err := wire.CheckRequest(h); err != nil {
		return err
	}
	body, err := msg.ReadBody(c, h.Len)
	if err != nil {
		return err
	}
	if h.Type == wire.ServiceConnect {
		err = s.clientConnect(c, body)
	} else {
		err = s.clientExec(c, h.Type, body)
	}
	if err != nil {
		return err
	}
	var b [1]byte
	if n, _ := c.Read(b[:]); n > 0 {
		return errors.New("client wrote after its request")
	}
	return nil
}

// clientExec passes a command on to the agent, with a port if the client has none.
func (s *session) clientExec(c net.Conn, t wire.Type, body []byte) error {
	e, err := wire.ParseRequest(body)
	if err != nil {
		return err
	}
	if cmd, ok := strings.CutPrefix(e.Command, rpcname.DefaultUser+":"); ok {
		e.Command = s.d.cfg.DefaultUser + ":" + cmd
	}
	if err := s.answerPort(c, t, &e); err != nil {
		return err
	}
	if g, ok := s.d.cfg.Driver.(vchan.Granter); ok && e.Domain != 0 {
		if err := g.Grant(s.ctx, s.d.cfg.DomID, qube.DomID(e.Domain), vchan.Port(e.Port)); err != nil {
			s.terminated(wire.AppendPair(nil, e))
			return fmt.Errorf("granting port %d of domain %d: %w", e.Port, e.Domain, err)
		}
	}
	return s.send(wire.AppendExec(nil, t, e))
}

// clientConnect answers a pending request from outside.
func (s *session) clientConnect(c net.Conn, body []byte) error {
	e, id, err := wire.ParseConnect(body)
	if err != nil {
		return err
	}
	if err := wire.CheckPort(e.Port, true); err != nil {
		return err
	}
	if err := id.Check(); err != nil {
		return err
	}
	if err := s.answerPort(c, wire.ServiceConnect, &e); err != nil {
		return err
	}
	wire.PutPort(body, e.Port)
	return s.sendConnect(id, wire.Append(nil, wire.ServiceConnect, body))
}

// answerPort allocates a port where none was asked for and tells the client.
func (s *session) answerPort(c net.Conn, t wire.Type, e *wire.Exec) error {
	if e.Port != 0 {
		s.d.cfg.Log.Info("client chose its port", "port", e.Port)
		return nil
	}
	p, err := s.alloc(e.Domain, func() { c.Close() })
	if err != nil {
		return err
	}
	e.Port = p
	_, err = c.Write(wire.AppendExecShort(nil, t, wire.Exec{Domain: uint32(s.d.cfg.DomID), Port: p}))
	if err != nil {
		s.terminated(wire.AppendPair(nil, *e)) // the agent never hears of it
	}
	return err
}
