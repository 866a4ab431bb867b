package policy_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qubist/qrexec/policy"
)

var small = policy.NewSystem(
	&policy.Domain{Name: "dom0", Type: "AdminVM", UUID: "00000000-0000-0000-0000-000000000000", PowerState: "Running"},
	&policy.Domain{Name: "work", Type: "AppVM", GUIVM: "dom0", Tags: []string{"office"}, DefaultDispVM: "dvm", UUID: "u-work"},
	&policy.Domain{Name: "vault", Type: "AppVM", GUIVM: "dom0", UUID: "u-vault", PowerState: "Running"},
	&policy.Domain{Name: "dvm", Type: "AppVM", TemplateForDispVMs: true, UUID: "u-dvm"},
)

func load(t testing.TB, files map[string]string) *policy.Policy {
	t.Helper()
	p, err := policy.Load(caseFS(files), dirs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExplain(t *testing.T) {
	p := load(t, map[string]string{"etc/90-a.policy": "\n# c\nx.Y +a work vault  ask user=root default_target=vault notify=yes autostart=no\nx.Y * @tag:office @anyvm deny notify=no\n"})
	for _, tc := range []struct {
		argument string
		want     policy.Explanation
	}{
		{"+a", policy.Explanation{Verdict: policy.Ask, Why: "decided by the rule", Where: "etc/90-a.policy:3", Rule: "x.Y +a work vault ask default_target=vault user=root notify=yes autostart=no"}},
		{"+b", policy.Explanation{Verdict: policy.Deny, Why: "denied by the rule", Where: "etc/90-a.policy:4", Rule: "x.Y * @tag:office @anyvm deny notify=no"}},
	} {
		v := p.Evaluate(small, policy.Request{Service: "x.Y", Argument: tc.argument, Source: "work", Target: "vault"})
		if got := v.Explain(); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.argument, got, tc.want)
		}
	}
	v := p.Evaluate(small, policy.Request{Service: "x.Z", Argument: "+", Source: "work", Target: "vault"})
	if got, want := v.Explain(), (policy.Explanation{Verdict: policy.Deny, Why: "no rule matched"}); got != want {
		t.Errorf("no rule: got %+v, want %+v", got, want)
	}
}

func TestLoadFailures(t *testing.T) {
	many := strings.Repeat("a * work vault deny\n", policy.MaxRules/10+1)
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  policy.Reason
		where string
	}{
		{"self include", map[string]string{"etc/1.policy": "!include include/a", "etc/include/a": "\n!include include/a"}, policy.ReasonIncludeLoop, "etc/include/a:2"},
		{"mutual include", map[string]string{"etc/1.policy": "!include include/a", "etc/include/a": "!include include/b", "etc/include/b": "!include include/a"}, policy.ReasonIncludeLoop, "etc/include/b:1"},
		{"directory includes itself", map[string]string{"etc/1.policy": "!include-dir ."}, policy.ReasonIncludeLoop, "etc/1.policy:1"},
		{"not utf-8", map[string]string{"etc/1.policy": "a * work vault deny\n\xff"}, policy.ReasonEncoding, "etc/1.policy"},
		{"not utf-8 include", map[string]string{"etc/1.policy": "!include x", "etc/x": "\xff"}, policy.ReasonEncoding, "etc/1.policy:1"},
		{"too large", map[string]string{"etc/1.policy": strings.Repeat("#", policy.MaxFileSize+1)}, policy.ReasonTooLarge, "etc/1.policy"},
		{"too many rules", map[string]string{"etc/1.policy": strings.Repeat("!include x\n", 11), "etc/x": many}, policy.ReasonTooLarge, "etc/x:4992"},
		{"byte order mark", map[string]string{"etc/1.policy": "\ufeffa * work vault deny"}, policy.ReasonServiceChars, "etc/1.policy:1"},
		{"leaving the root", map[string]string{"etc/1.policy": "!include ../../../nosuch"}, policy.ReasonIncludeFile, "etc/1.policy:1"},
		{"compat in legacy", map[string]string{"etc/1.policy": "!compat-4.0", "legacy/a": "!compat-4.0"}, policy.ReasonDirective, "legacy/a:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := policy.Load(caseFS(tc.files), dirs)
			var e *policy.Error
			if p != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v", p, err)
			}
			if e.Reason != tc.want || !strings.HasPrefix(e.Error(), tc.where+": ") {
				t.Errorf("got %q (%s), want %s at %s", e, e.Reason, tc.want, tc.where)
			}
		})
	}
}

func TestLoadFromDisk(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"run/50-a.policy": "a * work vault allow\n", "etc/50-a.policy": "broken", "shared/x": "b * work vault deny\n"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"etc/60-b.policy": filepath.Join(root, "shared/x"), "etc/70-dangling.policy": "/nonexistent"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	where := policy.Dirs{Runtime: root[1:] + "/run", Permanent: root[1:] + "/etc", Legacy: root[1:] + "/legacy"}
	p, err := policy.Load(os.DirFS("/"), where)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range p.Rules() {
		got = append(got, r.Service)
	}
	if fmt.Sprint(got) != "[a b]" {
		t.Errorf("rules for %v, want [a b]", got)
	}
	where.Runtime += "x"
	if p, err := policy.Load(os.DirFS("/"), where); err == nil {
		t.Errorf("missing runtime directory: got %v", p.Rules())
	}
}

func TestChoiceMustBeOffered(t *testing.T) {
	p := load(t, map[string]string{"etc/1.policy": "x * work @anyvm ask"})
	v := p.Evaluate(small, policy.Request{Service: "x", Argument: "+", Source: "work", Target: "vault"})
	if v.Action != policy.Ask {
		t.Fatalf("got %s", v.Action)
	}
	for _, target := range []string{"work", "dom0", "", "@dispvm", "vault\n", "Vault"} {
		if c := v.Choose(target); c.Action != policy.Deny || !c.Notify {
			t.Errorf("choosing %q: %s", target, c.Action)
		}
	}
	if c := v.Choose("vault"); c.Action != policy.Allow || c.Target != "vault" {
		t.Errorf("choosing vault: %+v", c)
	}
	deny := p.Evaluate(small, policy.Request{Service: "y", Argument: "+", Source: "work", Target: "vault"})
	if c := deny.Choose("vault"); c.Action != policy.Deny {
		t.Error("a denied call became allowed by a choice")
	}
	if _, reason := deny.Respond(); reason == "" {
		t.Error("a denied call has a response")
	}
}

// FuzzLoad: whatever a policy holds, loading ends with a policy or an *Error, and a rule
// that was accepted is accepted again as its String with the same meaning.
func FuzzLoad(f *testing.F) {
	f.Add("a +b work vault ask target=dom0 user=x notify=yes autostart=no\n!include inc", "x * @tag:a @dispvm:@tag:b deny")
	f.Add("!include-service a +x inc", "$anyvm,$default,allow,target=dom0\n$include:inc")
	f.Add("!compat-4.0\n!include-dir .", "\u2028#\r\n* * * * allow")
	f.Fuzz(func(t *testing.T, main, include string) {
		p, err := policy.Load(caseFS(map[string]string{"etc/1.policy": main, "etc/inc": include, "legacy/svc+arg": include}), dirs)
		if err != nil {
			var e *policy.Error
			if p != nil || !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("got %v, %v", p, err)
			}
			return
		}
		var text strings.Builder
		for _, r := range p.Rules() {
			fmt.Fprintln(&text, r)
		}
		again, err := policy.Load(caseFS(map[string]string{"etc/1.policy": text.String()}), dirs)
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		for i, r := range again.Rules() {
			if r.String() != p.Rules()[i].String() {
				t.Fatalf("%q became %q", p.Rules()[i], r)
			}
		}
		p.Evaluate(small, policy.Request{Service: "svc", Argument: "+arg", Source: "work", Target: "vault"})
	})
}

// FuzzSystem: system information parses or is an error, never both.
func FuzzSystem(f *testing.F) {
	f.Add([]byte(`{"domains":{"work":{"tags":["a"],"default_dispvm":null,"uuid":"x"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sys, err := policy.ParseSystem(data)
		if (sys == nil) == (err == nil) {
			t.Fatalf("got %v, %v", sys, err)
		}
	})
}

// BenchmarkEvaluate decides against 200 rules: the worst is a call all rules are about.
func BenchmarkEvaluate(b *testing.B) {
	for _, tc := range []struct {
		name string
		rule func(i int) string
	}{
		{"spread", func(i int) string { return fmt.Sprintf("svc.Number%d * @tag:t%d @anyvm allow\n", i, i) }},
		{"same", func(i int) string { return fmt.Sprintf("svc.Number199 * @tag:t%d @anyvm allow\n", i) }},
	} {
		var text strings.Builder
		for i := range 199 {
			text.WriteString(tc.rule(i))
		}
		text.WriteString("svc.Number199 * @anyvm @anyvm allow\n")
		p := load(b, map[string]string{"etc/1.policy": text.String()})
		r := policy.Request{Service: "svc.Number199", Argument: "+", Source: "work", Target: "vault"}
		b.Run(tc.name, func(b *testing.B) {
			for b.Loop() {
				if v := p.Evaluate(small, r); v.Action != policy.Allow {
					b.Fatal(v.Reason)
				}
			}
		})
	}
}

// BenchmarkLoad reads 231 rules, as many as the original ships.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for i := range 231 {
		fmt.Fprintf(&text, "svc.Number%d\t*\t@tag:t%d\t@anyvm\task default_target=@dispvm\n", i, i)
	}
	fsys := caseFS(map[string]string{"etc/1.policy": text.String()})
	for b.Loop() {
		if _, err := policy.Load(fsys, dirs); err != nil {
			b.Fatal(err)
		}
	}
}
