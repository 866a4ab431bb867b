package domain

import (
	"qubist/core/adminapi"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// Sizes of new volumes, in bytes (spec storage-network-memory.md §1).
const (
	gib              = 1 << 30
	rootSize         = 10 * gib
	privateSize      = 2 * gib
	volatileSize     = 10 * gib
	dispVolatileSize = 12 * gib
)

// VolumeNames are the volumes of every local qube but dom0, in order.
var VolumeNames = []string{"root", "private", "volatile", "kernel"}

// Template of the volumes: save keeps, snap starts from the source.
type volumeKind struct {
	name       string
	save, snap bool
	size       int64
}

func volumeKinds(c qube.Class) []volumeKind {
	switch c {
	case qube.TemplateVM, qube.StandaloneVM:
		return []volumeKind{{"root", true, false, rootSize}, {"private", true, false, privateSize}, {"volatile", false, false, volatileSize}, {name: "kernel"}}
	case qube.AppVM:
		return []volumeKind{{"root", false, true, rootSize}, {"private", true, false, privateSize}, {"volatile", false, false, volatileSize}, {name: "kernel"}}
	case qube.DispVM:
		return []volumeKind{{"root", false, true, rootSize}, {"private", false, true, privateSize}, {"volatile", false, false, dispVolatileSize}, {name: "kernel"}}
	}
	return nil
}

// Dir is the directory of a local qube's files, below the instance's library.
func (vm *VM) Dir() string { return dirPrefix(vm.Class) + "/" + string(vm.Name) }

func dirPrefix(c qube.Class) string {
	if c == qube.TemplateVM {
		return "vm-templates"
	}
	return "appvms"
}

// Placement chooses pools for a new qube's volumes. All is for every volume that can be
// moved; By names volumes. Both empty means the defaults.
type Placement struct {
	All string
	By  map[string]string
}

// initVolumes gives vm the volumes of its class.
func (m *Model) initVolumes(vm *VM, p Placement) error {
	vm.Volumes = nil
	for _, k := range volumeKinds(vm.Class) {
		v := Volume{Config: volume.Config{Name: k.name, Size: k.size, RW: true, SaveOnStop: k.save, SnapOnStart: k.snap}}
		v.ID = volume.ID(dirPrefix(vm.Class) + "/" + string(vm.Name) + "/" + k.name)
		v.Pool = m.Text(nil, "default_pool_"+k.name)
		if k.name == "kernel" {
			v.RW, v.ID = false, volume.ID(m.Text(vm, "kernel"))
		}
		if src := m.sourceOf(vm, k.name); k.snap && src != nil {
			v.Source, v.Pool, v.Size = src.ID, src.Pool, src.Size
		}
		if err := m.place(&v, p); err != nil {
			return err
		}
		v.RevisionsToKeep = m.poolRevisions(v.Pool)
		vm.Volumes = append(vm.Volumes, v)
	}
	return nil
}

func (m *Model) place(v *Volume, p Placement) error {
	if p.All != "" && v.RW && !v.SnapOnStart {
		v.Pool = p.All
	}
	if pool, ok := p.By[v.Name]; ok {
		if v.SnapOnStart {
			return adminapi.Errorf(adminapi.Exception, "Snapshot volume %s must be in the same pool as its origin (%s volume of template),cannot move to pool %s ", v.Name, v.Name, pool)
		}
		v.Pool = pool
	}
	return nil
}

// poolRevisions is how many revisions volumes of a pool keep by default.
func (m *Model) poolRevisions(name string) int {
	p := m.Pool(name)
	if p == nil || p.Driver == "linux-kernel" {
		return 0
	}
	if s := p.Option("revisions_to_keep"); s != "" {
		n := 0
		for _, c := range []byte(s) {
			if c < '0' || c > '9' || n > 1000 {
				return 1
			}
			n = 10*n + int(c-'0')
		}
		return n
	}
	return 1
}

// sourceOf finds the volume of the template that a snapshot starts from: the disposable
// template's private, and the root of the TemplateVM at the end of the chain.
func (m *Model) sourceOf(vm *VM, name string) *Volume {
	t := m.Ref(vm, "template")
	for n := 0; t != nil && n <= len(m.vms); n++ {
		v := t.Volume(name)
		if v == nil || !v.SnapOnStart {
			return v
		}
		t = m.Ref(t, "template")
	}
	return nil
}

// relink points snapshot volumes at the present template.
func (m *Model) relink(vm *VM) {
	for i := range vm.Volumes {
		v := &vm.Volumes[i]
		if src := m.sourceOf(vm, v.Name); v.SnapOnStart && src != nil {
			v.Source, v.Pool, v.Size = src.ID, src.Pool, src.Size
		}
	}
	m.dirty = true
}

// VolumeID is the volume's id in its pool; a kernel's follows the property.
func (m *Model) VolumeID(vm *VM, v *Volume) volume.ID {
	if v.Name == "kernel" {
		return volume.ID(m.Text(vm, "kernel"))
	}
	return v.ID
}

// EphemeralVolume reports whether v is to be encrypted with a key that is thrown away.
func (m *Model) EphemeralVolume(v *Volume) bool {
	if v.Ephemeral != nil {
		return *v.Ephemeral
	}
	p := m.Pool(v.Pool)
	if p == nil || v.SaveOnStop || v.SnapOnStart || !v.RW {
		return false
	}
	b, _ := ParseBool(p.Option("ephemeral_volatile"))
	return b
}

// VolumePath is the file of a volume as clients are told it, "" for pools without files.
func (m *Model) VolumePath(vm *VM, v *Volume) string {
	p := m.Pool(v.Pool)
	if p == nil || p.Option("dir_path") == "" {
		return ""
	}
	path := p.Option("dir_path") + "/" + string(m.VolumeID(vm, v))
	switch p.Driver {
	case "linux-kernel":
		return path + "/modules.img"
	case "file-reflink":
		return path + "-dirty.img"
	}
	return path + ".img"
}
