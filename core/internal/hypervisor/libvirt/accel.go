package libvirt

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"qubist/core/internal/hypervisor"
)

// probeAccel decides how guests execute: hardware virtualisation needs the device and a
// processor that offers it. A device alone is not enough: virtual machines exist that show
// one and cannot run ordinary guests.
func probeAccel(kvm, cpuinfo string) hypervisor.Accel {
	f, err := os.OpenFile(kvm, os.O_RDWR, 0)
	if err != nil {
		return hypervisor.Accel{Reason: fmt.Sprintf("Guests run without hardware acceleration and slowly: %v.", err)}
	}
	f.Close()
	if !cpuVirtualises(cpuinfo) {
		return hypervisor.Accel{Reason: "Guests run without hardware acceleration and slowly: the processor shows neither vmx nor svm."}
	}
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
