package device_test

import (
	"reflect"
	"strings"
	"testing"

	"qubist/core/adminapi/device"
)

func TestIDs(t *testing.T) {
	for s, want := range map[string]string{
		"sys-usb+sda":                 "sys-usb:sda:*",
		"sys-usb+sda1+_":              "sys-usb:sda1:*",
		"_+_":                         "*:*:*",
		"sys-usb+2-1+0bda+8153+S+u02": "sys-usb:2-1:0bda:8153:S:u02",
		"x+1+0000+0000++_______":      "x:1:0000:0000::?******",
		"sys-usb+*":                   "sys-usb:*:*",
	} {
		if id, err := device.ParseID(s); err != nil || id.String() != want {
			t.Errorf("%s: %s %v, want %s", s, id, err, want)
		}
	}
	for _, s := range []string{"", "sda", "x+" + strings.Repeat("p", device.MaxPort+1)} {
		if id, err := device.ParseID(s); err == nil {
			t.Errorf("%q is accepted as %s", s, id)
		}
	}
}

func TestWords(t *testing.T) {
	kvs, err := device.Parse([]byte(`mode='required' _a='it\'s' _b='' port_id='x y='`))
	want := []device.KV{{Key: "mode", Value: "required"}, {Key: "_a", Value: "it's"}, {Key: "_b"}, {Key: "port_id", Value: "x y="}}
	if err != nil || !reflect.DeepEqual(kvs, want) {
		t.Fatalf("%q %v", kvs, err)
	}
	if s := string(device.Append(nil, want)); s != `mode='required' _a='it\'s' _b='' port_id='x y='` {
		t.Errorf("written as %s", s)
	}
	for _, s := range []string{"bogus", "a=b", "a='b", "a='b'c='d'", "a='b' ", "a='b'  c='d'", "='x'", "a='\n'", "a='ą'", "a='x' a='y'", "a b='x'", strings.Repeat("x", device.MaxText+1)} {
		if kvs, err := device.Parse([]byte(s)); err == nil {
			t.Errorf("%q is accepted as %q", s, kvs)
		}
	}
}

func TestAssignments(t *testing.T) {
	a, err := device.ParseAssignment("block", "sys-usb+sda1", []byte(`device_id='*' port_id='sda1' devclass='block' backend_domain='sys-usb' mode='auto-attach' _read-only='yes'`))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(a.Append(nil)); got != `sys-usb+sda1:* device_id='*' port_id='sda1' devclass='block' backend_domain='sys-usb' mode='auto-attach' _read-only='yes'` {
		t.Error(got)
	}
	if got := device.Repr(a.Options); got != `{'read-only': 'yes'}` {
		t.Error(got)
	}
	for _, s := range []string{"port_id='sda'", "devclass='usb'", "backend_domain='x'", "mode='often'", "bogus='1'", "_='1'", "bogus"} {
		if a, err := device.ParseAssignment("block", "sys-usb+sda1", []byte(s)); err == nil {
			t.Errorf("%q is accepted as %+v", s, a)
		}
	}
}

func TestInterfaces(t *testing.T) {
	for _, c := range []struct {
		code, pattern string
		want          bool
	}{
		{"u030102", "u03****", true}, {"u020102", "u03****", false}, {"b******", "b******", true}, {"b******", "u******", false},
		{"?******", "u03****", true}, {"u03", "u03****", false}, {"p030000", "*******", true},
	} {
		if got := device.InterfaceMatches(c.code, c.pattern); got != c.want {
			t.Errorf("%s in %s: %v", c.code, c.pattern, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`mode='required' _a='it\'s'`)
	f.Add(`a='\\'`)
	f.Fuzz(func(t *testing.T, s string) {
		kvs, err := device.Parse([]byte(s))
		if err != nil {
			return
		}
		if back, err := device.Parse(device.Append(nil, kvs)); len(s) < device.MaxText/2 && (err != nil || !reflect.DeepEqual(back, kvs)) {
			t.Fatalf("%q: %q comes back as %q (%v)", s, kvs, back, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("sys-usb+sda+_")
	f.Fuzz(func(_ *testing.T, s string) {
		if id, err := device.ParseID(s); err == nil && !id.Matches(device.ID{Backend: device.Any, Port: device.Any, Device: device.Any}) {
			panic("a device that Any does not take in")
		}
	})
}
