package up

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// runPackages are the Debian packages that building and running need.
var runPackages = []string{
	"gcc", "libc6-dev", // cgo of the libvirt driver
	"libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-clients", "qemu-system-x86", "qemu-utils",
	"mmdebstrap", "e2fsprogs", "binutils", // the template image
	"xvfb", "xterm", "x11-xserver-utils", "fonts-dejavu-core", // a display where there is none; the question's own terminal
}

// testPackages are what the tests need beyond runPackages.
var testPackages = []string{
	"xserver-xorg-core", "xserver-xorg-video-dummy", "x11-utils", "x11-apps", "xdotool", "openbox", "imagemagick", "tmux", "procps", "cpio",
}

// Setup installs the missing packages. It asks for root's rights (sudo) only when something
// is missing, and does nothing, quickly, when all is there.
func (e *Env) Setup(ctx context.Context, tests bool) error {
	want := runPackages
	if tests {
		want = append(append([]string{}, runPackages...), testPackages...)
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		return &Hint{fmt.Errorf("this is not a Debian machine (no /etc/debian_version)"),
			"install what corresponds to these packages, then run the Taskfile's `build` and `template` and bin/qubist-up run: " + strings.Join(want, " ")}
	}
	missing := e.missing(ctx, want)
	if len(missing) == 0 {
		return nil
	}
	e.Say("installing %d missing packages: %s", len(missing), strings.Join(missing, " "))
	apt, dpkg := []string{"apt-get"}, []string{"dpkg", "--configure", "-a"}
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return &Hint{fmt.Errorf("installing packages needs root, and sudo is not here"),
				"as root: apt-get install --no-install-recommends " + strings.Join(missing, " ")}
		}
		e.Say("sudo may ask for your password now: only this step needs it")
		sudo := []string{"sudo", "env", "DEBIAN_FRONTEND=noninteractive"}
		apt, dpkg = append(slices.Clone(sudo), apt...), append(slices.Clone(sudo), dpkg...)
	}
	install := append(append([]string{}, apt[1:]...), append([]string{"install", "-y", "-q", "--no-install-recommends"}, missing...)...)
	update := append(slices.Clone(apt[1:]), "update", "-q", "-o", "APT::Update::Error-Mode=any")
	stale := e.stream(ctx, apt[0], update...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if stale != nil { // one dead source of many need not matter
		e.Say("not all package lists could be refreshed: trying with those that are here")
	}
	// A run that was interrupted earlier may have left packages unpacked only; a dpkg without
	// anything to finish says nothing.
	if err := e.stream(ctx, dpkg[0], dpkg[1:]...); err != nil {
		return &Hint{fmt.Errorf("finishing an interrupted installation: %w", err), "as root: dpkg --configure -a"}
	}
	if err := e.stream(ctx, apt[0], install...); err != nil {
		next := "see apt's message above; if another apt is running wait for it, then run again"
		if stale != nil {
			next = "check the network and the sources in /etc/apt, then run again"
		}
		return &Hint{fmt.Errorf("installing %s: %w", strings.Join(missing, " "), err), next}
	}
	if left := e.missing(ctx, want); len(left) > 0 {
		return &Hint{fmt.Errorf("apt finished, but these are still not installed: %s", strings.Join(left, " ")), "apt-get install -f"}
	}
	e.Say("packages installed")
	return nil
}

// missing asks dpkg which of want are not fully installed.
func (e *Env) missing(ctx context.Context, want []string) []string {
	// dpkg-query fails when it does not know one of the names, and still lists the others.
	out, _ := e.Run(ctx, "dpkg-query", append([]string{"-W", "-f=${Package} ${db:Status-Status}\n"}, want...)...)
	have := map[string]bool{}
	for _, line := range strings.Split(out, "\n") {
		if name, status, ok := strings.Cut(line, " "); ok && status == "installed" {
			have[name] = true
		}
	}
	var missing []string
	for _, p := range want {
		if !have[p] {
			missing = append(missing, p)
		}
	}
	return missing
}

// stream runs a program that may take minutes, with its output shown as it comes.
func (e *Env) stream(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, e.Out, e.Out
	// Killed in the middle, dpkg would leave packages half installed: ask it, and wait.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}
