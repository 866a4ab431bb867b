package blockdev_test

import (
	"strings"
	"testing"

	"qubist/core/adminapi/device"
	"qubist/core/internal/blockdev"
)

func TestParse(t *testing.T) {
	p := blockdev.Prefix
	got := blockdev.Parse("sys-usb", map[string]string{
		p + "sda": "", p + "sda/desc": "SanDisk_Ultra (STICK)", p + "sda/size": "8000000000", p + "sda/mode": "w",
		p + "sda1/desc": "SanDisk_Ultra (data)", p + "sda1/parent": "sda",
		p + "sdb/desc": "Evil\x1b[2J'", p + "sdb/parent": "2-1:1.0",
		p + "loop0/parent": "loop0", p + "Bad!": "", p + strings.Repeat("x", 20): "", "/other": "x", p: "",
	})
	want := []string{
		`loop0::0:0:0:0:0:0:0:0:0 device_id=':0:0:0:0:0:0:0:0:0' port_id='loop0' devclass='block' backend_domain='sys-usb' manufacturer='sub-device of sys-usb:loop0' interfaces='b******' parent_port_id='loop0' parent_devclass='block'`,
		`sda::None device_id=':None' port_id='sda' devclass='block' backend_domain='sys-usb' manufacturer='hosted by sys-usb' name='STICK' serial='SanDisk Ultra' interfaces='b******'`,
		`sda1::None:1 device_id=':None:1' port_id='sda1' devclass='block' backend_domain='sys-usb' manufacturer='sub-device of sys-usb:sda' name='data' serial='SanDisk Ultra' interfaces='b******' parent_port_id='sda' parent_devclass='block'`,
		`sdb:2-1:0000:0000::?******:1.0 device_id='2-1:0000:0000::?******:1.0' port_id='sdb' devclass='block' backend_domain='sys-usb' manufacturer='sub-device of sys-usb:2-1' serial='Evil_[2J\'' interfaces='b******' parent_port_id='2-1' parent_devclass='usb'`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d devices, want %d", len(got), len(want))
	}
	for i, w := range want {
		if s := string(got[i].Append(nil)); s != w {
			t.Errorf("got  %s\nwant %s", s, w)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("sda", "Model (label)", "2-1:1.0")
	f.Add("sda1", "", "sda1")
	f.Fuzz(func(t *testing.T, port, desc, parent string) {
		for _, i := range blockdev.Parse("b", map[string]string{blockdev.Prefix + port + "/desc": desc, blockdev.Prefix + port + "/parent": parent}) {
			line := string(i.Append(nil))
			_, words, _ := strings.Cut(line, " ")
			if _, err := device.Parse([]byte(words)); err != nil || strings.ContainsAny(line, "\n\x1b\x00") {
				t.Fatalf("%q: %v", line, err)
			}
		}
	})
}
