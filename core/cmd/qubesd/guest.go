package main

import (
	"context"
	"fmt"
	"time"

	"qubist/core/adminapi"
	"qubist/core/adminapi/device"
	"qubist/core/adminclient"
	"qubist/core/internal/blockdev"
	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/qubesdb"
)

// databaseWait bounds one reading of a qube's database.
const databaseWait = 5 * time.Second

// readDatabase gives the entries of a qube's database below prefix; what it holds the qube
// wrote.
func readDatabase(p paths.Paths) func(context.Context, qube.Name, string) (map[string]string, error) {
	return func(ctx context.Context, n qube.Name, prefix string) (map[string]string, error) {
		ctx, cancel := context.WithTimeout(ctx, databaseWait)
		defer cancel()
		c := qubesdb.New(p.QubesDBDir(), string(n))
		defer c.Close()
		entries, err := c.MultiRead(ctx, prefix)
		if err != nil {
			return nil, err
		}
		out := make(map[string]string, len(entries))
		for _, e := range entries {
			out[e.Path] = e.Value
		}
		return out, nil
	}
}

// runService calls a qrexec service of dom0 in a qube.
func runService(root string) func(context.Context, qube.Name, string, string) error {
	return func(ctx context.Context, n qube.Name, user, service string) error {
		status, err := adminclient.RunCommand(ctx, adminclient.Run{VM: string(n), User: user, Command: "QUBESRPC " + service + " dom0", Root: root})
		if err == nil && status != 0 {
			err = fmt.Errorf("%s ended with status %d", service, status)
		}
		return err
	}
}

// blocks are the block devices that running qubes announce. No hypervisor moves them yet.
type blocks struct {
	read func(context.Context, qube.Name, string) (map[string]string, error)
}

// List implements life.DeviceClass. Dom0 offers none of its own.
func (b blocks) List(ctx context.Context, n qube.Name) ([]device.Info, error) {
	if n == qube.Dom0 {
		return nil, nil
	}
	entries, err := b.read(ctx, n, blockdev.Prefix)
	return blockdev.Parse(string(n), entries), err
}

func noHotplug() error {
	return adminapi.Errorf(adminapi.NotImplemented, "Block devices cannot be attached to running qubes")
}

// Attach implements life.DeviceClass.
func (blocks) Attach(context.Context, qube.Name, device.Info, []device.KV) error { return noHotplug() }

// Detach implements life.DeviceClass.
func (blocks) Detach(context.Context, qube.Name, device.ID) error { return noHotplug() }
