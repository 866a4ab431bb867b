package domain_test

import (
	"encoding/xml"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"qubist/core/adminapi"
	"qubist/core/internal/domain"
	"qubist/core/internal/store"
	"qubist/core/qube"
)

type attr = xml.Attr

func host() domain.Host {
	n := 0
	return domain.Host{
		MemoryMiB: 16384, CPUs: 4, Dom0MaxMiB: 4096, HasKernel: func(string) bool { return true }, Kernels: func() []string { return nil },
		KernelText: func(string, string) (string, bool) { return "", false },
		NewUUID:    func() string { n++; return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) },
		NewDispID:  func() int { n++; return n },
	}
}

func load(t *testing.T, name string) (*domain.Model, store.File) {
	t.Helper()
	f, err := store.Load(store.OS{}, "../store/testdata/"+name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := domain.Load(host(), f)
	if err != nil {
		t.Fatal(err)
	}
	return m, f
}

// TestUpstreamFilesSurvive loads descriptions the original wrote, saves them, and compares
// everything in them.
func TestUpstreamFilesSurvive(t *testing.T) {
	for _, name := range []string{"full.init.xml", "full.final.xml", "random1.final.xml"} {
		t.Run(name, func(t *testing.T) {
			m, want := load(t, name)
			got := m.File()
			for _, f := range []*store.File{&got, &want} {
				sortFile(f)
			}
			if len(got.Domains) != len(want.Domains) {
				t.Fatalf("%d qubes, want %d", len(got.Domains), len(want.Domains))
			}
			for i := range want.Domains {
				if !reflect.DeepEqual(got.Domains[i], want.Domains[i]) {
					t.Errorf("qube %s:\n%+v, want\n%+v", want.Domains[i].ID, got.Domains[i], want.Domains[i])
				}
			}
			got.Domains, want.Domains, got.XMLName = nil, nil, want.XMLName
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v, want\n%+v", got, want)
			}
			again, err := domain.Load(host(), m.File())
			if err != nil || !reflect.DeepEqual(again.File(), m.File()) {
				t.Errorf("our own file loads differently (%v)", err)
			}
		})
	}
}

// sortFile brings what has no order into one, and drops what the file says twice.
func sortFile(f *store.File) {
	byName := func(a, b store.Property) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(f.Properties, byName)
	for i := range f.Pools {
		slices.SortFunc(f.Pools[i].Attrs, func(a, b attr) int { return strings.Compare(a.Name.Local, b.Name.Local) })
	}
	for i := range f.Domains {
		d := &f.Domains[i]
		// A class without assignments says nothing.
		d.Devices = slices.DeleteFunc(d.Devices, func(c store.Devices) bool { return len(c.Devices) == 0 })
		if len(d.Devices) == 0 {
			d.Devices = nil
		}
		slices.SortFunc(d.Properties, byName)
		slices.SortFunc(d.Tags, func(a, b store.Tag) int { return strings.Compare(a.Name, b.Name) })
		if d.Volumes != nil {
			for j := range d.Volumes.Volumes {
				slices.SortFunc(d.Volumes.Volumes[j].Attrs, func(a, b attr) int { return strings.Compare(a.Name.Local, b.Name.Local) })
			}
		}
	}
}

func TestRefusedDescriptions(t *testing.T) {
	for name, change := range map[string]func(*store.File){
		"unknown property": func(f *store.File) {
			f.Domains[1].Properties = append(f.Domains[1].Properties, store.Property{Name: "nosuch", Value: "1"})
		},
		"unknown class":  func(f *store.File) { f.Domains[1].Class = "BogusVM" },
		"name twice":     func(f *store.File) { f.Domains = append(f.Domains, f.Domains[1]) },
		"path as a name": func(f *store.File) { set(f, 1, "name", "../x") },
		"qid 0":          func(f *store.File) { set(f, 1, "qid", "0") },
		"label colour":   func(f *store.File) { f.Labels[0].Color = "0xzz0000" },
	} {
		t.Run(name, func(t *testing.T) {
			_, f := load(t, "full.final.xml")
			change(&f)
			if _, err := domain.Load(host(), f); err == nil {
				t.Error("loaded")
			}
		})
	}
}

func set(f *store.File, i int, name, value string) {
	for j := range f.Domains[i].Properties {
		if f.Domains[i].Properties[j].Name == name {
			f.Domains[i].Properties[j].Value = value
		}
	}
}

// TestVetoChangesNothing: a refused value leaves the old one and fires no set event.
func TestVetoChangesNothing(t *testing.T) {
	m, _ := load(t, "full.final.xml")
	m.TakeDirty()
	var events []string
	m.Emit = func(e adminapi.Event) { events = append(events, e.Name) }
	vm := m.VM("work")
	for prop, bad := range map[string]string{"memory": "0", "netvm": "vault", "kernel": "a/b", "label": "nolabel", "ip": "x", "name": "y", "icon": "z", "default_dispvm": "work"} {
		d, err := m.Def(vm, prop)
		if err != nil {
			t.Fatal(err)
		}
		before := m.Property(vm, d)
		if err := m.Set(vm, d, []byte(bad)); err == nil {
			t.Errorf("%s=%s was accepted", prop, bad)
		}
		if after := m.Property(vm, d); after != before {
			t.Errorf("%s changed to %v", prop, after)
		}
	}
	if len(events) != 0 || m.TakeDirty() {
		t.Errorf("events %v", events)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"work": true, "a": true, "A.b_c-1": true, strings.Repeat("a", 31): true, strings.Repeat("a", 32): false,
		"": false, "1a": false, "-a": false, "a b": false, "a/b": false, "Domain-0": false, "none": false, "default": false, "a-dm": false, "\xc3\xa9": false} {
		n, err := domain.CheckName(name)
		if (err == nil) != ok || err == nil && n != qube.Name(name) || err != nil && adminapi.KindOf(err) != adminapi.ValueError {
			t.Errorf("%q: %q %v", name, n, err)
		}
	}
}
