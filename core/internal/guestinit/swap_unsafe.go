package guestinit

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// swapFlagDiscard makes the kernel discard freed swap, so that the host gets the blocks back.
const swapFlagDiscard = 0x10000

// swapon is the system call, which x/sys does not wrap.
func swapon(dev string) error {
	p, err := unix.BytePtrFromString(dev)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(p)), swapFlagDiscard, 0); errno != 0 {
		return os.NewSyscallError("swapon", errno)
	}
	return nil
}
