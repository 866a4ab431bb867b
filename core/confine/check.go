package confine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLoose is returned by Check when something succeeded that the least profile forbids.
var ErrLoose = errors.New("not confined")

// Check tries what a process must not be able to do that was confined without Exec and
// Network, each attempt harmless by itself, and writes one line about each to w. Programs
// offer it as --check-confinement, right after Apply: it tests this kernel and this program,
// not the intention.
func Check(w io.Writer) error {
	loose := false
	for _, a := range []struct {
		what string
		try  func() error
	}{
		{"run a program", func() error { return exec.Command("/bin/true").Run() }},
		{"read /etc/passwd", func() error { _, err := os.ReadFile("/etc/passwd"); return err }},
		{"list /", func() error { _, err := os.ReadDir("/"); return err }},
		{"write to the directory for temporary files", func() error {
			f, err := os.CreateTemp("", "qubist-check-*")
			if err == nil {
				f.Close()
				os.Remove(f.Name())
			}
			return err
		}},
		{"link a file it may not read", func() error {
			to := filepath.Join(os.TempDir(), fmt.Sprintf("qubist-check-%d", os.Getpid()))
			err := os.Symlink("/etc/shadow", to)
			if err == nil {
				os.Remove(to)
			}
			return err
		}},
		{"open an internet socket", func() error {
			l, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err == nil {
				l.Close()
			}
			return err
		}},
		{"look into processes", func() error {
			_, err := unix.ProcessVMReadv(os.Getpid(), nil, nil, 0)
			return err
		}},
		{"make namespaces", func() error { return unix.Unshare(0) }},
		{"change its user", func() error { return unix.Setuid(os.Getuid()) }},
		{"gain privileges from programs", func() error {
			v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
			if err == nil && v == 1 {
				return unix.EPERM
			}
			return err
		}},
	} {
		if err := a.try(); err != nil {
			fmt.Fprintf(w, "refused: %s (%v)\n", a.what, err)
			continue
		}
		loose = true
		fmt.Fprintf(w, "POSSIBLE: %s\n", a.what)
	}
	if loose {
		return ErrLoose
	}
	return nil
}
