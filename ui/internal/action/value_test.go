package action_test

import (
	"strings"
	"testing"

	"qubist/ui/internal/action"
	"qubist/ui/internal/state"
)

func TestCheckValue(t *testing.T) {
	for _, c := range []struct{ name, kind, text, wrong string }{
		{"memory", "int", "400", ""}, {"memory", "int", "0", "at least 1"}, {"memory", "int", "-5", "at least 1"}, {"memory", "int", "4G", "whole number"},
		{"memory", "int", "", "whole number"}, {"memory", "int", "1e3", "whole number"}, {"maxmem", "int", "0", ""}, {"kernelopts", "str", "anything", ""},
	} {
		got := action.CheckValue(state.Property{Name: c.name, Type: c.kind}, c.text)
		if (c.wrong == "") != (got == "") || !strings.Contains(got, c.wrong) {
			t.Errorf("%s %q: %q, want %q", c.name, c.text, got, c.wrong)
		}
	}
}

func TestOptions(t *testing.T) {
	yes := func(name string) []state.Property { return []state.Property{{Name: name, Value: "True"}} }
	s := state.System{Labels: []state.Label{{Name: "red"}, {Name: "blue"}}, Qubes: []state.Qube{
		{Name: "dom0", Class: "AdminVM"}, {Name: "deb", Class: "TemplateVM"}, {Name: "dvm", Class: "AppVM", Properties: yes("template_for_dispvms")},
		{Name: "net", Class: "AppVM", Properties: yes("provides_network")}, {Name: "fw", Class: "AppVM", Properties: yes("provides_network")}}}
	for _, c := range []struct {
		owner, class, name, kind, want string
	}{
		{"work", "AppVM", "netvm", "vm", "net fw none default"}, {"fw", "AppVM", "netvm", "vm", "net none default"},
		{"work", "AppVM", "template", "vm", "deb default"}, {"disp1", "DispVM", "template", "vm", "dvm default"},
		{"", "", "default_dispvm", "vm", "dvm none default"}, {"work", "AppVM", "guivm", "vm", "dom0 deb dvm net fw none default"},
		{"work", "AppVM", "autostart", "bool", "True False default"}, {"work", "AppVM", "label", "label", "red blue"}, {"work", "AppVM", "kernelopts", "str", ""},
	} {
		var got []string
		for _, o := range action.Options(s, state.Qube{Name: c.owner, Class: c.class}, state.Property{Name: c.name, Type: c.kind}) {
			got = append(got, o.Text)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s of %s: %q, want %q", c.name, c.owner, got, c.want)
		}
	}
}

func TestChangeWhy(t *testing.T) {
	q := state.Qube{Name: "work", Properties: []state.Property{{Name: "memory", Type: "int", Value: "400", Default: true}, {Name: "vcpus", Type: "int", Value: "2"}, {Name: "qid", Type: "int", Value: "7"}}}
	e := env(q)
	for _, c := range []struct {
		name string
		v    state.Setting
		want string
	}{
		{"memory", state.Setting{Text: "400"}, ""}, {"memory", state.Setting{Default: true}, "at its default already"}, {"vcpus", state.Setting{Text: "2"}, "is 2 already"},
		{"vcpus", state.Setting{Text: "many"}, "whole number"}, {"netvm", state.Setting{}, "has no property netvm"}, {"qid", state.Setting{Text: "8"}, "fixed"},
	} {
		got := action.ChangeWhy(e, q, c.name, c.v)
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %+v: %q, want %q", c.name, c.v, got, c.want)
		}
	}
	if got := action.ChangeText(q.Properties[0], state.Setting{Text: "500"}); got != "default (400) → 500" {
		t.Errorf("%q", got)
	}
}
