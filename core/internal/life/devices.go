package life

import (
	"context"
	"slices"

	"qubist/core/adminapi"
	"qubist/core/adminapi/device"
	"qubist/core/internal/domain"
	"qubist/core/qube"
)

// DeviceClass finds and moves the devices of one class. Attach and Detach may be
// unsupported; they then fail with adminapi.NotImplemented.
type DeviceClass interface {
	// List gives the devices a running qube, or dom0, has to offer.
	List(ctx context.Context, backend qube.Name) ([]device.Info, error)
	Attach(ctx context.Context, frontend qube.Name, d device.Info, options []device.KV) error
	Detach(ctx context.Context, frontend qube.Name, id device.ID) error
}

// Devices lists what a qube offers of a class. A qube that does not run offers nothing.
func (s *System) Devices(ctx context.Context, n qube.Name, class string) ([]device.Info, error) {
	there := false
	if err := s.Read(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		there = vm.Class == qube.AdminVM || vm.Local() && !vm.Halted()
		return nil
	}); err != nil || !there {
		return nil, err
	}
	c := s.DeviceClasses[class]
	if c == nil {
		return nil, nil
	}
	list, err := c.List(ctx, n)
	if err != nil {
		s.Log.Warn("listing devices", "class", class, "backend", n, "err", err)
		return nil, nil
	}
	for i := range list {
		list[i].Attachment = string(s.holder(class, list[i].ID))
	}
	return list, nil
}

// holder is the qube a device is attached to, "" for none.
func (s *System) holder(class string, id device.ID) (n qube.Name) {
	_ = s.Read(func(m *domain.Model) error {
		for _, vm := range m.VMs() {
			if attached(vm, class, id) >= 0 {
				n = vm.Name
			}
		}
		return nil
	})
	return n
}

func attached(vm *domain.VM, class string, id device.ID) int {
	return slices.IndexFunc(vm.Run.Attached, func(a device.Assignment) bool {
		return a.Class == class && a.Backend == id.Backend && a.Port == id.Port
	})
}

// find gives the one device that id means.
func (s *System) find(ctx context.Context, class string, id device.ID) (device.Info, error) {
	list, err := s.Devices(ctx, qube.Name(id.Backend), class)
	if err != nil {
		return device.Info{}, err
	}
	for _, d := range list {
		if d.Matches(id) {
			return d, nil
		}
	}
	return device.Info{}, adminapi.Errorf(adminapi.ProtocolError, "Device not found: %s device %s", class, id)
}

// Attach gives a device to a running qube.
func (s *System) Attach(ctx context.Context, n qube.Name, a device.Assignment) error {
	running := func(m *domain.Model) error {
		vm := m.VM(n)
		switch {
		case vm == nil:
			return domain.NotFound(string(n))
		case !vm.Local() || vm.Class == qube.AdminVM:
			return adminapi.Errorf(adminapi.VMError, "Cannot attach devices to %s %s", vm.Class, n)
		case vm.Halted():
			return adminapi.Errorf(adminapi.VMNotRunning, "VM not running, cannot attach device, do you mean `assign`?")
		}
		return nil
	}
	if err := s.Read(running); err != nil {
		return err
	}
	d, err := s.find(ctx, a.Class, a.ID)
	if err != nil {
		return err
	}
	a.ID = d.ID
	if h := s.holder(a.Class, a.ID); h != "" {
		return adminapi.Errorf(adminapi.DeviceAlreadyAttached, "%s device %s already attached to %s", a.Class, a.ID, h)
	}
	if a.Mode == "" || a.Mode == device.Manual {
		if err := s.Read(func(m *domain.Model) error { return denied(m, m.VM(n), d) }); err != nil {
			return err
		}
	}
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	args := []string{"device", a.String(), "options", device.Repr(a.Options)}
	if err := s.Write(func(m *domain.Model) error {
		if err := running(m); err != nil {
			return err
		}
		m.Fire(m.VM(n), "device-pre-attach:"+a.Class, args...)
		return nil
	}); err != nil {
		return err
	}
	if err := s.DeviceClasses[a.Class].Attach(ctx, n, d, a.Options); err != nil {
		return err
	}
	return s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if err := running(m); err != nil {
			return err
		}
		vm.Run.Attached = append(vm.Run.Attached, a)
		m.Fire(vm, "device-attach:"+a.Class, args...)
		return nil
	})
}

// denied refuses a device whose interfaces the qube must not get.
func denied(m *domain.Model, vm *domain.VM, d device.Info) error {
	codes, err := domain.DeniedCodes(m.Text(vm, "devices_denied"))
	if err != nil {
		return err
	}
	for _, p := range codes {
		if slices.ContainsFunc(d.Interfaces, func(i string) bool { return device.InterfaceMatches(i, p) }) {
			return adminapi.Errorf(adminapi.PermissionDenied, "Device %s has an interface that %s must not get: %s", d.ID, vm.Name, p)
		}
	}
	return nil
}

// Detach takes a device from a qube.
func (s *System) Detach(ctx context.Context, n qube.Name, class string, id device.ID) error {
	unlock, err := s.lock(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		i := attached(vm, class, id)
		if i < 0 {
			return adminapi.Errorf(adminapi.DeviceNotAssigned, "'%s device %s not attached to %s'", class, id.Port, n)
		}
		if vm.Run.Attached[i].Mode == device.Required {
			return adminapi.Errorf(adminapi.VMNotHalted, "Cannot detach required device %s from running qube %s", id, n)
		}
		id = vm.Run.Attached[i].ID
		m.Fire(vm, "device-pre-detach:"+class, "port", id.Backend+":"+id.Port)
		return nil
	}); err != nil {
		return err
	}
	if err := s.DeviceClasses[class].Detach(ctx, n, id); err != nil {
		return err
	}
	return s.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		if i := attached(vm, class, id); i >= 0 {
			vm.Run.Attached = slices.Delete(slices.Clone(vm.Run.Attached), i, i+1)
		}
		m.Fire(vm, "device-detach:"+class, "port", id.Backend+":"+id.Port)
		return nil
	})
}

// required reports whether all devices a qube cannot do without are there.
func (s *System) required(ctx context.Context, p *plan) error {
	for _, a := range p.devices {
		if _, err := s.find(ctx, a.Class, a.ID); err != nil {
			return adminapi.Errorf(adminapi.Exception, "Cannot start %s: required %s device %s is not there", p.name, a.Class, a.ID)
		}
	}
	return nil
}
