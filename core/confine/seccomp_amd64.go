package confine

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_X86_64
	foreignBit = 1 << 30 // __X32_SYSCALL_BIT
)

// forbiddenHere are calls that only this architecture has.
var forbiddenHere = []uint32{
	unix.SYS_KEXEC_FILE_LOAD, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_MKNOD,
	unix.SYS_USELIB, unix.SYS_LOOKUP_DCOOKIE, unix.SYS__SYSCTL, unix.SYS_USTAT,
}
