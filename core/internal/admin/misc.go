package admin

import (
	"context"
	"strings"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// MiscSet is qubesd.misc.sock: what qubes tell of themselves.
func MiscSet() Set {
	row := func(name string, payload need, f func(context.Context, *Call) ([]byte, error)) Method {
		return Method{Name: name, Dest: onDom0, Arg: no, Payload: payload, Flags: "R", Do: f}
	}
	return newSet([]Method{
		row("qubes.FeaturesRequest", no, featuresRequest),
		row("qubes.NotifyTools", no, notifyTools),
		row("qubes.NotifyUpdates", must, notifyUpdates),
	})
}

// Characters of values in qubesdb.
const (
	requestChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.,_= "
	toolsChars   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// announced reads entries of the caller's database below prefix, whose values must be of a
// character set.
func announced(ctx context.Context, c *Call, prefix, chars string) (map[string]string, error) {
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		if vm := m.VM(c.Src); vm == nil || vm.Class == qube.AdminVM || !vm.Local() {
			return adminapi.Errorf(adminapi.VMError, "%s has nothing to announce", c.Src)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	entries, err := c.api.QubesDB(ctx, c.Src, prefix)
	if err != nil {
		return nil, adminapi.Errorf(adminapi.VMError, "Cannot read the database of %s: %v", c.Src, err)
	}
	if len(entries) > domain.MaxRequest {
		return nil, adminapi.Errorf(adminapi.ValueError, "%d entries in a request", len(entries))
	}
	out := map[string]string{}
	for path, value := range entries {
		key, ok := strings.CutPrefix(path, prefix)
		if !ok || key == "" || !only(key, featureChars) {
			continue
		}
		if !only(value, chars) {
			return nil, adminapi.Errorf(adminapi.ValueError, "A value in the request of %s contains illegal characters", c.Src)
		}
		out[key] = value
	}
	return out, nil
}

func featuresRequest(ctx context.Context, c *Call) ([]byte, error) {
	kv, err := announced(ctx, c, "/features-request/", requestChars)
	if err != nil {
		return nil, err
	}
	return nil, request(c, kv)
}

func request(c *Call, kv map[string]string) error {
	return c.api.Sys.Write(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		m.RequestFeatures(c.src(m), kv)
		return nil
	})
}

// notifyTools is the older form, with fewer keys.
func notifyTools(ctx context.Context, c *Call) ([]byte, error) {
	all, err := announced(ctx, c, "/qubes-tools/", toolsChars)
	if err != nil {
		return nil, err
	}
	kv := map[string]string{}
	for _, k := range []string{"qrexec", "gui", "gui-emulated", "default-user", "os"} {
		if v, ok := all[k]; ok {
			kv[k] = v
		}
	}
	return nil, request(c, kv)
}

// maxCount is the longest count of updates, in digits.
const maxCount = 9

func notifyUpdates(ctx context.Context, c *Call) ([]byte, error) {
	count := strings.TrimSpace(string(c.Payload))
	if count == "" || len(count) > maxCount || !only(count, "0123456789") {
		return nil, protocolError("Update count is not a digit")
	}
	var vols []volume.Config
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		if c.Src == qube.Dom0 || !c.src(m).Local() {
			return adminapi.Errorf(adminapi.VMError, "%s has nothing to announce", c.Src)
		}
		for _, v := range c.src(m).Volumes {
			vols = append(vols, v.Config)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	outdated := false
	for _, v := range vols {
		outdated = outdated || c.api.Sys.Outdated(ctx, v)
	}
	return nil, c.api.Sys.Write(func(m *domain.Model) error {
		if err := c.present(m); err != nil {
			return err
		}
		m.NotifyUpdates(c.src(m), strings.Trim(count, "0") != "", outdated, c.api.Sys.Now())
		return nil
	})
}
