package admin

import (
	"context"
	"slices"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
)

func createMethods() []Method {
	create := func(name string, pools bool) Method {
		return Method{Name: name, Dest: onDom0, Arg: maybe, Payload: maybe, Scope: "global", Flags: "RW", Do: func(ctx context.Context, c *Call) ([]byte, error) {
			_, err := c.api.Sys.Create(ctx, func(m *domain.Model) (domain.NewVM, error) { return newVM(m, c, pools) })
			return nil, err
		}}
	}
	return []Method{
		create("admin.vm.Create.", false),
		create("admin.vm.CreateInPool.", true),
		{Name: "admin.vm.CreateDisposable", Dest: anywhere, Arg: maybe, Payload: maybe, Scope: "global", Flags: "RW", Do: createDisposable},
	}
}

func protocolError(format string, args ...any) error {
	return adminapi.Errorf(adminapi.ProtocolError, format, args...)
}

// options reads "key=value" words separated by sep; every key at most once but pool.
func options(payload []byte, sep, what string) ([]domain.KV, error) {
	if slices.ContainsFunc(payload, func(b byte) bool { return b >= 0x80 }) {
		return nil, protocolError("%s contains non-ASCII characters", what)
	}
	var out []domain.KV
	for w := range strings.SplitSeq(strings.TrimSuffix(string(payload), sep), sep) {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return nil, protocolError("Options must be separated by equal sign")
		}
		if k != "pool" && slices.ContainsFunc(out, func(o domain.KV) bool { return o.Key == k }) {
			return nil, protocolError("Options must be unique")
		}
		out = append(out, domain.KV{Key: k, Value: v})
	}
	return out, nil
}

// newVM reads the argument and payload of admin.vm.Create and CreateInPool.
func newVM(m *domain.Model, c *Call, pools bool) (domain.NewVM, error) {
	n := domain.NewVM{Class: qube.Class(c.Var), Creator: c.Src}
	opts, err := options(c.Payload, " ", "Parameters")
	if err != nil {
		return n, err
	}
	for _, o := range opts {
		switch key, vol, _ := strings.Cut(o.Key, ":"); {
		case o.Key == "name":
			if n.Name, err = domain.CheckName(o.Value); err != nil {
				return n, err
			}
		case o.Key == "label":
			if l, err := m.FindLabel(o.Value); err == nil {
				n.Label = l.Name
			}
		case key != "pool":
			return n, protocolError("Options does not match: name, label, pool, pool:")
		case !pools:
			return n, protocolError("Pool option specified but 'allow_pool' is False")
		case o.Key == "pool":
			n.Place.All = o.Value
		default:
			if !slices.Contains(domain.VolumeNames, vol) {
				return n, protocolError("Volume must be one of: %s", strings.Join(domain.VolumeNames, ", "))
			}
			if n.Place.By == nil {
				n.Place.By = map[string]string{}
			}
			n.Place.By[vol] = o.Value
		}
	}
	switch {
	case n.Place.All != "" && n.Place.By != nil:
		return n, protocolError("Conflicting options specified: 'pool=', 'pool:volume='")
	case n.Name == "":
		return n, protocolError("Creation requested without key: name")
	case n.Label == "":
		return n, protocolError("Creation requested without key: label")
	}
	if n.Template, err = template(m, n.Class, c.Arg); err != nil {
		return n, err
	}
	return n, existing(m, n)
}

// template finds the template of a new qube of a class.
func template(m *domain.Model, class qube.Class, arg string) (*domain.VM, error) {
	var fallback string
	switch class {
	case qube.AppVM:
		fallback = "default_template"
	case qube.DispVM:
		fallback = "default_dispvm"
	default:
		if arg != "" {
			return nil, protocolError("%s cannot be based on template", class)
		}
		if class == qube.AdminVM {
			return nil, adminapi.Errorf(adminapi.PropertyValue, "property 'qid' on AdminVM instance cannot be set")
		}
		return nil, nil
	}
	if arg == "" {
		if t := m.Ref(nil, fallback); t != nil {
			return t, nil
		}
		return nil, adminapi.Errorf(adminapi.ValueError, "No template given and property %s is not set", fallback)
	}
	return lookup(m, arg)
}

// existing checks what the new qube refers to, and that its name is free.
func existing(m *domain.Model, n domain.NewVM) error {
	pools := []string{n.Place.All}
	for _, p := range n.Place.By {
		pools = append(pools, p)
	}
	for _, p := range pools {
		if p != "" && m.Pool(p) == nil {
			return adminapi.Errorf(adminapi.Exception, "Unknown storage pool %s", p)
		}
	}
	if m.VM(n.Name) != nil {
		return domain.Exists(n.Name)
	}
	return nil
}

func createDisposable(ctx context.Context, c *Call) ([]byte, error) {
	switch {
	case c.Arg != "" && c.Arg != "preload":
		return nil, adminapi.Errorf(adminapi.PermissionDenied, "Argument not in \"'', 'preload'\"")
	case len(c.Payload) > 0 && string(c.Payload) != "uuid":
		return nil, protocolError("Invalid payload, expected empty string or 'uuid'")
	}
	var from qube.Name
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		t, err := disposableTemplate(m, c)
		if err == nil {
			from = t.Name
		}
		return err
	}); err != nil {
		return nil, err
	}
	if c.Arg == "preload" {
		c.api.Sys.StartPreload(from, "autostart was requested")
		return nil, nil
	}
	n, err := c.api.Sys.TakePreload(ctx, from)
	if err == nil && n == "" {
		n, err = c.api.Sys.Create(ctx, func(m *domain.Model) (domain.NewVM, error) {
			t, err := disposableTemplate(m, c)
			if err != nil {
				return domain.NewVM{}, err
			}
			return domain.NewVM{Class: qube.DispVM, Label: m.Label(t).Name, Template: t, Creator: c.Src}, nil
		})
	}
	if err != nil {
		return nil, err
	}
	out := []byte(n)
	err = c.api.Sys.Write(func(m *domain.Model) error {
		vm := m.VM(n)
		if vm == nil {
			return domain.NotFound(string(n))
		}
		if len(c.Payload) > 0 {
			out = []byte("uuid:" + vm.UUID)
		}
		if err := m.AddTag(vm, "created-by-"+string(c.Src)); err != nil { // a preloaded one lacks it
			return err
		}
		return m.AddTag(vm, "disp-created-by-"+string(c.Src))
	})
	return out, err
}

// disposableTemplate is what the call makes a disposable of.
func disposableTemplate(m *domain.Model, c *Call) (*domain.VM, error) {
	if err := c.present(m); err != nil {
		return nil, err
	}
	t := c.dest(m)
	if c.Dest == qube.Dom0 {
		t = m.Ref(c.src(m), "default_dispvm")
	}
	if t == nil || !m.Truth(t, "template_for_dispvms") {
		return nil, adminapi.Errorf(adminapi.Exception, "Refusing to create disposable out of app qube which has template_for_dispvms=False")
	}
	return t, nil
}
