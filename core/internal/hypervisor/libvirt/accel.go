package libvirt

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"strings"

	"qubist/core/internal/hypervisor"
)

// probeAccel decides how guests execute: hardware virtualisation needs the device and a
// processor that offers it. A device alone is not enough: virtual machines exist that show
// one and cannot run ordinary guests.
func probeAccel(kvm, cpuinfo string) hypervisor.Accel {
	if !cpuVirtualises(cpuinfo) {
		return hypervisor.Accel{Reason: "the processor shows neither vmx nor svm"}
	}
	f, err := os.OpenFile(kvm, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return hypervisor.Accel{Reason: kvm + " is closed to this user: join its group, kvm, and log in again"}
	case errors.Is(err, fs.ErrNotExist):
		return hypervisor.Accel{Reason: "there is no " + kvm + ": load the module kvm_intel or kvm_amd"}
	case err != nil:
		return hypervisor.Accel{Reason: err.Error()}
	}
	f.Close()
	return hypervisor.Accel{KVM: true}
}

func cpuVirtualises(cpuinfo string) bool {
	f, err := os.Open(cpuinfo)
	if err != nil {
		return false
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		key, flags, _ := strings.Cut(sc.Text(), ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		for _, w := range strings.Fields(flags) {
			if w == "vmx" || w == "svm" {
				return true
			}
		}
		return false
	}
	return false
}
