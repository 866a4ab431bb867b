package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"qubist/core/internal/admin"
	"qubist/core/internal/domain"
	"qubist/core/internal/host"
	"qubist/core/internal/hypervisor"
	"qubist/core/internal/hypervisor/fake"
	"qubist/core/internal/hypervisor/libvirt"
	"qubist/core/internal/judge"
	"qubist/core/internal/launch"
	"qubist/core/internal/life"
	"qubist/core/internal/store"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/qubesdb"
	"qubist/storage/pool/file"
	"qubist/storage/volume"
)

type options struct {
	root, hypervisor, uri string
	noDaemons, verbose    bool
	readyFD               int
}

// defaultPool is the pool of a fresh system, kernelPool lists the kernels.
const (
	defaultPool = "varlibqubes"
	kernelPool  = "linux-kernel"
)

// drivers are the pools users may add.
var drivers = []admin.PoolDriver{{Name: "file", Options: []admin.PoolOption{{Name: "revisions_to_keep", Default: "1"}, {Name: "dir_path"}}}}

// run composes the daemon and serves until ctx ends.
func run(ctx context.Context, o options, log *slog.Logger) error {
	p, err := paths.New(o.root)
	if err != nil {
		return err
	}
	for d, mode := range map[string]os.FileMode{p.Lib: 0o755, p.Run: 0o755, p.Log: 0o750} {
		if err := os.MkdirAll(d, mode); err != nil {
			return err
		}
	}
	unlock, err := single(filepath.Join(p.Run, "qubesd.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	driver, err := open(ctx, o, p, log)
	if err != nil {
		return err
	}
	defer driver.Close()
	daemons, letGo := daemons(o, p, log)
	defer letGo()
	var database func(qube.Name) *qubesdb.Client
	if !o.noDaemons {
		database = func(n qube.Name) *qubesdb.Client { return qubesdb.New(p.QubesDBDir(), string(n)) }
	}
	sys, err := life.Open(ctx, life.Config{
		Database: database,
		Paths:    p, Driver: driver, Daemons: daemons, OpenPool: poolOpener(o), Host: host.Facts(p), FS: store.OS{}, Log: log,
		DeviceClasses: map[string]life.DeviceClass{"block": blocks{readDatabase(p)}}, RunService: runService(o.root),
		Now: time.Now, Dom0: host.Usage, Fresh: func(m *domain.Model) { fresh(m, p) },
	})
	if err != nil {
		return err
	}
	defer sys.Close()
	api := &admin.API{Sys: sys, Log: log, Drivers: drivers, Status: status(p, driver.Accel()),
		QubesDB: readDatabase(p), Allowed: judge.Judge{Socket: p.PolicySocket(), Log: log}.Allowed}
	return serve(ctx, api, p, o.readyFD)
}

// single makes sure that one qubesd serves an instance.
func single(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another qubesd serves this instance (%s is locked): %w", path, err)
	}
	return func() { f.Close() }, nil
}

func open(ctx context.Context, o options, p paths.Paths, log *slog.Logger) (hypervisor.Driver, error) {
	switch o.hypervisor {
	case "libvirt":
		return libvirt.New(ctx, libvirt.Options{Paths: p, URI: o.uri, Log: log})
	case "fake":
		return fake.Open(filepath.Join(p.Run, "fake-domains.json"))
	}
	return nil, fmt.Errorf("unknown hypervisor %q, want libvirt or fake", o.hypervisor)
}

// daemons gives the launcher and how to let go of it.
func daemons(o options, p paths.Paths, log *slog.Logger) (life.Daemons, func()) {
	if o.noDaemons {
		return launch.None{}, func() {}
	}
	bin := "."
	if self, err := os.Executable(); err == nil {
		bin = filepath.Dir(self)
	}
	g := launch.New(&launch.OS{Bin: bin, Root: o.root, PidDir: filepath.Join(p.Run, "daemons"), LogDir: p.Log, DisplayFile: p.DisplayFile(), Log: log}, log)
	return g, g.Close
}

func poolOpener(o options) func(domain.Pool) (volume.Pool, error) {
	return func(c domain.Pool) (volume.Pool, error) {
		dir := c.Option("dir_path")
		switch {
		case dir == "":
			return nil, errors.New("option dir_path is missing")
		case o.hypervisor == "fake":
			return fake.OpenPool(c.Name, dir), nil
		case c.Driver == "file":
			return file.New(c.Name, dir)
		}
		return nil, fmt.Errorf("no driver %q", c.Driver)
	}
}

// fresh fills a system that starts for the first time.
func fresh(m *domain.Model, p paths.Paths) {
	m.Pools = []domain.Pool{
		{Name: defaultPool, Driver: "file", Options: []domain.KV{{Key: "dir_path", Value: p.Lib}, {Key: "revisions_to_keep", Value: "1"}}},
		{Name: kernelPool, Driver: "linux-kernel", Options: []domain.KV{{Key: "dir_path", Value: filepath.Dir(p.KernelDir("x"))}}},
	}
	if d, err := m.Def(nil, "default_pool_kernel"); err == nil {
		_ = m.SetValue(nil, d, domain.TextValue(kernelPool)) // the pool is there
	}
}

// status are the lines of admin.qubist.Status.
func status(p paths.Paths, a hypervisor.Accel) []domain.KV {
	accel := "TCG"
	if a.KVM {
		accel = "KVM"
	}
	version := "unknown"
	if bi, ok := debug.ReadBuildInfo(); ok {
		version = bi.Main.Version
	}
	return []domain.KV{{Key: "version", Value: version}, {Key: "instance", Value: p.Lib}, {Key: "accel", Value: accel}, {Key: "accel_reason", Value: a.Reason}}
}

// serve answers on all sockets until ctx ends.
func serve(ctx context.Context, api *admin.API, p paths.Paths, readyFD int) error {
	pub, err := listen(p.QubesdSocket(), 0o660)
	if err != nil {
		return err
	}
	internal, err := listen(p.QubesdInternalSocket(), 0o600)
	if err != nil {
		pub.Close()
		return err
	}
	misc, err := listen(p.QubesdMiscSocket(), 0o660)
	if err != nil {
		pub.Close()
		internal.Close()
		return err
	}
	for socket, set := range map[string]admin.Set{p.QubesdSocket(): admin.AdminSet(), p.QubesdMiscSocket(): admin.MiscSet()} {
		if err := linkServices(p.RPCDirs()[0], socket, set); err != nil {
			api.Log.Error("qubes cannot reach the Admin API", "err", err)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return api.Serve(ctx, pub, admin.AdminSet()) })
	g.Go(func() error { return api.Serve(ctx, internal, admin.InternalSet()) })
	g.Go(func() error { return api.Serve(ctx, misc, admin.MiscSet()) })
	if readyFD >= 0 {
		f := os.NewFile(uintptr(readyFD), "ready")
		if _, err := f.WriteString("READY\n"); err != nil {
			api.Log.Warn("telling that we are ready", "err", err)
		}
		f.Close()
	}
	return g.Wait()
}

// listen binds a socket with exactly this mode; the instance lock says that a leftover is dead.
func listen(path string, mode os.FileMode) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
