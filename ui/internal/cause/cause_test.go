package cause

import "testing"

// faults are injected ones, each with what is seen of it and the row that must name it.
var faults = []struct{ id, said, console string }{
	{"no-root-device", "domain 'work' died during start", `VFS: Cannot open root device "vda" or unknown-block(0,0): error -6`},
	{"no-root-device", "", "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"},
	{"no-init", "", "Kernel panic - not syncing: No working init found.  Try passing init= option to kernel."},
	{"init-died", "", "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"},
	{"initramfs-corrupt", "", "Initramfs unpacking failed: invalid magic at start of compressed archive"},
	{"guest-oom", "", "Out of memory: Killed process 212 (systemd) total-vm:120kB"},
	{"no-memory-to-unpack", "", "not enough memory for initramfs"},
	{"fs-error", "", "EXT4-fs error (device vda): ext4_lookup:1855: inode #2: comm init: deleted inode referenced"},
	{"fs-unclean", "", "/dev/vdb: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY."},
	{"bad-superblock", "", "mount: /rw: wrong fs type, bad option, bad superblock on /dev/vdb"},
	{"io-error", "", "I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x0"},
	{"guest-disk-full", "", "write /rw/x: No space left on device"},
	{"read-only-root", "", "EXT4-fs (vda): Remounting filesystem read-only"},
	{"emergency", "", "You are in emergency mode. After logging in, type \"journalctl -xb\""},
	{"rescue-shell", "", "ALERT!  /dev/vda does not exist.  Dropping to a shell!"},
	{"modules-missing", "", "modprobe: FATAL: Module virtio_console not found in directory /lib/modules/6.1"},
	{"agent-missing", "", "sh: /usr/lib/qubes/qrexec-agent: not found"},
	{"agent-failed", "", "Failed to start Qubes qrexec agent."},
	{"vchan-missing", "", "qubes-vchan-agent: open /dev/virtio-ports/org.qubist.vchan: no such file"},
	{"rw-failed", "", "init: mounting /rw failed: invalid argument"},
	{"segfault-init", "", "init[1]: segfault at 0 ip 0000 sp 0000 error 14"},
	{"bad-cpu", "", "Fatal glibc error: CPU does not support x86-64-v3"},
	{"soft-lockup", "", "watchdog: BUG: soft lockup - CPU#0 stuck for 26s!"},
	{"panic", "", "Kernel panic - not syncing: Fatal exception in interrupt"},
	{"kernel-bug", "", "BUG: unable to handle page fault for address: 0000"},
	{"dom0-memory", "Not enough memory to start domain 'work'", ""},
	{"dom0-memory", "internal error: cannot set up guest memory 'pc.ram': Cannot allocate memory", ""},
	{"agent-timeout", "Cannot connect to qrexec agent for 60 seconds, see /log/guest-work.log", ""},
	{"no-kernel", "open /lib/vm-kernels/6.1/vmlinuz: no such file or directory", ""},
	{"no-initramfs", "open /x/6.1/initramfs: no such file or directory", ""},
	{"root-missing", "Cannot access storage file '/x/root.qcow2': No such file", ""},
	{"dom0-disk-full", "creating volatile volume: write /x/volatile.img: no space left on device", ""},
	{"dom0-read-only", "creating overlay: read-only file system", ""},
	{"permission", "Could not open '/x/private.img': Permission denied", ""},
	{"locked", "Failed to get \"write\" lock", ""},
	{"already-exists", "operation failed: domain 'work' already exists with uuid 1", ""},
	{"template-running", "template debian-12 is not halted", ""},
	{"no-template", "template deb not found", ""},
	{"netvm-failed", "netvm sys-net did not start", ""},
	{"netvm-loop", "Loops in network are unsupported", ""},
	{"device-missing", "device 2-1 not found", ""},
	{"no-kvm", "Could not access KVM kernel module: /dev/kvm", ""},
	{"no-libvirt", "Failed to connect socket to '/var/run/libvirt/libvirt-sock'", ""},
	{"emulator-missing", "Cannot find QEMU binary", ""},
	{"emulator-died", "internal error: process exited while connecting to monitor", ""},
	{"daemon-failed", "qubes-vchand of work did not become ready", ""},
	{"region", "making the window region: mmap", ""},
	{"port", "listen unix /run/x.sock: bind: address already in use", ""},
	{"xid", "no free domain number", ""},
	{"prohibited", "Qube start is prohibited. Rationale: broken", ""},
	{"restoring", "work is being restored", ""},
	{"too-many-files", "pipe2: too many open files", ""},
	{"too-many-processes", "fork/exec /usr/bin/x: resource temporarily unavailable", ""},
	{"vcpus", "Maximum vCPUs greater than topology limit", ""},
	{"gone-at-start", "domain has gone", ""},
	{"refused", "Access denied", ""},
	{"time", "calling admin.vm.Start: context deadline exceeded", ""},
}

func TestEveryFaultIsNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults {
		console := []string{"[    0.000000] Linux version 6.12", "[    1.0] virtio_blk virtio1: [vda] 20971520 512-byte logical blocks"}
		if f.console != "" {
			console = append(console, "[    2.1] "+f.console, "[    3.0] Rebooting in 1 seconds..")
		}
		said := f.said
		g, ok := Of("work", said, console, true)
		if !ok || g.ID != f.id || g.Evidence == "" {
			t.Errorf("%q %q is named %q, want %q", f.said, f.console, g.ID, f.id)
		}
		seen[f.id] = true
	}
	for _, table := range [][]sign{onConsole, bySaid} {
		for _, s := range table {
			if !seen[s.id] {
				t.Errorf("no fault is injected for %s", s.id)
			}
			if s.likely == "" || s.next == "" {
				t.Errorf("%s says nothing", s.id)
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d faults", len(seen))
	}
}

func TestNoGuessFromAnOrdinaryBoot(t *testing.T) {
	boot := []string{"[    0.0] Linux version 6.12.40", "[    0.9] random: crng init done", "[    1.3] EXT4-fs (vda): mounted filesystem with ordered data mode", "[  OK  ] Reached target Multi-User System.", "Debian GNU/Linux 12 work ttyS0"}
	if g, ok := Of("kvm-panic", "kvm-panic: something never heard of", boot, true); ok {
		t.Errorf("guessed %+v", g)
	}
}

func TestTheQubesNameIsNoSign(t *testing.T) {
	if g, ok := Of("timed-out.segfault", "timed-out.segfault is odd", []string{"timed-out.segfault login:"}, true); ok {
		t.Errorf("guessed %+v", g)
	}
}

func TestQuotedConsole(t *testing.T) {
	if g, _ := Of("work", "Cannot connect to qrexec agent for 60 seconds. Its console says: Kernel panic - not syncing: x", nil, false); g.ID != "panic" {
		t.Errorf("guessed %+v", g)
	}
}
