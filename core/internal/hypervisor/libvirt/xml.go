package libvirt

import (
	"encoding/xml"
	"fmt"
	"path/filepath"

	"libvirt.org/go/libvirtxml"

	"qubist/core/internal/hypervisor"
)

// portName is the virtio-serial port of the multiplexer (architecture page, "Transport").
const portName = "org.qubist.vchan"

// maxSocketPath is the longest path of a Unix socket.
const maxSocketPath = 107

// Translation buffer of QEMU without KVM, in MiB, for guests up to smallGuest MiB and
// larger ones (spec qemu-backend.md §1, "RAM").
const (
	smallGuest    = 256
	smallTBCache  = 32
	normalTBCache = 64
)

// Limits of a region: QEMU wants a power of two.
const (
	minRegion = 1 << 20
	maxRegion = 1 << 30
)

// domainXML is the libvirt definition of s.
func (d *Driver) domainXML(s hypervisor.Spec) (string, error) {
	if err := checkSpec(s); err != nil {
		return "", err
	}
	meta, err := xml.Marshal(metadata{NS: metadataNS, Instance: d.instance, Name: string(s.Name), XID: uint32(s.XID)})
	if err != nil {
		return "", err
	}
	maxMem := max(s.MaxMemMiB, s.MemoryMiB)
	dom := libvirtxml.Domain{
		Type:          "qemu",
		Name:          libvirtName(d.opt.Paths, s.Name),
		UUID:          s.UUID,
		Metadata:      &libvirtxml.DomainMetadata{XML: string(meta)},
		Memory:        &libvirtxml.DomainMemory{Value: uint(maxMem), Unit: "MiB"},
		CurrentMemory: &libvirtxml.DomainCurrentMemory{Value: uint(s.MemoryMiB), Unit: "MiB"},
		MemoryBacking: &libvirtxml.DomainMemoryBacking{
			MemorySource: &libvirtxml.DomainMemorySource{Type: "memfd"},
			MemoryAccess: &libvirtxml.DomainMemoryAccess{Mode: "shared"},
		},
		VCPU: &libvirtxml.DomainVCPU{Value: s.VCPUs},
		OS: &libvirtxml.DomainOS{
			Type:   &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "q35", Type: "hvm"},
			Kernel: s.Kernel, Initrd: s.Initrd, Cmdline: s.Cmdline,
		},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		CPU:        &libvirtxml.DomainCPU{Mode: "maximum"},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
		Devices: d.devices(s),
	}
	if d.accel.KVM {
		dom.Type = "kvm"
	} else {
		size := uint(normalTBCache)
		if maxMem <= smallGuest {
			size = smallTBCache
		}
		dom.Features.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: size}}
	}
	return dom.Marshal()
}

func (d *Driver) devices(s hypervisor.Spec) *libvirtxml.DomainDeviceList {
	list := &libvirtxml.DomainDeviceList{
		Controllers: []libvirtxml.DomainController{{Type: "usb", Model: "none"}},
		Channels: []libvirtxml.DomainChannel{{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{Mode: "bind", Path: s.PortSocket}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: portName}},
		}},
		Serials: []libvirtxml.DomainSerial{{
			// virtlogd keeps the file below a size: a VM may print what it likes.
			Source: &libvirtxml.DomainChardevSource{File: &libvirtxml.DomainChardevSourceFile{Path: s.ConsoleLog, Append: "on"}},
		}},
		Videos: []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "none"}}},
		MemBalloon: &libvirtxml.DomainMemBalloon{Model: "virtio", AutoDeflate: "on", FreePageReporting: "on",
			Stats: &libvirtxml.DomainMemBalloonStats{Period: 2}},
		RNGs: []libvirtxml.DomainRNG{{Model: "virtio",
			Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}}}},
	}
	for _, k := range s.Disks {
		disk := libvirtxml.DomainDisk{
			Device: "disk",
			Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: k.Format, Discard: "unmap", DetectZeros: "unmap"},
			Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: k.Path}},
			Target: &libvirtxml.DomainDiskTarget{Dev: k.Target, Bus: "virtio"},
		}
		if k.Discardable {
			disk.Driver.Cache = "unsafe" // lost with the VM anyway
		}
		if k.ReadOnly {
			disk.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
		}
		list.Disks = append(list.Disks, disk)
	}
	if s.WindowRegion != 0 {
		list.Shmems = []libvirtxml.DomainShmem{{
			Name:  d.regionName(s.XID),
			Model: &libvirtxml.DomainShmemModel{Type: "ivshmem-plain"},
			Size:  &libvirtxml.DomainShmemSize{Value: uint(s.WindowRegion), Unit: "B"},
		}}
	}
	return list
}

// checkSpec finds mistakes that libvirt would report less clearly or not at all.
func checkSpec(s hypervisor.Spec) error {
	if s.Name == "" || s.XID == 0 || s.MemoryMiB == 0 || s.VCPUs == 0 {
		return fmt.Errorf("domain %q: name, xid, memory and processors are needed", s.Name)
	}
	if len(s.PortSocket) > maxSocketPath {
		return fmt.Errorf("domain %s: socket path of %d bytes is longer than %d; choose a shorter root directory", s.Name, len(s.PortSocket), maxSocketPath)
	}
	if r := s.WindowRegion; r != 0 && (r&(r-1) != 0 || r < minRegion || r > maxRegion) {
		return fmt.Errorf("domain %s: window region of %d bytes: want a power of two from 1 MiB to 1 GiB", s.Name, r)
	}
	files := []string{s.Kernel, s.Initrd, s.PortSocket, s.ConsoleLog}
	for _, k := range s.Disks {
		if k.Format != "raw" && k.Format != "qcow2" {
			return fmt.Errorf("domain %s: disk %s has format %q, want raw or qcow2", s.Name, k.Target, k.Format)
		}
		files = append(files, k.Path)
	}
	for _, f := range files {
		if !filepath.IsAbs(f) {
			return fmt.Errorf("domain %s: path %q is not absolute", s.Name, f)
		}
	}
	return nil
}
