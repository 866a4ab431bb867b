// Package guestinit is the first program of a VM: it loads the drivers, mounts the root and
// the private volume, and then hands over to systemd or stays as the init of a service VM.
// What the VM's agents do is not its business. It runs inside the VM and trusts dom0.
package guestinit

import (
	"fmt"
	"strconv"
	"strings"

	"qubist/core/qube"
)

// Options are what dom0 says on the kernel command line (architecture page, "Domains").
type Options struct {
	Root    string // device of the root file system
	Domid   qube.DomID
	Name    qube.Name
	User    string
	Service bool // stay as PID 1 instead of systemd
	GUI     bool
	Rescue  bool // start without the private volume
}

// ParseCmdline reads the words of a kernel command line that concern us. The last of
// several equal keys counts.
func ParseCmdline(s string) (Options, error) {
	o := Options{Root: "/dev/vda", User: "user"}
	for _, w := range strings.Fields(s) {
		key, val, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "root":
			o.Root = val
			if !strings.HasPrefix(val, "/dev/") {
				err = fmt.Errorf("want a device below /dev")
			}
		case "qubist.domid":
			var n uint64
			if n, err = strconv.ParseUint(val, 10, 32); err == nil && (n == 0 || n > uint64(qube.MaxDomID)) {
				err = fmt.Errorf("want 1 to %d", qube.MaxDomID)
			}
			o.Domid = qube.DomID(n)
		case "qubist.name":
			o.Name, err = qube.ParseName(val)
		case "qubist.user":
			o.User = val
			if !validUser(val) {
				err = fmt.Errorf("not a user name")
			}
		case "qubist.init":
			o.Service = val == "service"
			if val != "service" && val != "systemd" {
				err = fmt.Errorf("want systemd or service")
			}
		case "qubist.gui":
			o.GUI, err = strconv.ParseBool(val)
		case "qubist.rescue":
			o.Rescue, err = strconv.ParseBool(val)
		}
		if err != nil {
			return Options{}, fmt.Errorf("kernel command line, %q: %w", w, err)
		}
	}
	return o, nil
}

// validUser accepts what Debian accepts as a user name.
func validUser(s string) bool {
	if s == "" || len(s) > 32 || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}
