package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qubist/qrexec/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a checked-in file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "tools", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update and review):\n%s", name, got)
	}
}

// desk is a small system and its policy.
func desk(t testing.TB) (*policy.Policy, *policy.System) {
	t.Helper()
	sys := policy.NewSystem(
		&policy.Domain{Name: "dom0", Type: "AdminVM", UUID: "00000000-0000-0000-0000-000000000000", PowerState: "Running"},
		&policy.Domain{Name: "work", Type: "AppVM", UUID: "u-work", Tags: []string{"office"}, DefaultDispVM: "dvm", PowerState: "Running"},
		&policy.Domain{Name: "vault", Type: "AppVM", UUID: "u-vault", PowerState: "Halted"},
		&policy.Domain{Name: "web", Type: "AppVM", UUID: "u-web", Tags: []string{"net"}, DefaultDispVM: "dvm"},
		&policy.Domain{Name: "dvm", Type: "AppVM", UUID: "u-dvm", TemplateForDispVMs: true, DefaultDispVM: "dvm"},
	)
	return load(t, map[string]string{"etc/30-user.policy": `# the user's own
qubes.Gpg    +sign  work   vault  allow
qubes.Gpg    *      work   vault  ask
qubes.Gpg    +sign  work   vault  deny
qubes.GPG    *      web    vault  allow
my.Price     *      vault  web    allow  user=root
my.Price     *      @tag:offices  web  ask
my.Price     *      $anyvm web    ask  default_target=nobody
qubes.OpenURL  *    @anyvm @dispvm  allow
qubes.OpenURL  *    @anyvm web    ask
qubes.VMShell  *    work   @anyvm allow
qubes.VMShell  *    work   @dispvm allow
admin.vm.List  *    @anyvm @adminvm allow
my.Disp      *      @dispvm:dvm web  allow
*            *      @type:TemplateVM @anyvm deny
`}), sys
}

func reportText(e policy.Report) string {
	var b strings.Builder
	x := e.Verdict.Explain()
	fmt.Fprintf(&b, "%+v: %s, %s, %s %s\n", e.Verdict.Request, x.Verdict, x.Why, x.Where, e.Refused)
	for _, n := range e.Near {
		fmt.Fprintf(&b, "  %s  %s: %s\n", n.Rule.Where(), n.Rule, n.Why)
	}
	return b.String()
}

func TestExplainReport(t *testing.T) {
	p, sys := desk(t)
	var b strings.Builder
	for _, r := range []policy.Request{
		{Service: "qubes.Gpg", Argument: "+sign", Source: "work", Target: "vault"},
		{Service: "qubes.Gpg", Argument: "+x", Source: "work", Target: "vault"},
		{Service: "qubes.Gpg", Argument: "+", Source: "web", Target: "vault"},
		{Service: "my.Price", Argument: "+", Source: "work", Target: "web"},
		{Service: "my.Price", Argument: "+", Source: "vault", Target: "wbe"},
		{Service: "my.Price", Argument: "+", Source: "vault", Target: "@tag:x"},
		{Service: "qubes.OpenURL", Argument: "+", Source: "web", Target: "web"},
		{Service: "no.Such", Argument: "+", Source: "web", Target: ""},
	} {
		b.WriteString(reportText(p.Explain(sys, r)))
	}
	golden(t, "explain.txt", b.String())
}

func TestLint(t *testing.T) {
	p, sys := desk(t)
	text := func(sys *policy.System) string {
		var b strings.Builder
		for _, f := range policy.Lint(p, sys) {
			fmt.Fprintf(&b, "%s: %s: %s\n", f.Rule.Where(), f.Level, f.Text)
		}
		return b.String()
	}
	golden(t, "lint.txt", text(sys)+"without a system:\n"+text(nil))
}

// TestLintShadowedNeverDecides: a rule that lint calls useless decides no call.
func TestLintShadowedNeverDecides(t *testing.T) {
	p, sys := desk(t)
	useless := map[*policy.Rule]bool{}
	for _, f := range policy.Lint(p, sys) {
		useless[f.Rule] = useless[f.Rule] || f.Level == policy.Useless
	}
	for _, service := range []string{"qubes.Gpg", "qubes.GPG", "my.Price", "qubes.OpenURL", "qubes.VMShell", "my.Disp", "x"} {
		for _, argument := range []string{"+", "+sign"} {
			for _, source := range []string{"dom0", "work", "vault", "web", "dvm", "nobody"} {
				for _, target := range []string{"dom0", "work", "vault", "web", "dvm", "@dispvm", "@dispvm:dvm", "@default", "@adminvm"} {
					v := p.Evaluate(sys, policy.Request{Service: service, Argument: argument, Source: source, Target: target})
					if v.Rule != nil && useless[v.Rule] {
						t.Errorf("%+v is decided by %s", v.Request, v.Rule.Where())
					}
				}
			}
		}
	}
}

func TestGraph(t *testing.T) {
	p, sys := desk(t)
	text := func(f policy.Filter) string {
		edges, complete := policy.Graph(p, sys, f)
		if !complete {
			t.Error("the graph is not complete")
		}
		var b strings.Builder
		for _, e := range edges {
			fmt.Fprintf(&b, "%s -> %s  %s %s  %s  %s\n", e.Source, e.Target, e.Service, e.Argument, e.Action, e.Rule.Where())
		}
		return b.String()
	}
	golden(t, "graph.txt", text(policy.Filter{})+"to vault:\n"+text(policy.Filter{Target: "vault"})+"from vault by my.Price:\n"+text(policy.Filter{Source: "vault", Service: "my.Price"}))
}

func TestSimulate(t *testing.T) {
	p, sys := desk(t)
	edited := load(t, map[string]string{"etc/30-user.policy": "qubes.Gpg +sign work vault ask\nqubes.Gpg * work vault ask\nmy.Price * vault web allow\n"})
	gpg := policy.Request{Service: "qubes.Gpg", Argument: "+sign", Source: "work", Target: "vault"}
	same := policy.Request{Service: "qubes.Gpg", Argument: "+", Source: "work", Target: "vault"}
	user := policy.Request{Service: "my.Price", Argument: "+", Source: "vault", Target: "web"}
	got := policy.Simulate(p, edited, sys, []policy.Request{gpg, same, user, gpg, same})
	if len(got) != 2 || got[0].Request != gpg || got[0].Count != 2 || got[0].Old.Action != policy.Allow || got[0].New.Action != policy.Ask ||
		got[1].Request != user || got[1].Old.User != "root" || got[1].New.User != "" {
		t.Errorf("%+v", got)
	}
}

// BenchmarkExplain explains a denied call under 200 rules; it may take a millisecond.
func BenchmarkExplain(b *testing.B) {
	_, sys := desk(b)
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "my.Service%d * work vault ask\n", i/2)
	}
	p := load(b, map[string]string{"etc/30-user.policy": text.String()})
	r := policy.Request{Service: "my.Service50", Argument: "+", Source: "web", Target: "vault"}
	if e := p.Explain(sys, r); len(e.Near) != 2 {
		b.Fatalf("%+v", e)
	}
	for b.Loop() {
		p.Explain(sys, r)
	}
}

// TestExplainAgrees: an explanation is about the verdict that is given, and no
// near miss is the rule that decided.
func TestExplainAgrees(t *testing.T) {
	p, sys := desk(t)
	for _, target := range []string{"", "vault", "@dispvm", "uuid:u-web", "@dispvm:web", "dom0"} {
		for _, rule := range p.Rules() {
			r := policy.Request{Service: rule.Service, Argument: "+sign", Source: "work", Target: target}
			e, v := p.Explain(sys, r), p.Evaluate(sys, r)
			if e.Verdict.Action != v.Action || e.Verdict.Rule != v.Rule {
				t.Errorf("%+v: explained %v, evaluated %v", r, e.Verdict.Action, v.Action)
			}
			if slices.ContainsFunc(e.Near, func(n policy.NearMiss) bool { return n.Rule == v.Rule }) {
				t.Errorf("%+v: the deciding rule is a near miss", r)
			}
		}
	}
}
