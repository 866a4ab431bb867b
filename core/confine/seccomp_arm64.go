package confine

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	foreignBit = 0
)

// forbiddenHere are calls that only this architecture has.
var forbiddenHere = []uint32{unix.SYS_KEXEC_FILE_LOAD}
