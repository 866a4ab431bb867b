package admin

import (
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
)

const featureChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

// protectedFeatures belong to the system itself, for everybody else.
var protectedFeatures = map[string]bool{
	"deferred-netvm-original": true, "preload-dispvm": true, "preload-dispvm-completed": true, "preload-dispvm-in-progress": true,
}

func featureMethods() []Method {
	lookup := func(verb string, find func(*domain.Model, *domain.VM, string) (string, bool)) Method {
		return Method{Name: "admin.vm.feature." + verb, Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: "R", Read: func(m *domain.Model, c *Call) ([]byte, error) {
			if err := featureName(c.Arg); err != nil {
				return nil, err
			}
			v, ok := find(m, c.dest(m), c.Arg)
			if !ok {
				return nil, domain.NoFeature(c.dest(m), c.Arg)
			}
			return []byte(v), nil
		}}
	}
	orDom0 := func(find func(*domain.Model, *domain.VM, string) (string, bool)) func(*domain.Model, *domain.VM, string) (string, bool) {
		return func(m *domain.Model, vm *domain.VM, name string) (string, bool) {
			if v, ok := find(m, vm, name); ok {
				return v, true
			}
			return m.Dom0().Feature(name)
		}
	}
	own := func(_ *domain.Model, vm *domain.VM, name string) (string, bool) { return vm.Feature(name) }
	return []Method{
		lookup("Get", own),
		lookup("CheckWithTemplate", (*domain.Model).FindFeature),
		lookup("CheckWithNetvm", (*domain.Model).FindFeatureNet),
		lookup("CheckWithAdminVM", orDom0(own)),
		lookup("CheckWithTemplateAndAdminVM", orDom0((*domain.Model).FindFeature)),
		{Name: "admin.vm.feature.List", Dest: anywhere, Arg: no, Payload: no, Scope: "local", Flags: "R", Read: func(m *domain.Model, c *Call) ([]byte, error) {
			var out []byte
			for _, f := range c.dest(m).Features() {
				out = append(append(out, f.Key...), '\n')
			}
			return out, nil
		}},
		{Name: "admin.vm.feature.Set", Dest: anywhere, Arg: must, Payload: maybe, Scope: "local", Flags: "RW", Write: featureSet},
		{Name: "admin.vm.feature.Remove", Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: "RW", Write: func(m *domain.Model, c *Call) ([]byte, error) {
			if err := changeable(c.Arg); err != nil {
				return nil, err
			}
			return nil, m.RemoveFeature(c.dest(m), c.Arg)
		}},
	}
}

func featureName(s string) error {
	if !only(s, featureChars) {
		return adminapi.Errorf(adminapi.ProtocolError, "feature name contains illegal characters")
	}
	return nil
}

func changeable(name string) error {
	if err := featureName(name); err != nil {
		return err
	}
	if protectedFeatures[name] {
		return adminapi.Errorf(adminapi.PermissionDenied, "changing this feature is prohibited by qubes.ext.admin.AdminExtension")
	}
	return nil
}

func featureSet(m *domain.Model, c *Call) ([]byte, error) {
	if err := featureName(c.Arg); err != nil {
		return nil, err
	}
	for _, b := range c.Payload {
		if b >= 0x80 {
			return nil, adminapi.Errorf(adminapi.ProtocolError, "Feature value contains non-ASCII characters")
		}
	}
	if strings.ContainsFunc(string(c.Payload), func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return nil, adminapi.Errorf(adminapi.ProtocolError, "%s value contains illegal characters", c.Arg)
	}
	if err := changeable(c.Arg); err != nil {
		return nil, err
	}
	return nil, m.SetFeature(c.dest(m), c.Arg, string(c.Payload))
}

const tagChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func tagMethods() []Method {
	row := func(verb, flags string, f func(*domain.Model, *domain.VM, *Call) ([]byte, error)) Method {
		m := Method{Name: "admin.vm.tag." + verb, Dest: anywhere, Arg: must, Payload: no, Scope: "local", Flags: flags}
		g := func(mod *domain.Model, c *Call) ([]byte, error) {
			if c.Arg != "" && !only(c.Arg, tagChars) {
				return nil, adminapi.Errorf(adminapi.InvalidTag, "disallowed characters")
			}
			return f(mod, c.dest(mod), c)
		}
		if strings.Contains(flags, "W") {
			m.Write = g
		} else {
			m.Read = g
		}
		return m
	}
	list := row("List", "R", func(_ *domain.Model, vm *domain.VM, _ *Call) ([]byte, error) {
		var out []byte
		for _, t := range vm.Tags() {
			out = append(append(out, t...), '\n')
		}
		return out, nil
	})
	list.Arg = no
	return []Method{list,
		row("Get", "R", func(_ *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
			if vm.HasTag(c.Arg) {
				return []byte("1"), nil
			}
			return []byte("0"), nil
		}),
		row("Set", "RW", func(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
			if err := taggable(m, c); err != nil {
				return nil, err
			}
			return nil, m.AddTag(vm, c.Arg)
		}),
		row("Remove", "RW", func(m *domain.Model, vm *domain.VM, c *Call) ([]byte, error) {
			if err := taggable(m, c); err != nil {
				return nil, err
			}
			return nil, m.RemoveTag(vm, c.Arg)
		}),
	}
}

// taggable protects created-by-*: only dom0 may touch it, and only for qubes that exist.
func taggable(m *domain.Model, c *Call) error {
	creator, ok := strings.CutPrefix(c.Arg, "created-by-")
	switch {
	case !ok:
		return nil
	case c.Src != qube.Dom0:
		return adminapi.Errorf(adminapi.PermissionDenied, "changing this tag is prohibited by qubes.ext.admin.AdminExtension")
	case strings.HasSuffix(c.Method, ".Set") && m.VM(qube.Name(creator)) == nil:
		return domain.NotFound(creator)
	}
	return nil
}
