// Package socket is the vchan transport over Unix stream sockets, on the wire the same as
// upstream's socket vchan (spec vchan-socket.md): the bytes on the socket are the bytes of
// the vchan. It gives no proof of who the peer is; the permissions of the directory are
// the whole access control.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"qubist/core/qube"
	"qubist/core/vchan"
	"qubist/core/vchan/internal/usock"
)

// Path is the rendezvous of a vchan below dir (spec vchan-socket.md §1).
func Path(dir string, server, client qube.DomID, port vchan.Port) string {
	return filepath.Join(dir, fmt.Sprintf("vchan.%d.%d.%d.sock", server, client, port))
}

// Driver speaks for one domain. Its sockets are in one directory, which must exist.
type Driver struct {
	dir   string
	local qube.DomID

	mu     sync.Mutex
	offers map[string]*listener // by path; not yet accepted
}

var _ vchan.Driver = (*Driver)(nil)

// New returns the driver of the domain local with its sockets in dir.
func New(dir string, local qube.DomID) *Driver {
	return &Driver{dir: dir, local: local, offers: map[string]*listener{}}
}

// Local is the domain this driver speaks for.
func (d *Driver) Local() qube.DomID { return d.local }

// Dial connects to server's socket; one that is absent is waited for until ctx ends.
func (d *Driver) Dial(ctx context.Context, server qube.DomID, port vchan.Port) (vchan.Conn, error) {
	c, err := usock.Dial(ctx, Path(d.dir, server, d.local, port))
	if err != nil {
		return nil, fmt.Errorf("dialling domain %d port %d: %w", server, port, err)
	}
	return c, nil
}

// Listen creates the socket, replacing whatever has its name. Its permissions follow the
// umask.
func (d *Driver) Listen(ctx context.Context, client qube.DomID, port vchan.Port) (vchan.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := Path(d.dir, d.local, client, port)
	if err := usock.CheckPath(path); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.offers[path]; old != nil {
		old.withdraw()
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale vchan socket: %w", err)
	}
	sock, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("offering port %d to domain %d: %w", port, client, err)
	}
	sock.SetUnlinkOnClose(false)
	l := &listener{driver: d, path: path, sock: sock}
	if l.self, err = os.Lstat(path); err != nil {
		sock.Close()
		return nil, fmt.Errorf("offering port %d to domain %d: %w", port, client, err)
	}
	d.offers[path] = l
	return l, nil
}

type listener struct {
	driver *Driver
	path   string
	sock   *net.UnixListener
	self   os.FileInfo // the socket file we bound

	accepting sync.Mutex // one Accept at a time: the deadline is shared
	once      sync.Once
}

func (l *listener) Accept(ctx context.Context) (vchan.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.sock.SetDeadline(time.Time{})
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.sock.SetDeadline(time.Unix(1, 0))
		close(woken)
	})
	c, err := l.sock.AcceptUnix()
	if !stop() {
		<-woken
	}
	switch {
	case err == nil:
		// The name is free before the peer can be answered: nobody can connect to an
		// offer that is used up.
		l.Close()
		return usock.Conn{UnixConn: c}, nil
	case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ctx.Err()
	case errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EINVAL):
		return nil, vchan.ErrClosed
	}
	return nil, fmt.Errorf("accepting on %s: %w", l.path, err)
}

// Close removes the name and stops listening.
func (l *listener) Close() error {
	l.driver.mu.Lock()
	defer l.driver.mu.Unlock()
	l.withdraw()
	return nil
}

// withdraw does Close's work. The caller holds driver.mu. The file is removed only if it is
// ours: another process may have replaced it. Our socket pins its inode, so the number
// cannot have been used again.
func (l *listener) withdraw() {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(l.self, now) {
			os.Remove(l.path)
		}
		l.sock.Close()
		if l.driver.offers[l.path] == l {
			delete(l.driver.offers, l.path)
		}
	})
}
