package confine

import (
	"golang.org/x/sys/unix"
)

// forbidden are the calls no confined process needs: control over other processes, over
// mounts and namespaces, over the kernel and the machine, and ways around this filter. A
// list of what is forbidden, not of what is allowed: the Go runtime of the next release
// may need calls that this one does not.
var forbidden = []uint32{
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
	unix.SYS_PIDFD_GETFD, unix.SYS_PROCESS_MADVISE,
	// Mounts, roots, namespaces.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT,
	unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_MOUNT_SETATTR, unix.SYS_SETNS, unix.SYS_UNSHARE,
	// Other identities.
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID,
	unix.SYS_SETRESGID, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS,
	// The kernel and the machine.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG, unix.SYS_VHANGUP,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
	unix.SYS_PERSONALITY, unix.SYS_MKNODAT, unix.SYS_FANOTIFY_INIT,
	// Keys, and files by handle instead of by path.
	unix.SYS_ADD_KEY, unix.SYS_KEYCTL, unix.SYS_REQUEST_KEY,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	// Work that the kernel does without passing this filter.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

// programs are the calls that run programs.
var programs = []uint32{unix.SYS_EXECVE, unix.SYS_EXECVEAT}

// newNamespaces are the flags by which clone makes a namespace.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Offsets into struct seccomp_data (little endian: the low half of an argument first).
const (
	offNumber = 0
	offArch   = 4
	offArg0   = 16
)

// What the filter answers.
const (
	allow  = unix.SECCOMP_RET_ALLOW
	kill   = unix.SECCOMP_RET_KILL_PROCESS
	deny   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// filter returns the program: calls of a foreign architecture kill the process, forbidden
// ones fail with EPERM, clone3 is absent (its flags are in memory, where a filter cannot
// see them; callers fall back to clone). Without network the only new sockets are Unix
// ones; Landlock alone knows TCP, but not its variants.
func filter(exec, network bool) []unix.SockFilter {
	f := []unix.SockFilter{
		load(offArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		ret(kill),
		load(offNumber),
	}
	if foreignBit != 0 { // calls of x32, numbered apart
		f = append(f, jump(unix.BPF_JSET, foreignBit, 0, 1), ret(kill))
	}
	lists := [][]uint32{forbidden, forbiddenHere}
	if !exec {
		lists = append(lists, programs)
	}
	for _, list := range lists {
		for _, number := range list {
			f = append(f, jump(unix.BPF_JEQ, number, 0, 1), ret(deny))
		}
	}
	if !network {
		f = append(f, jump(unix.BPF_JEQ, unix.SYS_SOCKET, 0, 3),
			load(offArg0), jump(unix.BPF_JEQ, unix.AF_UNIX, 1, 0), ret(deny),
			load(offNumber))
	}
	return append(f,
		jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), ret(absent),
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 3),
		load(offArg0), jump(unix.BPF_JSET, newNamespaces, 0, 1), ret(deny),
		ret(allow),
	)
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(op uint16, k uint32, ifTrue, ifFalse uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: ifTrue, Jf: ifFalse}
}

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
