package rule_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qubist/netvm/rule"
)

// recordedAt is a moment between the corpus's past and future times.
const recordedAt = 1790000000

type recorded struct {
	Rule, XML, Error string
	API              *string `json:"api_rule"`
	QDB              *string `json:"qdb_rule"`
	DstType          string  `json:"dst_type"`
}

func corpus(t testing.TB) []recorded {
	dir := os.Getenv("QUBIST_CORPUS")
	if dir == "" {
		dir = "testdata"
	}
	b, err := os.ReadFile(filepath.Join(dir, "firewall", "rules.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out []recorded
	for d := json.NewDecoder(z); d.More(); {
		var r recorded
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func (r recorded) wrong() string {
	got, err := rule.Parse(r.Rule)
	if r.Error != "" {
		if err == nil {
			return "accepted as " + got.String()
		}
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if r.API == nil {
		if !got.Expired(recordedAt) {
			return "not expired"
		}
	} else if got.String() != *r.API || got.Entry() != *r.QDB || got.DstKind != r.DstType {
		return got.String() + " | " + got.Entry() + " | " + got.DstKind
	}
	b, err := rule.Encode([]rule.Rule{got}, 0)
	if err != nil {
		return err.Error()
	}
	if flat := strings.ReplaceAll(strings.ReplaceAll(string(b), "\n", ""), "  ", ""); !strings.Contains(flat, "<rule>"+r.XML+"</rule>") {
		return flat
	}
	if back, err := rule.Decode(b); err != nil || !slices.Equal(back, []rule.Rule{got}) {
		return "comes back from its file changed"
	}
	return ""
}

func TestCorpusFirewallRules(t *testing.T) {
	agreed, all := 0, corpus(t)
	for _, r := range all {
		if w := r.wrong(); w != "" {
			t.Errorf("%q: %s", r.Rule, w)
			continue
		}
		agreed++
	}
	t.Logf("corpus firewall: %d/%d", agreed, len(all))
}

func TestEntries(t *testing.T) {
	rules, err := rule.ParseAll([]byte("action=accept dst4=1.1.1.1\naction=drop dst6=2001:db8::/32 proto=udp dstports=53\naction=accept expire=5\naction=drop comment=rest\n"))
	if err != nil {
		t.Fatal(err)
	}
	for v6, want := range map[bool]string{
		false: "policy:drop 0000:action=accept dst4=1.1.1.1/32 0003:action=drop",
		true:  "policy:drop 0001:action=drop dst6=2001:db8::/32 proto=udp dstports=53-53 0003:action=drop",
	} {
		var got []string
		for _, e := range rule.Entries(rules, v6, recordedAt) {
			got = append(got, e.Key+":"+e.Value)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("v6=%v: %s, want %s", v6, s, want)
		}
	}
	if s := string(rule.Format(rules, recordedAt)); strings.Contains(s, "expire") || strings.Count(s, "\n") != 3 {
		t.Errorf("lines: %q", s)
	}
}

func TestFiles(t *testing.T) {
	for in, want := range map[string]string{
		`<firewall version="2"><rules/></firewall>`: "",
		`<firewall version="2"><rules><rule><properties><property name="action">drop</property></properties></rule></rules></firewall>`:        "action=drop\n",
		`<firewall policy="deny" dns="allow" icmp="allow"><rule address="1.2.3.4" netmask="24" proto="tcp" port="80" toport="90"/></firewall>`: "action=accept specialtarget=dns\naction=accept proto=icmp\naction=accept dst4=1.2.3.4/24 proto=tcp dstports=80-90\n",
		`<firewall version="1" policy="allow" dns="deny"/>`: "action=drop specialtarget=dns\naction=accept proto=icmp\naction=accept\n",
	} {
		rules, err := rule.Decode([]byte(in))
		if err != nil || string(rule.Format(rules, 0)) != want {
			t.Errorf("%s: %v %q, want %q", in, err, rule.Format(rules, 0), want)
		}
	}
	for _, in := range []string{
		``, `<firewall`, `<other/>`, `<firewall version="3"/>`, `<firewall version="2"/>junk`,
		`<firewall version="2"><rules><rule/></rules></firewall>`,
		`<firewall version="2"><rules><rule><properties><property name="action">drop</property><property name="action">drop</property></properties></rule></rules></firewall>`,
		`<firewall version="2"><rules><rule><properties><property name="action">drop</property><property name="comment">a=b</property></properties></rule></rules></firewall>`,
	} {
		if rules, err := rule.Decode([]byte(in)); err == nil {
			t.Errorf("%s: accepted as %v", in, rules)
		}
	}
}

func TestParseAllRefuses(t *testing.T) {
	for _, in := range []string{"", "\n", "action=accept\n\naction=drop", "action=accept\n\n", "action=drop comment=" + strings.Repeat("x", rule.MaxLine), strings.Repeat("action=drop\n", rule.MaxRules+1)} {
		if _, err := rule.ParseAll([]byte(in)); err == nil {
			t.Errorf("%.40q is accepted", in)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add(r.Rule)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := rule.Parse(s)
		if err != nil {
			return
		}
		if again, err := rule.Parse(r.String()); err != nil || again != r {
			t.Fatalf("%q: %q comes back as %+v (%v)", s, r, again, err)
		}
		if strings.ContainsAny(r.Entry(), "\n\x00") {
			t.Fatalf("%q: entry %q", s, r.Entry())
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`<firewall version="2"><rules><rule><properties><property name="action">drop</property></properties></rule></rules></firewall>`))
	f.Add([]byte(`<firewall policy="deny" dns="allow"><rule address="1.2.3.4" proto="any" port="80"/></firewall>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rules, err := rule.Decode(b)
		if err != nil {
			return
		}
		out, err := rule.Encode(rules, -1)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := rule.Decode(out); err != nil || !slices.Equal(back, rules) {
			t.Fatalf("%q: comes back changed (%v)", b, err)
		}
	})
}
