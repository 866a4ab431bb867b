package adminclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"qubist/core/adminapi"
	"qubist/core/qube"
)

// Property is a property's value as the API shows it.
type Property = adminapi.Property

// Event is one event of a subscription.
type Event = adminapi.Event

// ListedVM is one checked line of admin.vm.List.
type ListedVM struct {
	Name  qube.Name
	Class qube.Class
	State qube.State
	UUID  string // "" from old servers
}

// List gives all qubes (dest dom0) or only dest. Lines with an invalid name are refused.
func (c *Client) List(ctx context.Context, dest string) ([]ListedVM, error) {
	b, err := c.Call(ctx, "admin.vm.List", dest, "", nil)
	if err != nil {
		return nil, err
	}
	lines, err := adminapi.ParseVMList(b)
	if err != nil {
		return nil, err
	}
	out := make([]ListedVM, 0, len(lines))
	for _, l := range lines {
		n, err := qube.ParseName(l.Name)
		if err != nil {
			return nil, fmt.Errorf("listing qubes: %w", err)
		}
		out = append(out, ListedVM{n, qube.Class(word(l.Class)), qube.State(word(l.State)), word(l.UUID)})
	}
	return out, nil
}

// word keeps s when it is a short word of letters, digits and '-'; else it is "?".
func word(s string) string {
	if len(s) > 40 {
		return "?"
	}
	for _, c := range s {
		if c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "?"
		}
	}
	return s
}

// Properties gives all properties of a qube, or of the system when vm is "".
func (c *Client) Properties(ctx context.Context, vm string) (map[string]Property, error) {
	method, dest := "admin.vm.property.GetAll", vm
	if vm == "" {
		method, dest = "admin.property.GetAll", "dom0"
	}
	b, err := c.Call(ctx, method, dest, "", nil)
	if err != nil {
		return nil, err
	}
	return adminapi.ParseProperties(b)
}

// Property gives one property of a qube, or of the system when vm is "".
func (c *Client) Property(ctx context.Context, vm, name string) (Property, error) {
	method, dest := propertyMethod(vm, "Get")
	b, err := c.Call(ctx, method, dest, name, nil)
	if err != nil {
		return Property{}, err
	}
	return adminapi.ParseProperty(string(b))
}

// SetProperty sets one property; value "" means none.
func (c *Client) SetProperty(ctx context.Context, vm, name, value string) error {
	method, dest := propertyMethod(vm, "Set")
	_, err := c.Call(ctx, method, dest, name, []byte(value))
	return err
}

// ResetProperty returns a property to its default.
func (c *Client) ResetProperty(ctx context.Context, vm, name string) error {
	method, dest := propertyMethod(vm, "Reset")
	_, err := c.Call(ctx, method, dest, name, nil)
	return err
}

func propertyMethod(vm, verb string) (method, dest string) {
	if vm == "" {
		return "admin.property." + verb, "dom0"
	}
	return "admin.vm.property." + verb, vm
}

// Labels gives all labels in the system's order.
func (c *Client) Labels(ctx context.Context) ([]qube.Label, error) {
	b, err := c.Call(ctx, "admin.label.List", "dom0", "", nil)
	if err != nil {
		return nil, err
	}
	names := adminapi.Lines(b)
	out := make([]qube.Label, 0, len(names))
	for _, n := range names {
		l := qube.Label{Name: n}
		index, err := c.Call(ctx, "admin.label.Index", "dom0", n, nil)
		if err != nil {
			return nil, err
		}
		if l.Index, err = strconv.Atoi(string(index)); err != nil {
			return nil, fmt.Errorf("label index %.20q: %w", index, adminapi.ErrFraming)
		}
		color, err := c.Call(ctx, "admin.label.Get", "dom0", n, nil)
		if err != nil {
			return nil, err
		}
		v, err := strconv.ParseUint(strings.TrimPrefix(string(color), "0x"), 16, 24)
		if err != nil {
			return nil, fmt.Errorf("label colour %.20q: %w", color, adminapi.ErrFraming)
		}
		l.Color = uint32(v)
		out = append(out, l)
	}
	return out, nil
}

// State is the answer of admin.vm.CurrentState.
type State struct {
	Power        qube.State
	MemKiB       uint64
	StaticMaxKiB uint64
	CPU          time.Duration
}

// CurrentState asks for a qube's power state.
func (c *Client) CurrentState(ctx context.Context, vm string) (State, error) {
	b, err := c.Call(ctx, "admin.vm.CurrentState", vm, "", nil)
	if err != nil {
		return State{}, err
	}
	kv := adminapi.KeyValues(b, " ")
	s := State{Power: qube.State(word(kv["power_state"]))}
	if s.Power == "" {
		return State{}, fmt.Errorf("state %.80q: %w", b, adminapi.ErrFraming)
	}
	s.MemKiB, _ = strconv.ParseUint(kv["mem"], 10, 64)
	s.StaticMaxKiB, _ = strconv.ParseUint(kv["mem_static_max"], 10, 64)
	ns, _ := strconv.ParseInt(kv["cputime"], 10, 64)
	s.CPU = time.Duration(ns)
	return s, nil
}

// Start starts a qube and returns when it runs. A qube that is not halted is a success.
func (c *Client) Start(ctx context.Context, vm string) error { return c.plain(ctx, "Start", vm, "") }

// Shutdown asks a qube to shut down; with wait it returns when the qube is halted or its
// shutdown_timeout has passed (adminapi.VMShutdownTimeout).
func (c *Client) Shutdown(ctx context.Context, vm string, force, wait bool) error {
	var words []string
	if force {
		words = append(words, "force")
	}
	if wait {
		words = append(words, "wait")
	}
	return c.plain(ctx, "Shutdown", vm, strings.Join(words, "+"))
}

// Kill ends a qube now.
func (c *Client) Kill(ctx context.Context, vm string) error { return c.plain(ctx, "Kill", vm, "") }

// Pause stops a running qube's processors.
func (c *Client) Pause(ctx context.Context, vm string) error { return c.plain(ctx, "Pause", vm, "") }

// Unpause lets a paused qube run on.
func (c *Client) Unpause(ctx context.Context, vm string) error {
	return c.plain(ctx, "Unpause", vm, "")
}

// Remove deletes a halted qube and its volumes.
func (c *Client) Remove(ctx context.Context, vm string) error { return c.plain(ctx, "Remove", vm, "") }

func (c *Client) plain(ctx context.Context, verb, vm, arg string) error {
	_, err := c.Call(ctx, "admin.vm."+verb, vm, arg, nil)
	return err
}

// Create makes a qube. Template "" means the class's default, if it has one.
func (c *Client) Create(ctx context.Context, class qube.Class, name qube.Name, label, template string) error {
	payload := fmt.Sprintf("name=%s label=%s", name, label)
	_, err := c.Call(ctx, "admin.vm.Create."+string(class), "dom0", template, []byte(payload))
	return err
}

// CreateDisposable makes an unnamed disposable of template ("" for the system's default)
// and returns its name. It is not started.
func (c *Client) CreateDisposable(ctx context.Context, template string) (qube.Name, error) {
	if template == "" {
		template = string(qube.Dom0)
	}
	b, err := c.Call(ctx, "admin.vm.CreateDisposable", template, "", nil)
	if err != nil {
		return "", err
	}
	return qube.ParseName(string(b))
}

// Features gives all features of a qube.
func (c *Client) Features(ctx context.Context, vm string) (map[string]string, error) {
	b, err := c.Call(ctx, "admin.vm.feature.List", vm, "", nil)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	for _, k := range adminapi.Lines(b) {
		v, err := c.Feature(ctx, vm, k)
		switch {
		case errors.Is(err, &adminapi.Error{Kind: adminapi.FeatureNotFound}):
			// removed since the list was made
		case err != nil:
			return nil, err
		default:
			out[k] = v
		}
	}
	return out, nil
}

// Feature gives one feature; absent is adminapi.FeatureNotFound.
func (c *Client) Feature(ctx context.Context, vm, name string) (string, error) {
	b, err := c.Call(ctx, "admin.vm.feature.Get", vm, name, nil)
	return string(b), err
}

// SetFeature sets a feature; value "" means false.
func (c *Client) SetFeature(ctx context.Context, vm, name, value string) error {
	_, err := c.Call(ctx, "admin.vm.feature.Set", vm, name, []byte(value))
	return err
}

// RemoveFeature deletes a feature.
func (c *Client) RemoveFeature(ctx context.Context, vm, name string) error {
	_, err := c.Call(ctx, "admin.vm.feature.Remove", vm, name, nil)
	return err
}

// Tags gives a qube's tags, sorted.
func (c *Client) Tags(ctx context.Context, vm string) ([]string, error) {
	b, err := c.Call(ctx, "admin.vm.tag.List", vm, "", nil)
	if err != nil {
		return nil, err
	}
	return adminapi.Lines(b), nil
}

// Status asks our own qubesd for its extension admin.qubist.Status: version, instance,
// accel, accel_reason. Another qubesd answers with an exception.
func (c *Client) Status(ctx context.Context) (map[string]string, error) {
	b, err := c.Call(ctx, "admin.qubist.Status", "dom0", "", nil)
	if err != nil {
		return nil, err
	}
	return adminapi.KeyValues(b, "\n"), nil
}
