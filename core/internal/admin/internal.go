package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
)

func internalMethods() []Method {
	return []Method{
		{Name: "internal.GetSystemInfo", Dest: onDom0, Arg: no, Payload: no, Flags: "R", Read: systemInfo},
		{Name: "internal.SuspendPre", Dest: onDom0, Arg: no, Payload: no, Flags: "R", Do: func(ctx context.Context, c *Call) ([]byte, error) {
			return nil, c.api.Sys.SuspendPre(ctx)
		}},
		{Name: "internal.SuspendPost", Dest: onDom0, Arg: no, Payload: no, Flags: "R", Do: func(ctx context.Context, c *Call) ([]byte, error) {
			return nil, c.api.Sys.SuspendPost(ctx)
		}},
		{Name: "internal.vm.volume.ImportBegin", Dest: anywhere, Arg: must, Payload: maybe, Scope: "local", Flags: "RW", Do: importBegin},
		{Name: "internal.vm.volume.ImportEnd", Dest: anywhere, Arg: must, Payload: must, Flags: "R", Do: func(ctx context.Context, c *Call) ([]byte, error) {
			failed := ""
			if string(c.Payload) != "ok" {
				_, failed, _ = strings.Cut(string(c.Payload), "\n")
				if failed == "" {
					failed = "no reason given"
				}
			}
			return nil, c.api.Sys.ImportEnd(ctx, c.Dest, c.Arg, failed)
		}},
	}
}

// info is one qube in the answer of internal.GetSystemInfo; absent values are null.
type info struct {
	Internal     *string  `json:"internal"`
	Tags         []string `json:"tags"`
	Type         string   `json:"type"`
	DispTemplate bool     `json:"template_for_dispvms"`
	DefaultDisp  *string  `json:"default_dispvm"`
	Icon         string   `json:"icon"`
	Label        string   `json:"label"`
	GUIVM        *string  `json:"guivm"`
	Relay        *string  `json:"relayvm"`
	Transport    *string  `json:"transport_rpc"`
	Power        string   `json:"power_state"`
	UUID         string   `json:"uuid"`
}

func systemInfo(m *domain.Model, _ *Call) ([]byte, error) {
	domains := map[string]info{}
	for _, vm := range m.VMs() {
		text := func(prop string) *string {
			v, ok := m.Value(vm, prop)
			if !ok || v.Kind == domain.None {
				return nil
			}
			s := v.API()
			return &s
		}
		l := m.Label(vm)
		i := info{
			Tags: vm.Tags(), Type: string(vm.Class), DispTemplate: m.Truth(vm, "template_for_dispvms"), DefaultDisp: text("default_dispvm"),
			Icon: labelIcon(l), Label: fmt.Sprintf("0x%06x", l.Color), GUIVM: text("guivm"), Relay: text("relayvm"), Transport: text("transport_rpc"),
			Power: string(vm.Run.State), UUID: vm.UUID,
		}
		if v, ok := vm.Feature("internal"); ok {
			i.Internal = &v
		}
		if i.Tags == nil {
			i.Tags = []string{}
		}
		domains[string(vm.Name)] = i
	}
	return json.Marshal(map[string]any{"domains": domains})
}

// labelIcon is the icon of the label alone.
func labelIcon(l qube.Label) string {
	return "appvm-" + l.Name
}

// number reads a size as the API writes them: ASCII digits, no needless zeros.
func number(s, what string) (int64, error) {
	switch {
	case s == "" || !only(s, "0123456789"):
		return 0, protocolError("%s contains non ASCII digits", what)
	case len(s) > 1 && s[0] == '0':
		return 0, protocolError("%s contains spurious leading zeros", what)
	case len(s) > 19:
		return 0, protocolError("%s is bigger than 19 decimal digits", what)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, protocolError("%s is too big", what)
	}
	return n, nil
}

func importBegin(ctx context.Context, c *Call) ([]byte, error) {
	if _, err := c.findVolume(); err != nil {
		var e *adminapi.Error
		if errors.As(err, &e) && e.Kind == adminapi.PermissionDenied {
			return nil, protocolError("%s", e.Message)
		}
		return nil, err
	}
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		if vm := c.dest(m); vm != nil && !vm.Halted() {
			return domain.NotHalted(vm)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	size := int64(-1)
	if len(c.Payload) > 0 {
		var err error
		if size, err = number(string(c.Payload), "Size of new data"); err != nil {
			return nil, err
		}
	}
	path, size, err := c.api.Sys.ImportBegin(c.Dest, c.Arg, size)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%d %s", size, path), nil
}
