package life_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"qubist/core/internal/domain"
	"qubist/core/internal/lifetest"
	"qubist/core/qube"
)

// startCase is one qube that the original started.
type startCase struct {
	VM      string
	Steps   json.RawMessage
	QID     int `json:"qid"`
	QubesDB map[string]string
}

func startCases(t *testing.T) []startCase {
	t.Helper()
	var r io.Reader
	if dir := os.Getenv("QUBIST_CORPUS"); dir != "" {
		f, err := os.Open(filepath.Join(dir, "start", "cases.jsonl"))
		if errors.Is(err, os.ErrNotExist) {
			t.Skipf("QUBIST_CORPUS has no folder start: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r = f
	} else {
		f, err := os.Open("testdata/start/cases.jsonl.gz")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var out []startCase
	for dec := json.NewDecoder(bufio.NewReader(r)); ; {
		var c startCase
		if err := dec.Decode(&c); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
}

// TestCorpusStartDatabase builds the recorded qubes and compares what goes into their
// databases. What the original writes into a network qube for its clients is not written.
func TestCorpusStartDatabase(t *testing.T) {
	s := lifetest.New(t, lifetest.Options{Host: func(h *domain.Host) { h.Timezone = func() string { return "Europe/Warsaw" } }})
	s.Add(t, domain.NewVM{Class: qube.TemplateVM, Name: "debian-12"}, "")
	set := func(vm, prop, value string) {
		t.Helper()
		if err := s.Write(func(m *domain.Model) error {
			v := m.VM(qube.Name(vm))
			d, err := m.Def(v, prop)
			if err != nil {
				return err
			}
			return m.Set(v, d, []byte(value))
		}); err != nil {
			t.Fatalf("%s: property %s=%q: %v", vm, prop, value, err)
		}
	}
	feature := func(vm, name, value string) {
		t.Helper()
		if err := s.Write(func(m *domain.Model) error { return m.SetFeature(m.VM(qube.Name(vm)), name, value) }); err != nil {
			t.Fatalf("%s: feature %s=%q: %v", vm, name, value, err)
		}
	}
	for name, v := range map[string]string{"qrexec": "1", "gui": "1", "os": "Linux", "supported-service.meminfo-writer": "1"} {
		feature("debian-12", name, v)
	}
	for _, n := range []qube.Name{"sys-net", "sys-firewall"} {
		s.Add(t, domain.NewVM{Class: qube.AppVM, Name: n}, "debian-12")
		set(string(n), "provides_network", "True")
	}
	set("sys-net", "netvm", "")
	set("sys-firewall", "netvm", "sys-net")
	if err := s.Write(func(m *domain.Model) error {
		for prop, v := range map[string]domain.Value{"default_guivm": domain.RefValue(m.Dom0()), "default_audiovm": domain.RefValue(m.Dom0()), "default_netvm": domain.RefValue(m.VM("sys-firewall"))} {
			d, err := m.Def(nil, prop)
			if err == nil {
				err = m.SetValue(nil, d, v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	cases := startCases(t)
	agreed := 0
	for _, c := range cases {
		build(t, s, c, set, feature)
		got := map[string]string{}
		_ = s.Read(func(m *domain.Model) error {
			for _, kv := range m.Database(m.VM(qube.Name(c.VM))) {
				got[kv.Key] = kv.Value
			}
			return nil
		})
		want := maps.Clone(c.QubesDB)
		maps.DeleteFunc(want, func(k, _ string) bool {
			return k == domain.SeedKey || strings.HasPrefix(k, "/mapped-ip/") || strings.HasPrefix(k, "/qubes-firewall/")
		})
		if c.VM == "sys-net" { // recorded when its first client was there
			want["/connected-ips"] = ""
		}
		if c.VM == "disp9442" { // the number is drawn
			for _, k := range []string{"/qubes-ip", "/qubes-ip6"} {
				want[k] = got[k]
			}
		}
		if maps.Equal(got, want) {
			agreed++
			continue
		}
		for k := range want {
			if v, ok := got[k]; !ok || v != want[k] {
				t.Errorf("%s: %s: %q (%v), want %q", c.VM, k, v, ok, want[k])
			}
		}
		for k, v := range got {
			if _, ok := want[k]; !ok {
				t.Errorf("%s: %s = %q is too much", c.VM, k, v)
			}
		}
	}
	t.Logf("corpus start: %d/%d", agreed, len(cases))
}

// build makes the qube of a case.
func build(t *testing.T, s *lifetest.System, c startCase, set, feature func(vm, name, value string)) {
	t.Helper()
	var steps [][]string
	if err := json.Unmarshal(c.Steps, &steps); err != nil {
		return // the network qubes, which are there
	}
	n := domain.NewVM{Class: qube.AppVM, Name: qube.Name(c.VM)}
	template := "debian-12"
	if len(steps) > 0 {
		switch steps[0][0] {
		case "disposable of":
			n.Class, template = qube.DispVM, steps[0][1]
			set(template, "template_for_dispvms", "True")
		case "StandaloneVM":
			n.Class, template = qube.StandaloneVM, ""
		case "TemplateVM":
			return
		}
	}
	s.Add(t, n, template)
	for _, st := range steps {
		switch st[0] {
		case "P":
			set(c.VM, st[1], st[2])
		case "F":
			feature(c.VM, st[1], st[2])
		case "F6":
			feature("sys-firewall", st[1], st[2])
		}
	}
}
