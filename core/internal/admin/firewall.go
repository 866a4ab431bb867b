package admin

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/life"
	"qubist/core/qube"
	"qubist/core/safetext"
	"qubist/netvm/rule"
)

// firewallMethods are the rules for a qube's traffic, and its notes.
func firewallMethods() []Method {
	return []Method{
		{Name: "admin.vm.firewall.Get", Dest: notDom0, Arg: no, Payload: no, Scope: "local", Flags: "R", Read: firewallGet},
		{Name: "admin.vm.firewall.Set", Dest: notDom0, Arg: no, Payload: must, Scope: "local", Flags: "RW", Do: firewallSet},
		{Name: "admin.vm.firewall.Reload", Dest: notDom0, Arg: no, Payload: no, Scope: "local", Flags: "RX", Write: func(m *domain.Model, c *Call) ([]byte, error) {
			if err := mayFilter(c.dest(m)); err != nil {
				return nil, err
			}
			m.Fire(c.dest(m), "firewall-changed")
			return nil, nil
		}},
		{Name: "admin.vm.notes.Get", Dest: notDom0, Arg: no, Payload: no, Scope: "local", Flags: "R", Do: func(_ context.Context, c *Call) ([]byte, error) {
			return c.api.Sys.Notes(c.Dest)
		}},
		{Name: "admin.vm.notes.Set", Dest: notDom0, Arg: no, Payload: must, Scope: "local", Flags: "RW", Do: func(_ context.Context, c *Call) ([]byte, error) {
			text, err := cleanNotes(c.Payload)
			if err != nil {
				return nil, err
			}
			return nil, c.api.Sys.SetNotes(c.Dest, text)
		}},
	}
}

func mayFilter(vm *domain.VM) error {
	if vm.Class == qube.RemoteVM {
		return adminapi.Errorf(adminapi.VMError, "%s %s has no firewall", vm.Class, vm.Name)
	}
	return nil
}

func firewallGet(m *domain.Model, c *Call) ([]byte, error) {
	vm := c.dest(m)
	if err := mayFilter(vm); err != nil {
		return nil, err
	}
	rules := vm.Firewall
	if rules == nil {
		rules = []rule.Rule{rule.Accept()}
	}
	return rule.Format(rules, time.Now().Unix()), nil
}

// firewallSet answers a bad rule with an exception, where the original hangs up.
func firewallSet(_ context.Context, c *Call) ([]byte, error) {
	if !ascii(c.Payload) {
		return nil, protocolError("Firewall rules contain non-ASCII characters")
	}
	rules, err := rule.ParseAll(c.Payload)
	if err != nil {
		return nil, adminapi.Errorf(adminapi.ValueError, "%v", err)
	}
	return nil, c.api.Sys.SetFirewall(c.Dest, rules)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// cleanNotes keeps what can be shown, lines and tabs; the rest becomes '_'.
func cleanNotes(b []byte) ([]byte, error) {
	if len(b) > life.MaxNotes {
		return nil, protocolError("Maximum note size is %d bytes", life.MaxNotes)
	}
	if !utf8.Valid(b) {
		return nil, protocolError("Qube notes are not valid UTF-8")
	}
	var out strings.Builder
	for rest := string(b); rest != ""; {
		i := strings.IndexAny(rest, "\n\t")
		if i < 0 {
			i = len(rest)
		}
		out.WriteString(safetext.Line(rest[:i], 0))
		if rest = rest[i:]; rest != "" {
			out.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return []byte(out.String()), nil
}
