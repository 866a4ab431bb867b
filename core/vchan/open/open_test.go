package open

import (
	"fmt"
	"testing"

	"qubist/core/paths"
	"qubist/core/qube"
	"qubist/core/vchan"
)

func env(kv map[string]string) func(string) string {
	return func(k string) string { return kv[k] }
}

func TestChoice(t *testing.T) {
	p := paths.Paths{Run: "/r"}
	for _, c := range []struct {
		env    map[string]string
		dom0   string
		grants bool
	}{
		{nil, "*virtio.Driver", true},
		{map[string]string{EnvDriver: "virtio"}, "*virtio.Driver", true},
		{map[string]string{EnvDriver: "socket"}, "*socket.Driver", false},
		{map[string]string{EnvDriver: "xen"}, "", false},
	} {
		for side, open := range map[string]func() (vchan.Driver, error){
			"dom0":  func() (vchan.Driver, error) { return Dom0(p, env(c.env)) },
			"guest": func() (vchan.Driver, error) { return Guest(5, env(c.env)) },
		} {
			d, err := open()
			if c.dom0 == "" {
				if err == nil {
					t.Errorf("%s with %v: %T, want an error", side, c.env, d)
				}
				continue
			}
			if got := fmt.Sprintf("%T", d); err != nil || got != c.dom0 {
				t.Errorf("%s with %v: %s, %v; want %s", side, c.env, got, err, c.dom0)
			}
			if _, ok := d.(vchan.Granter); ok != c.grants {
				t.Errorf("%s with %v: Granter %v, want %v", side, c.env, ok, c.grants)
			}
			if want := map[string]qube.DomID{"dom0": 0, "guest": 5}[side]; d.Local() != want {
				t.Errorf("%s speaks for %d, want %d", side, d.Local(), want)
			}
		}
	}
}

func TestDomID(t *testing.T) {
	for _, c := range []struct {
		cmdline string
		want    qube.DomID
		ok      bool
	}{
		{"root=/dev/vda qubist.domid=17 quiet\n", 17, true},
		{"qubist.domid=1 qubist.domid=2", 2, true},
		{"qubist.domid=32751", 32751, true},
		{"qubist.domid=32752", 0, false},
		{"qubist.domid=-1", 0, false},
		{"qubist.domid=", 0, false},
		{"xqubist.domid=3", 0, false},
		{"", 0, false},
	} {
		got, err := domidOf(c.cmdline)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %d, %v", c.cmdline, got, err)
		}
	}
	if id, err := GuestDomID(env(map[string]string{EnvDomain: "42"})); id != 42 || err != nil {
		t.Errorf("%s=42: %d, %v", EnvDomain, id, err)
	}
	if _, err := GuestDomID(env(map[string]string{EnvDomain: "x"})); err == nil {
		t.Errorf("%s=x is accepted", EnvDomain)
	}
}
