// Package paths is the one place that knows where files and sockets live. Every program
// takes --root (or QUBIST_ROOT); nothing else composes a system path.
package paths

import (
	"fmt"
	"os"
	"path/filepath"
)

// Paths are the four directories of one instance. All are absolute.
type Paths struct {
	Lib string // durable state: qubes.xml, volumes, kernels
	Run string // sockets, pid files; lost at boot
	Log string // daemon and console logs
	Etc string // policy.d, qubes-rpc
}

// Default is the environment variable that --root overrides.
const Default = "QUBIST_ROOT"

// New gives the layout of one instance. root "" means the system's: /var/lib/qubist and
// its siblings for root, XDG directories for an ordinary user. Otherwise all four lie
// below root. Keep root under 60 bytes: Unix socket paths end at 107.
func New(root string) (Paths, error) {
	if root == "" {
		root = os.Getenv(Default)
	}
	if root != "" {
		abs, err := filepath.Abs(root)
		if err != nil {
			return Paths{}, fmt.Errorf("resolving root %q: %w", root, err)
		}
		return Paths{Lib: filepath.Join(abs, "lib"), Run: filepath.Join(abs, "run"), Log: filepath.Join(abs, "log"), Etc: filepath.Join(abs, "etc")}, nil
	}
	if os.Geteuid() == 0 {
		return Paths{Lib: "/var/lib/qubist", Run: "/run/qubist", Log: "/var/log/qubist", Etc: "/etc/qubist"}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return Paths{}, fmt.Errorf("finding the home directory: %w", err)
	}
	xdg := func(env, fallback string) string {
		if d := os.Getenv(env); filepath.IsAbs(d) {
			return filepath.Join(d, "qubist")
		}
		return filepath.Join(home, fallback, "qubist")
	}
	run := fmt.Sprintf("/run/user/%d/qubist", os.Geteuid())
	if d := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		run = filepath.Join(d, "qubist")
	}
	return Paths{Lib: xdg("XDG_DATA_HOME", ".local/share"), Run: run, Log: filepath.Join(xdg("XDG_STATE_HOME", ".local/state"), "log"), Etc: xdg("XDG_CONFIG_HOME", ".config")}, nil
}

// UserState is where programs of one user keep what concerns only this user and the instance
// of root: below root when it (or QUBIST_ROOT) is given, else the XDG state directory.
func UserState(root string) (string, error) {
	if root == "" {
		root = os.Getenv(Default)
	}
	if root != "" {
		abs, err := filepath.Abs(root)
		if err != nil {
			return "", fmt.Errorf("resolving root %q: %w", root, err)
		}
		return filepath.Join(abs, "state"), nil
	}
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "qubist"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the home directory: %w", err)
	}
	return filepath.Join(home, ".local/state", "qubist"), nil
}

// DaemonsDir holds the per-VM daemons' pid files, <xid>.<program>.pid.
func (p Paths) DaemonsDir() string { return filepath.Join(p.Run, "daemons") }

// QubesdSocket serves admin.* methods.
func (p Paths) QubesdSocket() string { return filepath.Join(p.Run, "qubesd.sock") }

// QubesdInternalSocket serves internal.* methods to dom0 helpers only.
func (p Paths) QubesdInternalSocket() string { return filepath.Join(p.Run, "qubesd.internal.sock") }

// QubesdMiscSocket is where qubesd hears what qubes tell of themselves.
func (p Paths) QubesdMiscSocket() string { return filepath.Join(p.Run, "qubesd.misc.sock") }

// PolicySocket answers the qrexec daemons' policy questions.
func (p Paths) PolicySocket() string { return filepath.Join(p.Run, "policy.sock") }

// PolicyAgentSocket receives policy.Ask and policy.Notify.
func (p Paths) PolicyAgentSocket() string { return filepath.Join(p.Run, "policy-agent.sock") }

// PromptSocket is where prompt front ends attach to the policy agent (core/prompt).
func (p Paths) PromptSocket() string { return filepath.Join(p.Run, "prompt.sock") }

// QrexecDir holds qrexec.<domid> and its qrexec.<name>, qrexec.uuid:<uuid> links.
func (p Paths) QrexecDir() string { return p.Run }

// QubesDBDir holds qubesdb.<name>.sock, qubesdb.<name>.ro.sock and qubesdb.<name>.pid.
func (p Paths) QubesDBDir() string { return p.Run }

// VchanDir holds vchan.<server>.<client>.<port>.sock and mux.<domid>.sock.
func (p Paths) VchanDir() string { return filepath.Join(p.Run, "vchan") }

// MuxSocket is where dom0 programs reach the vchan multiplexer of a domain.
func (p Paths) MuxSocket(domid uint32) string {
	return filepath.Join(p.VchanDir(), fmt.Sprintf("mux.%d.sock", domid))
}

// PortSocket is the host end of a domain's virtio-serial port, bound by QEMU.
func (p Paths) PortSocket(domid uint32) string {
	return filepath.Join(p.Run, "port", fmt.Sprintf("%d.sock", domid))
}

// DisplayFile names the X display the window daemons use: line 1 DISPLAY, line 2 the
// Xauthority path or empty. Written by qubist-up, read at each window daemon's start.
func (p Paths) DisplayFile() string { return filepath.Join(p.Run, "display") }

// PolicyDir is the permanent policy, RuntimePolicyDir what is gone after a boot.
func (p Paths) PolicyDir() string { return filepath.Join(p.Etc, "policy.d") }

// RuntimePolicyDir overrides files of the same name in PolicyDir.
func (p Paths) RuntimePolicyDir() string { return filepath.Join(p.Run, "policy.d") }

// LegacyPolicyDir is what the policy directive !compat-4.0 reads.
func (p Paths) LegacyPolicyDir() string { return filepath.Join(p.Etc, "qubes-rpc", "policy") }

// RPCDirs are searched for dom0's qrexec services, in this order.
func (p Paths) RPCDirs() []string {
	return []string{filepath.Join(p.Run, "qubes-rpc"), filepath.Join(p.Etc, "qubes-rpc")}
}

// RPCConfigDirs are searched for dom0's service configuration, in this order.
func (p Paths) RPCConfigDirs() []string {
	return []string{filepath.Join(p.Run, "rpc-config"), filepath.Join(p.Etc, "rpc-config")}
}

// Store is the durable system description.
func (p Paths) Store() string { return filepath.Join(p.Lib, "qubes.xml") }

// KernelDir holds vmlinuz and initramfs of the kernel named name.
func (p Paths) KernelDir(name string) string { return filepath.Join(p.Lib, "vm-kernels", name) }
