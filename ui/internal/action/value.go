package action

import (
	"fmt"
	"strconv"
	"strings"

	"qubist/ui/internal/state"
)

// Option is a value that can be chosen for a property.
type Option struct {
	Value state.Setting
	Text  string
	Label *state.Label // the chip beside it; nil for none
	Help  string
}

// least are the smallest numbers that make sense; other numbers begin at 0.
var least = map[string]int{"memory": 1, "vcpus": 1, "qrexec_timeout": 1, "shutdown_timeout": 1, "default_qrexec_timeout": 1, "default_shutdown_timeout": 1}

// CheckValue says what is wrong with text as a value of p, "" when it can be sent.
func CheckValue(p state.Property, text string) string {
	if p.Type != "int" {
		return ""
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return p.Name + " is a whole number"
	case n < least[p.Name]:
		return fmt.Sprintf("%s is at least %d", p.Name, least[p.Name])
	}
	return ""
}

// Options are the values a property of owner (a qube, or the zero Qube for the system) can
// have, with the default last; nil when any text can be typed.
func Options(s state.System, owner state.Qube, p state.Property) []Option {
	var out []Option
	switch p.Type {
	case "bool":
		for _, v := range []string{"True", "False"} {
			out = append(out, Option{Value: state.Setting{Text: v}, Text: v})
		}
	case "label":
		for _, l := range s.Labels {
			out = append(out, Option{Value: state.Setting{Text: l.Name}, Text: l.Name, Label: &l})
		}
	case "vm":
		out = vmOptions(s, owner, p)
	default:
		return nil
	}
	for i := range out {
		if out[i].Value.Text == p.Value {
			out[i].Help = strings.TrimPrefix(out[i].Help+", now", ", ")
		}
	}
	if p.Name != "label" {
		out = append(out, Option{Value: state.Setting{Default: true}, Text: "default", Help: "inherit it"})
	}
	return out
}

// vmOptions are the qubes that fit a property.
func vmOptions(s state.System, owner state.Qube, p state.Property) []Option {
	var out []Option
	for _, q := range s.Qubes {
		if q.Name == owner.Name && p.Name != "default_dispvm" || !fits(q, owner, p) {
			continue
		}
		out = append(out, Option{Value: state.Setting{Text: q.Name}, Text: q.Name, Label: &q.Label, Help: string(q.Phase)})
	}
	if p.Name != "template" {
		out = append(out, Option{Text: "none", Help: "no qube"})
	}
	return out
}

// fits reports whether q can be the value of p. What is not known here is left to qubesd.
func fits(q, owner state.Qube, p state.Property) bool {
	switch p.Name {
	case "netvm", "default_netvm":
		return q.True("provides_network")
	case "template":
		if owner.Class == "DispVM" {
			return q.True("template_for_dispvms")
		}
		return q.Class == "TemplateVM"
	case "default_template":
		return q.Class == "TemplateVM"
	case "default_dispvm", "management_dispvm":
		return q.True("template_for_dispvms")
	}
	return true
}

// Has is q's property of that name.
func Has(q state.Qube, name string) (state.Property, bool) {
	for _, p := range q.Properties {
		if p.Name == name {
			return p, true
		}
	}
	return state.Property{}, false
}

// ChangeWhy says why a property of q cannot become v, "" when it can be tried.
func ChangeWhy(e Env, q state.Qube, name string, v state.Setting) string {
	p, ok := Has(q, name)
	if !ok {
		return fmt.Sprintf("%s has no property %s.", q.Name, name)
	}
	if why := EditWhy(e, q, name); why != "" {
		return why
	}
	switch {
	case v.Default && p.Default:
		return fmt.Sprintf("%s of %s is at its default already.", name, q.Name)
	case !v.Default && !p.Default && p.Value == v.Text:
		return fmt.Sprintf("%s of %s is %s already.", name, q.Name, Shown(v))
	}
	if !v.Default {
		if wrong := CheckValue(p, v.Text); wrong != "" {
			return Sentence(wrong)
		}
	}
	return ""
}

// ChangeText says what p becomes: "default (sys-firewall) → sys-vpn".
func ChangeText(p state.Property, v state.Setting) string {
	was := Shown(state.Setting{Text: p.Value})
	if p.Default {
		was = "default (" + was + ")"
	}
	now := Shown(v)
	if v.Default {
		now = "default"
	}
	return was + " → " + now
}

// ChangeJob makes property name of owner v.
func ChangeJob(e Env, owner, name string, v state.Setting) Job {
	if v.Default {
		return ResetJob(e, owner, name)
	}
	return SetJob(e, owner, name, v.Text)
}
