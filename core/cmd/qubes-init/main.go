// Command qubes-init is /init of the initrd and, in a service VM, PID 1 for good. What it
// does is in core/internal/guestinit.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"qubist/core/internal/guestinit"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "qubes-init: only the kernel starts this program")
		os.Exit(1)
	}
	err := guestinit.Run(os.Stderr)
	fmt.Fprintf(os.Stderr, "\nqubes-init: cannot start this VM: %v\n", err)
	unix.Sync()
	time.Sleep(200 * time.Millisecond) // the serial line is slow, and this line is what dom0 reads
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // never returns to the kernel, which would panic without the reason
}
