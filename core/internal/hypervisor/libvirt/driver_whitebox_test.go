package libvirt

import (
	"context"
	"encoding/xml"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"qubist/core/internal/hypervisor"
	"qubist/core/paths"
	"qubist/core/qube"
)

func TestProbeAccel(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	dev := file("kvm", "")
	for name, tc := range map[string]struct {
		kvm, cpu string
		want     bool
	}{
		"intel":       {dev, "processor : 0\nflags\t\t: fpu vmx sse\n", true},
		"amd":         {dev, "flags : svm\n", true},
		"no flag":     {dev, "flags : fpu svm_lock vmxnet\nbugs : vmx\n", false},
		"no device":   {filepath.Join(dir, "none"), "flags : vmx\n", false},
		"no cpu info": {dev, "", false},
	} {
		a := probeAccel(tc.kvm, file("cpuinfo", tc.cpu))
		if a.KVM != tc.want || (a.Reason == "") != tc.want {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func testDriver(kvm bool) *Driver {
	p := paths.Paths{Lib: "/var/lib/qubist"}
	return &Driver{opt: Options{Paths: p, Log: slog.New(slog.DiscardHandler)}, instance: instanceOf(p), accel: hypervisor.Accel{KVM: kvm}, hub: newHub(), known: map[qube.DomID]known{}}
}

func goodSpec() hypervisor.Spec {
	return hypervisor.Spec{Name: "work", UUID: "00000000-0000-0000-0000-000000000001", XID: 7, MemoryMiB: 256, VCPUs: 1, Kernel: "/k", Initrd: "/i",
		Cmdline: `a="<b>&'`, Disks: []hypervisor.Disk{{Target: "vda", Path: `/d/<x>"&`, Format: "qcow2", Discardable: true}, {Target: "vdb", Path: "/p", Format: "raw"}},
		PortSocket: "/run/p.sock", ConsoleLog: "/log/c", WindowRegion: 1 << 20}
}

func TestXML(t *testing.T) {
	text, err := testDriver(false).domainXML(goodSpec())
	if err != nil {
		t.Fatal(err)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	dev := d.Devices
	if d.Type != "qemu" || d.Name != "work" || d.OS.Cmdline != `a="<b>&'` || dev.Disks[0].Source.File.File != `/d/<x>"&` || len(dev.Disks) != 2 {
		t.Errorf("got\n%s", text)
	}
	if dev.Disks[0].Driver.Cache != "unsafe" || dev.Disks[1].Driver.Cache != "" || d.Features.TCG.TBCache.Size != smallTBCache {
		t.Errorf("caches:\n%s", text)
	}
	if len(dev.Interfaces)+len(dev.Graphics)+len(dev.Inputs)+len(dev.Sounds) != 0 || dev.Channels[0].Target.VirtIO.Name != portName {
		t.Errorf("devices:\n%s", text)
	}
	if !strings.Contains(text, `name="qubist-`+instanceOf(paths.Paths{Lib: systemLib})+`-7"`) {
		t.Errorf("region:\n%s", text)
	}
	if text, err = testDriver(true).domainXML(goodSpec()); err != nil || !strings.Contains(text, `type="kvm"`) || strings.Contains(text, "tb-cache") {
		t.Errorf("%v\n%s", err, text)
	}
	other := paths.Paths{Lib: "/tmp/r/lib"}
	if n := libvirtName(other, "work"); n != "q"+instanceOf(other)+"-work" {
		t.Errorf("name %s", n)
	}
}

func TestBadSpecs(t *testing.T) {
	for name, change := range map[string]func(*hypervisor.Spec){
		"no name":         func(s *hypervisor.Spec) { s.Name = "" },
		"no xid":          func(s *hypervisor.Spec) { s.XID = 0 },
		"long socket":     func(s *hypervisor.Spec) { s.PortSocket = "/" + strings.Repeat("x", 107) },
		"odd region":      func(s *hypervisor.Spec) { s.WindowRegion = 3 << 20 },
		"small region":    func(s *hypervisor.Spec) { s.WindowRegion = 4096 },
		"relative disk":   func(s *hypervisor.Spec) { s.Disks[0].Path = "d" },
		"relative kernel": func(s *hypervisor.Spec) { s.Kernel = "" },
		"format":          func(s *hypervisor.Spec) { s.Disks[0].Format = "" },
	} {
		s := goodSpec()
		change(&s)
		if text, err := testDriver(false).domainXML(s); err == nil || text != "" {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestMetadata(t *testing.T) {
	b, err := xml.Marshal(metadata{NS: metadataNS, Instance: "i", Name: "work", XID: 7})
	if err != nil || !strings.Contains(string(b), metadataNS) {
		t.Fatalf("%s, %v", b, err)
	}
	if n, x, ok, err := parseMetadata(string(b), "i"); n != "work" || x != 7 || !ok || err != nil {
		t.Errorf("%s %d %v %v", n, x, ok, err)
	}
	if _, _, ok, err := parseMetadata(string(b), "j"); ok || err != nil {
		t.Errorf("another instance's: %v %v", ok, err)
	}
	for _, s := range []string{"", "<domain", `<domain instance="i" name="../x" xid="7"/>`, `<domain instance="i" name="a" xid="0"/>`,
		`<domain instance="i" name="a" xid="32752"/>`, `<domain instance="i" name="a" xid="x"/>`, `<other instance="i" name="a" xid="1"/>`} {
		if _, _, ok, err := parseMetadata(s, "i"); ok || err == nil {
			t.Errorf("%s was accepted", s)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(`<domain xmlns="urn:qubist:domain:1" instance="i" name="work" xid="7"/>`)
	f.Fuzz(func(t *testing.T, s string) {
		n, x, ok, err := parseMetadata(s, "i")
		if ok && (err != nil || x == 0 || x > qube.MaxDomID) {
			t.Errorf("%q: %d, %v", s, x, err)
		}
		if _, perr := qube.ParseName(string(n)); ok && perr != nil {
			t.Errorf("%q: %v", s, perr)
		}
	})
}

// A reader that sleeps gets the latest state of each domain, in the order of first change.
func TestHub(t *testing.T) {
	h := newHub()
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscription{pending: map[qube.DomID]hypervisor.Event{}, wake: make(chan struct{}, 1)}
	h.subs[s] = true
	ev := func(x qube.DomID, st qube.State, re bool) {
		h.publish(hypervisor.Event{XID: x, State: st, Rebooted: re})
	}
	ev(1, qube.Running, false)
	ev(2, qube.Running, true)
	ev(1, qube.Paused, false)
	ev(2, qube.Paused, false)
	ev(3, qube.Running, true)
	ev(3, qube.Halted, false)
	ev(3, qube.Running, false) // cannot come back
	want := []hypervisor.Event{{XID: 1, State: qube.Paused}, {XID: 2, State: qube.Paused, Rebooted: true}, {XID: 3, State: qube.Halted}}
	for _, w := range want {
		if e, ok := h.take(s); !ok || e != w {
			t.Errorf("got %+v %v, want %+v", e, ok, w)
		}
	}
	if e, ok := h.take(s); ok {
		t.Errorf("one more: %+v", e)
	}
	delete(h.subs, s)
	c := h.subscribe(ctx)
	ev(9, qube.Running, false)
	if e := <-c; e.XID != 9 {
		t.Errorf("got %+v", e)
	}
	cancel()
	for range c { // closed because ctx ended
	}
	c = h.subscribe(context.Background())
	h.close()
	for range c { // closed because the hub ended
	}
	if _, open := <-h.subscribe(context.Background()); open {
		t.Error("a closed hub delivers")
	}
}

func TestSweepRegions(t *testing.T) {
	d := testDriver(false)
	d.instance = "test" + filepath.Base(t.TempDir())
	for _, x := range []qube.DomID{1, 2} {
		if err := d.createRegion(x, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(shmDir, d.regionPrefix()+"x")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(other)
	defer d.removeRegion(2)
	d.sweepRegions(map[qube.DomID]bool{2: true})
	if d.WindowRegion(1) != "" || d.WindowRegion(2) == "" {
		t.Error("the wrong region went")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("a file that is not a region went")
	}
}

func TestCheckAccess(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	os.Chmod(filepath.Dir(dir), 0o711)
	err := checkAccess(filepath.Join(dir, "disk"))
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v does not name %s", err, dir)
	}
}
