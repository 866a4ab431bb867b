package policy_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"qubist/assets"
	"qubist/qrexec/policy"
)

// TestDefaultPolicy: the policy we ship loads, asks for the everyday services and lets no
// qube do anything to dom0.
func TestDefaultPolicy(t *testing.T) {
	m := fstest.MapFS{"run": &fstest.MapFile{Mode: fs.ModeDir | 0o755}}
	err := fs.WalkDir(assets.PolicyFS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(assets.PolicyFS(), name)
		m["etc/"+name] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Load(m, dirs)
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"test.Echo", "qubes.Filecopy", "qubes.OpenURL"} {
		v := p.Evaluate(small, policy.Request{Service: service, Argument: "+", Source: "work", Target: "vault"})
		if v.Action != policy.Ask {
			t.Errorf("%s: %s (%s), want ask", service, v.Action, v.Reason)
		}
	}
	for _, r := range p.Rules() {
		for _, target := range []string{"dom0", "@adminvm", "work", "@default", "vault"} {
			argument := r.Argument
			if argument == "*" {
				argument = "+x"
			}
			v := p.Evaluate(small, policy.Request{Service: r.Service, Argument: argument, Source: "work", Target: target})
			if v.Action == policy.Allow {
				t.Errorf("%s from work to %s is allowed without a question", r.Service, target)
			}
			for _, offered := range v.Targets {
				if offered == "dom0" {
					t.Errorf("%s from work to %s offers dom0", r.Service, target)
				}
			}
		}
	}
}
