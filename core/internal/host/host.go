// Package host asks the machine what the model must know of it: memory, processors,
// installed kernels, and how much dom0 itself uses. It is the only place of the core that
// reads /proc for that.
package host

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"qubist/core/internal/domain"
	"qubist/core/paths"
)

// maxKernelText bounds the small text files of a kernel directory, in bytes.
const maxKernelText = 4096

// tick is the kernel's unit of processor time in /proc/stat, for all Linux machines.
const tick = 10 * time.Millisecond

// Facts describes this machine.
func Facts(p paths.Paths) domain.Host {
	total, _ := meminfo()
	return domain.Host{
		MemoryMiB: int64(total / 1024), CPUs: int64(runtime.NumCPU()), Dom0MaxMiB: int64(total / 1024),
		HasKernel: func(name string) bool {
			_, err := os.Stat(filepath.Join(p.KernelDir(name), "vmlinuz"))
			return name != "" && err == nil
		},
		Kernels: func() []string {
			dirs, _ := filepath.Glob(filepath.Join(p.KernelDir("*"), "vmlinuz")) // the pattern is fine
			out := make([]string, 0, len(dirs))
			for _, d := range dirs {
				out = append(out, filepath.Base(filepath.Dir(d)))
			}
			slices.Sort(out)
			return out
		},
		KernelText: func(name, file string) (string, bool) {
			b, err := os.ReadFile(filepath.Join(p.KernelDir(name), file))
			if err != nil || len(b) > maxKernelText {
				return "", false
			}
			return string(b), true
		},
		NewUUID: NewUUID, NewDispID: newDispID, Timezone: func() string { return zone("/etc/localtime") },
	}
}

// zone is the name of the zone that link points to, "" when it does not say.
func zone(link string) string {
	to, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	_, name, ok := strings.Cut(to, "/zoneinfo/")
	if !ok || len(name) > 64 || strings.Trim(name, "/") != name || strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/_+-", r)
	}) {
		return ""
	}
	return name
}

// NewUUID is a random UUID of version 4.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func newDispID() int {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return int(binary.LittleEndian.Uint64(b[:]) % 10000)
}

// Usage is dom0's memory in use and processor time since boot.
func Usage() (memKiB uint64, cpu time.Duration) {
	total, available := meminfo()
	if available > total {
		available = total
	}
	return total - available, cpuTime()
}

func meminfo() (totalKiB, availableKiB uint64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		if len(w) < 2 {
			continue
		}
		n, _ := strconv.ParseUint(w[1], 10, 64)
		switch w[0] {
		case "MemTotal:":
			totalKiB = n
		case "MemAvailable:":
			availableKiB = n
		}
	}
	return totalKiB, availableKiB
}

// cpuTime adds user, nice, system, irq and softirq time; guests count as user time, so
// theirs is taken off again.
func cpuTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	w := strings.Fields(line)
	n := func(i int) time.Duration {
		if i >= len(w) {
			return 0
		}
		v, _ := strconv.ParseInt(w[i], 10, 64)
		return time.Duration(v) * tick
	}
	return n(1) + n(2) + n(3) + n(6) + n(7) - n(9) - n(10)
}
