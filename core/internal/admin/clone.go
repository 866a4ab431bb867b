package admin

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/qube"
	"qubist/storage/volume"
)

const (
	tokenChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	tokenLen   = 32
	// maxTokens bounds the tokens nobody has used yet; a new one then replaces the oldest.
	maxTokens = 1024
	// revisionChars are those of revision names.
	revisionChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_."
)

// tokens name volumes that may be copied, each once. They do not outlast the process.
type tokens struct {
	mu    sync.Mutex
	order []string
	of    map[string]source
}

// source is a volume at the time its token was given out.
type source struct {
	vm   qube.Name
	name string
	pool string
	id   volume.ID
}

func (t *tokens) add(s source) string {
	var b strings.Builder
	for raw := make([]byte, 1); b.Len() < tokenLen; {
		_, _ = rand.Read(raw) // never fails
		if i := int(raw[0]); i < 4*len(tokenChars) {
			b.WriteByte(tokenChars[i%len(tokenChars)])
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]source{}
	}
	if len(t.order) >= maxTokens {
		delete(t.of, t.order[0])
		t.order = t.order[1:]
	}
	t.order = append(t.order, b.String())
	t.of[b.String()] = s
	return b.String()
}

func (t *tokens) take(token string) (source, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.of[token]
	delete(t.of, token)
	for i, o := range t.order {
		if o == token {
			t.order = append(t.order[:i:i], t.order[i+1:]...)
			break
		}
	}
	return s, ok
}

func cloneFrom(_ context.Context, c *Call) ([]byte, error) {
	v, err := c.findVolume()
	if err != nil {
		return nil, err
	}
	return []byte(c.api.tokens.add(source{c.Dest, c.Arg, v.Pool, v.ID})), nil
}

func cloneTo(ctx context.Context, c *Call) ([]byte, error) {
	if _, err := c.findVolume(); err != nil {
		return nil, err
	}
	if !ascii(c.Payload) {
		return nil, protocolError("Token contains non-ASCII characters")
	}
	from, ok := c.api.tokens.take(strings.TrimSpace(string(c.Payload)))
	if !ok {
		return nil, adminapi.Errorf(adminapi.VolumeCopyTokenMissing, "'Token to clone volume of qube was not found'")
	}
	var src volume.Config
	if err := c.api.Sys.Read(func(m *domain.Model) error {
		vm := m.VM(from.vm)
		if vm == nil || vm.Volume(from.name) == nil || vm.Volume(from.name).ID != from.id && from.name != "kernel" || vm.Volume(from.name).Pool != from.pool {
			return adminapi.Errorf(adminapi.StoragePool, "The volume to be cloned is gone")
		}
		v := vm.Volume(from.name)
		if v.RevisionsToKeep == -1 && !vm.Halted() {
			return adminapi.Errorf(adminapi.StoragePool, "Cannot clone %s: it keeps no revisions and %s runs", v.ID, vm.Name)
		}
		src = v.Config
		return nil
	}); err != nil {
		return nil, err
	}
	if err := kernelCopy(c, src); err != nil {
		return nil, err
	}
	return nil, c.api.Sys.CloneVolume(ctx, src, c.Dest, c.Arg)
}

// kernelCopy refuses copies between a kernel's volume and another kind.
func kernelCopy(c *Call, src volume.Config) error {
	if (src.Name == "kernel") != (c.Arg == "kernel") {
		return adminapi.Errorf(adminapi.StoragePool, "Cannot copy between a kernel and another volume")
	}
	return nil
}

func setEphemeral(m *domain.Model, c *Call) ([]byte, error) {
	v, err := findVolume(m, c)
	if err != nil {
		return nil, err
	}
	on, ok := domain.ParseBool(string(c.Payload))
	switch {
	case !ok:
		return nil, protocolError("Payload is not boolean ASCII")
	case v.Name == "kernel":
		return nil, adminapi.Errorf(adminapi.ValueError, "LinuxModules does not support setting ephemeral value")
	case on && (v.SaveOnStop || v.SnapOnStart || !v.RW):
		return nil, adminapi.Errorf(adminapi.ValueError, "Cannot enable ephemeral on snap_on_start or save_on_stop or non-dom0 or not writable volume")
	}
	v.Ephemeral = &on
	m.Touch()
	return nil, nil
}

func listSnapshots(ctx context.Context, c *Call) ([]byte, error) {
	if _, err := c.findVolume(); err != nil {
		return nil, err
	}
	list, err := c.api.Sys.Revisions(ctx, c.Dest, c.Arg)
	var out []byte
	for _, r := range list {
		out = append(append(out, r...), '\n')
	}
	return out, err
}

func volumeRevert(ctx context.Context, c *Call) ([]byte, error) {
	if _, err := c.findVolume(); err != nil {
		return nil, err
	}
	id := strings.TrimSpace(string(c.Payload))
	if id == "" || !only(id, revisionChars) {
		return nil, protocolError("Revision name must be in safe set: %s", revisionChars)
	}
	return nil, c.api.Sys.Revert(ctx, c.Dest, c.Arg, id)
}
