package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
)

// PoolDriver is a kind of pool that can be added.
type PoolDriver struct {
	Name    string
	Options []PoolOption // in the order of admin.pool.ListDrivers
}

// PoolOption is one setting of a driver. Default "" makes it required.
type PoolOption struct {
	Name, Default string
	Unkept        bool // only used while adding
}

func poolMethods() []Method {
	read := func(verb string, arg need, f func(*domain.Model, *Call) ([]byte, error)) Method {
		return Method{Name: "admin.pool." + verb, Dest: onDom0, Arg: arg, Payload: no, Scope: "global", Flags: "R", Read: f}
	}
	return []Method{
		read("List", no, func(m *domain.Model, _ *Call) ([]byte, error) {
			var out []byte
			for _, p := range m.Pools {
				out = append(append(out, p.Name...), '\n')
			}
			return out, nil
		}),
		read("ListDrivers", no, func(_ *domain.Model, c *Call) ([]byte, error) {
			var out []byte
			for _, d := range c.api.Drivers {
				out = append(out, d.Name...)
				for _, o := range d.Options {
					out = append(append(out, ' '), o.Name...)
				}
				out = append(out, '\n')
			}
			return out, nil
		}),
		{Name: "admin.pool.Info", Dest: onDom0, Arg: must, Payload: no, Scope: "global", Flags: "R", Do: poolInfo},
		{Name: "admin.pool.UsageDetails", Dest: onDom0, Arg: must, Payload: no, Scope: "global", Flags: "R", Do: poolUsage},
		{Name: "admin.pool.Set.ephemeral_volatile", Dest: onDom0, Arg: must, Payload: must, Scope: "global", Flags: "RW", Write: poolEphemeral},
		read("volume.List", must, poolVolumes),
		{Name: "admin.pool.Add", Dest: onDom0, Arg: must, Payload: must, Scope: "global", Flags: "RW", Write: poolAdd},
		{Name: "admin.pool.Remove", Dest: onDom0, Arg: must, Payload: no, Scope: "global", Flags: "RW", Write: poolRemove},
		{Name: "admin.pool.Set.revisions_to_keep", Dest: onDom0, Arg: must, Payload: must, Scope: "global", Flags: "RW", Write: poolRevisions},
	}
}

// poolAdd makes a pool of a driver. It is opened when it is first used.
func poolAdd(m *domain.Model, c *Call) ([]byte, error) {
	i := slices.IndexFunc(c.api.Drivers, func(d PoolDriver) bool { return d.Name == c.Arg })
	if i < 0 {
		return nil, adminapi.Errorf(adminapi.PermissionDenied, "Argument not in 'available drivers'")
	}
	given, err := options(c.Payload, "\n", "Pool parameters")
	if err != nil {
		return nil, err
	}
	p := domain.Pool{Driver: c.Arg}
	values := map[string]string{}
	for _, o := range given {
		if _, twice := values[o.Key]; twice {
			return nil, protocolError("Options must be unique")
		}
		values[o.Key] = o.Value
	}
	name, ok := values["name"]
	delete(values, "name")
	switch {
	case !ok:
		return nil, protocolError("Pool configuration must contain key: name")
	case name == "" || !only(name, safeSet):
		return nil, protocolError("Pool name must be in safe set: %s", safeSet)
	case m.Pool(name) != nil:
		return nil, adminapi.Errorf(adminapi.PoolInUse, "Storage pool is in use: '%s'", name)
	}
	p.Name = name
	if p.Options, err = c.api.Drivers[i].settle(values); err != nil {
		return nil, err
	}
	m.Pools = append(m.Pools, p)
	m.Touch()
	m.Fire(nil, "pool-add", "pool", p.Name)
	return nil, nil
}

// settle gives the options a pool is kept with.
func (d PoolDriver) settle(values map[string]string) ([]domain.KV, error) {
	var out []domain.KV
	for _, o := range d.Options {
		v, ok := values[o.Name]
		delete(values, o.Name)
		if !ok {
			v = o.Default
		}
		switch {
		case v == "":
			return nil, adminapi.Errorf(adminapi.Exception, "missing required driver options: %s", o.Name)
		case strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r > 0x7e }):
			return nil, protocolError("Option %s contains illegal characters", o.Name)
		case o.Name == "dir_path" && (v[0] != '/' || strings.Contains(v, "..")):
			return nil, adminapi.Errorf(adminapi.ValueError, "dir_path must be absolute")
		case o.Name == "revisions_to_keep":
			if n, err := revisions([]byte(v), "Revisions to keep"); err != nil || n < -1 || n > 1 && d.Name == "file" {
				return nil, adminapi.Errorf(adminapi.ValueError, "Invalid value for revisions_to_keep")
			}
		case o.Name == "ephemeral_volatile":
			b, ok := domain.ParseBool(v)
			if !ok {
				return nil, adminapi.Errorf(adminapi.ValueError, "Invalid value for ephemeral_volatile")
			}
			v = adminapi.PyBool(b)
		}
		if !o.Unkept {
			out = append(out, domain.KV{Key: o.Name, Value: v})
		}
	}
	if len(values) > 0 {
		return nil, protocolError("Unexpected driver options found")
	}
	return out, nil
}

func poolRemove(m *domain.Model, c *Call) ([]byte, error) {
	p, err := findPool(m, c)
	if err != nil {
		return nil, err
	}
	inUse := slices.ContainsFunc(m.VMs(), func(vm *domain.VM) bool {
		return slices.ContainsFunc(vm.Volumes, func(v domain.Volume) bool { return v.Pool == p.Name })
	})
	for _, d := range m.Defs(nil) {
		inUse = inUse || strings.HasPrefix(d.Name, "default_pool") && m.Text(nil, d.Name) == p.Name
	}
	if inUse {
		return nil, adminapi.Errorf(adminapi.PoolInUse, "Storage pool is in use: '%s'", p.Name)
	}
	m.Fire(nil, "pool-pre-delete", "pool", c.Arg)
	m.Pools = slices.DeleteFunc(m.Pools, func(p domain.Pool) bool { return p.Name == c.Arg })
	m.Touch()
	c.api.Sys.ForgetPool(c.Arg)
	m.Fire(nil, "pool-delete", "pool", c.Arg)
	return nil, nil
}

func poolRevisions(m *domain.Model, c *Call) ([]byte, error) {
	p, err := findPool(m, c)
	if err != nil {
		return nil, err
	}
	n, err := revisions(c.Payload, "Revisions to keep")
	switch {
	case err != nil:
		return nil, err
	case n < -1:
		return nil, protocolError("Value can't be lower than -1")
	case p.Driver == kernelDriver:
		if n != 0 {
			return nil, adminapi.Errorf(adminapi.ValueError, "LinuxKernel supports only revisions_to_keep=0")
		}
		return nil, nil
	case p.Driver == "file" && n > 1:
		return nil, adminapi.Errorf(adminapi.ValueError, "FilePool supports maximum 1 volume revision to keep")
	}
	p.SetOption("revisions_to_keep", strconv.Itoa(n))
	m.Touch()
	return nil, nil
}

func findPool(m *domain.Model, c *Call) (*domain.Pool, error) {
	if p := m.Pool(c.Arg); p != nil {
		return p, nil
	}
	return nil, adminapi.Errorf(adminapi.PermissionDenied, "Argument not in 'pools'")
}

// copyPool is the pool the call names.
func (c *Call) copyPool() (p domain.Pool, parent string, err error) {
	err = c.api.Sys.Read(func(m *domain.Model) error {
		found, err := findPool(m, c)
		if err != nil {
			return err
		}
		p = *found
		p.Options = slices.Clone(found.Options)
		parent = included(m, found)
		return nil
	})
	return p, parent, err
}

// included is the pool whose directory holds that of p, "" when there is none.
func included(m *domain.Model, p *domain.Pool) string {
	var name, longest string
	for _, o := range m.Pools {
		d := strings.TrimRight(o.Option("dir_path"), "/")
		if o.Name != p.Name && d != "" && len(d) > len(longest) && strings.HasPrefix(p.Option("dir_path"), d+"/") {
			name, longest = o.Name, d
		}
	}
	return name
}

const kernelDriver = "linux-kernel"

func poolInfo(ctx context.Context, c *Call) ([]byte, error) {
	p, parent, err := c.copyPool()
	if err != nil {
		return nil, err
	}
	kv := map[string]string{"name": p.Name, "driver": p.Driver}
	for _, o := range p.Options {
		kv[o.Key] = o.Value
	}
	var out []byte
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		out = fmt.Appendf(out, "%s=%s\n", k, kv[k])
	}
	if p.Driver != kernelDriver {
		if size, used, ok := c.api.Sys.Space(ctx, p.Name); ok {
			out = fmt.Appendf(out, "size=%d\nusage=%d\n", size, used)
		}
	}
	if parent != "" {
		out = fmt.Appendf(out, "included_in=%s\n", parent)
	}
	return out, nil
}

func poolUsage(ctx context.Context, c *Call) ([]byte, error) {
	p, _, err := c.copyPool()
	if err != nil || p.Driver == kernelDriver {
		return nil, err
	}
	size, used, ok := c.api.Sys.Space(ctx, p.Name)
	if !ok {
		return nil, nil
	}
	return fmt.Appendf(nil, "data_size=%d\ndata_usage=%d\n", size, used), nil
}

// poolEphemeral changes the default for volatile volumes. Pools of kernels have none and
// take no notice.
func poolEphemeral(m *domain.Model, c *Call) ([]byte, error) {
	p, err := findPool(m, c)
	if err != nil {
		return nil, err
	}
	on, ok := domain.ParseBool(string(c.Payload))
	if !ok {
		return nil, protocolError("Payload is not boolean ASCII")
	}
	if p.Driver == kernelDriver {
		return nil, nil
	}
	p.SetOption("ephemeral_volatile", adminapi.PyBool(on))
	m.Touch()
	return nil, nil
}

func poolVolumes(m *domain.Model, c *Call) ([]byte, error) {
	p, err := findPool(m, c)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	if p.Driver == kernelDriver {
		for _, k := range m.Host.Kernels() {
			ids[k] = true
		}
	}
	for _, vm := range m.VMs() {
		for _, v := range vm.Volumes {
			if v.Pool == c.Arg && v.Name != "kernel" {
				ids[string(v.ID)] = true
			}
		}
	}
	var out []byte
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		out = append(append(out, id...), '\n')
	}
	return out, nil
}
