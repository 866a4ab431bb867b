package life

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"qubist/core/adminapi/device"
	"qubist/core/internal/domain"
	"qubist/core/internal/hypervisor"
	"qubist/core/qube"
	"qubist/storage/volume"
)

// plan is what a start needs to know, taken from the model once.
type plan struct {
	name     qube.Name
	netvm    qube.Name
	volumes  []volume.Config
	spec     hypervisor.Spec
	user     string
	label    qube.Label
	agent    bool // feature qrexec: the start waits for the agent
	gui      bool
	qrexec   time.Duration
	prohibit string
	restore  bool
	devices  []device.Assignment // required ones
	encrypt  string              // a volume that is to be encrypted
	persist  []string            // values of custom-persist features
	spawned  bool                // the domain was built
}

// plan reads the model. The caller holds the lock.
func (s *System) plan(m *domain.Model, vm *domain.VM) plan {
	p := plan{name: vm.Name, user: m.DefaultUser(vm), label: m.Label(vm), qrexec: seconds(m.Number(vm, "qrexec_timeout"))}
	if t := m.Ref(vm, "netvm"); t != nil && t.Class != qube.AdminVM {
		p.netvm = t.Name
	}
	for _, v := range vm.Volumes {
		if v.Name != "kernel" {
			p.volumes = append(p.volumes, v.Config)
			if m.EphemeralVolume(&v) {
				p.encrypt = v.Name
			}
		}
	}
	for _, a := range vm.Assignments("") {
		if a.Mode == device.Required {
			p.devices = append(p.devices, a)
		}
	}
	p.prohibit, _ = vm.Feature("prohibit-start")
	for _, f := range vm.Features() {
		if strings.HasPrefix(f.Key, "custom-persist.") {
			p.persist = append(p.persist, f.Value)
		}
	}
	p.restore = vm.HasTag("backup-restore-in-progress")
	p.agent = m.FeatureWithTemplate(vm, "qrexec")
	service := m.FeatureWithTemplate(vm, "servicevm")
	gui, ok := m.FindFeature(vm, "gui")
	p.gui = (gui != "" || !ok) && !service && m.Ref(vm, "guivm") == m.Dom0()
	kernel := s.Paths.KernelDir(m.Text(vm, "kernel"))
	p.spec = hypervisor.Spec{
		Name: vm.Name, UUID: vm.UUID, MemoryMiB: uint64(max(m.Number(vm, "memory"), 1)), VCPUs: uint(max(m.Number(vm, "vcpus"), 1)),
		Kernel: filepath.Join(kernel, "vmlinuz"), Initrd: filepath.Join(kernel, "initramfs"),
		ConsoleLog: s.consoleLog(vm.Name), Debug: m.Truth(vm, "debug"),
	}
	if m.Text(vm, "kernel") == "" {
		p.spec.Kernel = ""
	}
	if p.gui {
		p.spec.WindowRegion = windowRegion
	}
	p.spec.Cmdline = cmdline(vm.Name, p.user, service, p.gui, explicitOpts(m, vm))
	return p
}

// cmdline is the kernel command line of assets/doc/architecture.md without the domain
// number, which command adds. Every part was checked when it was set.
func cmdline(n qube.Name, user string, service, gui bool, opts string) string {
	init, g := "systemd", "0"
	if service {
		init = "service"
	}
	if gui {
		g = "1"
	}
	s := fmt.Sprintf("qubist.name=%s qubist.user=%s qubist.init=%s qubist.gui=%s", n, user, init, g)
	if opts != "" {
		s += " " + opts
	}
	return s
}

// explicitOpts are kernelopts somebody set, here or on the template; defaults are for Xen.
func explicitOpts(m *domain.Model, vm *domain.VM) string {
	for n := vm; n != nil; n = m.Ref(n, "template") {
		if !m.IsDefault(n, "kernelopts") {
			return strings.Join(strings.Fields(m.Text(n, "kernelopts")), " ")
		}
	}
	return ""
}

func seconds(n int64) time.Duration { return time.Duration(min(max(n, 1), 86400)) * time.Second }

// consoleLog is the file with what a qube wrote to its console.
func (s *System) consoleLog(n qube.Name) string {
	return filepath.Join(s.Paths.Log, "guest-"+string(n)+".log")
}
