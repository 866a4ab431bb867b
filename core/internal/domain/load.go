package domain

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"qubist/core/internal/store"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// File describes the system as it is kept (spec core.md §12). Pending qubes are left out.
func (m *Model) File() store.File {
	f := store.File{}
	for _, l := range m.Labels {
		f.Labels = append(f.Labels, store.Label{ID: fmt.Sprintf("label-%d", l.Index), Color: fmt.Sprintf("0x%06x", l.Color), Name: l.Name})
	}
	for _, p := range m.Pools {
		a := []xml.Attr{store.Attr("name", p.Name), store.Attr("driver", p.Driver)}
		for _, o := range p.Options {
			a = append(a, store.Attr(o.Key, o.Value))
		}
		f.Pools = append(f.Pools, store.Pool{Attrs: a})
	}
	f.Properties = m.fileProps(nil)
	for _, vm := range m.VMs() {
		if vm.Pending {
			continue
		}
		d := store.Domain{ID: fmt.Sprintf("domain-%d", vm.QID), Class: string(vm.Class), Properties: m.fileProps(vm), Devices: vm.fileDevices()}
		for _, ft := range vm.features {
			d.Features = append(d.Features, store.Feature{Name: ft.Key, Value: ft.Value})
		}
		for _, t := range vm.tags {
			d.Tags = append(d.Tags, store.Tag{Name: t})
		}
		if len(vm.Volumes) > 0 {
			d.Volumes = &store.Volumes{}
			for _, v := range vm.Volumes {
				d.Volumes.Volumes = append(d.Volumes.Volumes, fileVolume(v))
			}
		}
		f.Domains = append(f.Domains, d)
	}
	return f
}

func (m *Model) fileProps(vm *VM) []store.Property {
	var out []store.Property
	for _, d := range m.Defs(vm) {
		v, isDefault, ok := m.value(vm, d)
		if ok && !isDefault {
			out = append(out, store.Property{Name: d.Name, Value: v.API()})
		}
	}
	return out
}

func fileVolume(v Volume) store.Volume {
	a := []xml.Attr{
		store.Attr("name", v.Name), store.Attr("pool", v.Pool), store.Attr("vid", string(v.ID)),
		store.Attr("revisions_to_keep", strconv.Itoa(v.RevisionsToKeep)), store.Attr("rw", BoolValue(v.RW).API()),
		store.Attr("save_on_stop", BoolValue(v.SaveOnStop).API()), store.Attr("snap_on_start", BoolValue(v.SnapOnStart).API()),
	}
	if v.Size != 0 {
		a = append(a, store.Attr("size", strconv.FormatInt(v.Size, 10)))
	}
	if v.Source != "" {
		a = append(a, store.Attr("source", string(v.Source)))
	}
	if v.Ephemeral != nil {
		a = append(a, store.Attr("ephemeral", BoolValue(*v.Ephemeral).API()))
	}
	return store.Volume{Attrs: a}
}

// Load rebuilds a system. Nothing is emitted; all qubes but dom0 and remote ones are halted.
func Load(h Host, f store.File) (*Model, error) {
	m := New(h)
	m.Labels, m.dirty = nil, false
	if err := m.loadLabels(f.Labels); err != nil {
		return nil, err
	}
	for _, p := range f.Pools {
		if err := m.loadPool(p); err != nil {
			return nil, err
		}
	}
	for i := range f.Domains {
		if err := m.loadVM(&f.Domains[i]); err != nil {
			return nil, fmt.Errorf("loading qube %q: %w", f.Domains[i].ID, err)
		}
	}
	if err := m.loadProps(nil, f.Properties, false, true); err != nil {
		return nil, fmt.Errorf("loading system properties: %w", err)
	}
	for i := range f.Domains {
		d := &f.Domains[i]
		vm := m.vms[fileName(d)]
		if err := m.loadProps(vm, d.Properties, true, false); err != nil {
			return nil, fmt.Errorf("loading qube %q: %w", vm.Name, err)
		}
	}
	return m, m.fixUp()
}

func (m *Model) loadLabels(labels []store.Label) error {
	for _, l := range labels {
		n, err := strconv.Atoi(strings.TrimPrefix(l.ID, "label-"))
		c, cerr := strconv.ParseUint(strings.TrimPrefix(l.Color, "0x"), 16, 24)
		if err != nil || cerr != nil || n < 1 || l.Name == "" {
			return fmt.Errorf("loading label %q: bad id or colour", l.Name)
		}
		if n == 5 && c == 0x555753 {
			c = 0x555555
		}
		m.Labels = append(m.Labels, qube.Label{Index: n, Name: l.Name, Color: uint32(c)})
	}
	return nil
}

func (m *Model) loadPool(p store.Pool) error {
	out := Pool{}
	for _, a := range p.Attrs {
		switch a.Name.Local {
		case "name":
			out.Name = a.Value
		case "driver":
			out.Driver = a.Value
		default:
			out.Options = append(out.Options, KV{a.Name.Local, a.Value})
		}
	}
	if out.Name == "" || out.Driver == "" || m.Pool(out.Name) != nil {
		return fmt.Errorf("loading pool %q: name or driver missing, or name used twice", out.Name)
	}
	m.Pools = append(m.Pools, out)
	return nil
}

func fileName(d *store.Domain) qube.Name {
	if d.Class == string(qube.AdminVM) {
		return qube.Dom0
	}
	return qube.Name(fileProp(d, "name"))
}

func fileProp(d *store.Domain, name string) string {
	for _, p := range d.Properties {
		if p.Name == name {
			return p.Value + p.Ref
		}
	}
	return ""
}

func (m *Model) loadVM(d *store.Domain) error {
	vm := m.vms[qube.Dom0]
	if d.Class != string(qube.AdminVM) {
		n, err := qube.ParseName(fileProp(d, "name"))
		if err != nil {
			return err
		}
		if m.vms[n] != nil {
			return fmt.Errorf("name %q is used twice", n)
		}
		vm = &VM{Name: n, Class: qube.Class(d.Class), UUID: fileProp(d, "uuid"), props: map[string]Value{}, Run: Run{State: qube.Halted}}
		if _, ok := classLetters[vm.Class]; !ok {
			return fmt.Errorf("unknown class %q", d.Class)
		}
		if vm.QID, err = strconv.Atoi(fileProp(d, "qid")); err != nil || vm.QID < 1 || vm.QID > maxQID {
			return fmt.Errorf("qid %q out of range", fileProp(d, "qid"))
		}
		if vm.UUID == "" {
			vm.UUID, m.dirty = m.Host.NewUUID(), true
		}
		if !UUID(vm.UUID) || m.ByUUID(vm.UUID) != nil {
			return fmt.Errorf("uuid %q is malformed or used twice", vm.UUID)
		}
		if s := fileProp(d, "dispid"); s != "" {
			if vm.DispID, err = strconv.Atoi(s); err != nil || vm.DispID < 0 || vm.DispID > 9999 {
				return fmt.Errorf("dispid %q out of range", s)
			}
		}
		if vm.Class == qube.RemoteVM {
			vm.Run.State = qube.Running
		}
		m.vms[n] = vm
	}
	for _, f := range d.Features {
		vm.putFeature(f.Name, f.Value)
	}
	for _, t := range d.Tags {
		if !vm.HasTag(t.Name) {
			vm.tags = append(vm.tags, t.Name)
		}
	}
	if err := vm.loadDevices(d.Devices); err != nil {
		return err
	}
	if err := vm.loadVolumes(d.Volumes); err != nil {
		return err
	}
	return m.loadProps(vm, d.Properties, false, false)
}

// loadProps takes values as they are: rules between qubes were checked when they were set.
// both takes early and late ones.
func (m *Model) loadProps(vm *VM, props []store.Property, late, both bool) error {
	for _, p := range props {
		switch p.Name { // older spellings
		case "hvm":
			p.Name = "virt_mode"
			if b, ok := ParseBool(p.Value); ok && b {
				p.Value = "hvm"
			} else {
				p.Value = "pv"
			}
		case "dispvm_allowed":
			p.Name = "template_for_dispvms"
		case "default_fw_netvm":
			continue
		}
		d, err := m.Def(vm, p.Name)
		if err != nil {
			return err
		}
		if d.Fixed || d.ReadOnly || d.Late != late && !both {
			continue
		}
		v, err := m.parse(vm, d, p.Value+p.Ref)
		if err != nil {
			return fmt.Errorf("property %q: %w", p.Name, err)
		}
		if d.Type == "int" && p.Value == "" {
			v = Value{}
		}
		m.bag(vm)[d.Name] = v
	}
	return nil
}

// fixUp is load stage 5: breaks loops, blanks what no longer holds, adds automatic tags.
func (m *Model) fixUp() error {
	if m.vms[qube.Dom0].props["label"].S == "" {
		m.vms[qube.Dom0].props["label"] = LabelValue("black")
	}
	for _, p := range []string{"default_dispvm", "management_dispvm"} {
		if t := m.Ref(nil, p); t != nil && !m.Truth(t, "template_for_dispvms") {
			m.props[p], m.dirty = Value{}, true
		}
	}
	for _, vm := range m.VMs() {
		if d, err := m.Def(vm, "template"); err == nil && m.Ref(vm, d.Name) == nil {
			return fmt.Errorf("loading qube %q: it has no template", vm.Name)
		}
		if t := m.Ref(vm, "netvm"); t != nil && m.netLoop(vm, t) {
			vm.props["netvm"], m.dirty = Value{}, true
		}
		m.autoTags(vm)
	}
	return nil
}

func (vm *VM) loadVolumes(vs *store.Volumes) error {
	if vs == nil {
		return nil
	}
	for _, fv := range vs.Volumes {
		v := Volume{}
		for _, a := range fv.Attrs {
			if err := v.loadAttr(a.Name.Local, a.Value); err != nil {
				return fmt.Errorf("volume attribute %s=%q: %w", a.Name.Local, a.Value, err)
			}
		}
		vm.Volumes = append(vm.Volumes, v)
	}
	return nil
}

func (v *Volume) loadAttr(name, value string) (err error) {
	truth := func() (b bool) {
		b, ok := ParseBool(value)
		if !ok {
			err = fmt.Errorf("not a truth value")
		}
		return b
	}
	switch name {
	case "name":
		v.Name = value
	case "pool":
		v.Pool = value
	case "vid":
		v.ID = volume.ID(value)
	case "source":
		v.Source = volume.ID(value)
	case "rw":
		v.RW = truth()
	case "save_on_stop":
		v.SaveOnStop = truth()
	case "snap_on_start":
		v.SnapOnStart = truth()
	case "ephemeral":
		b := truth()
		v.Ephemeral = &b
	case "revisions_to_keep":
		v.RevisionsToKeep, err = strconv.Atoi(value)
	case "size":
		v.Size, err = strconv.ParseInt(value, 10, 64)
	default:
		err = fmt.Errorf("unknown")
	}
	return err
}
