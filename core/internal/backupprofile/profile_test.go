package backupprofile_test

import (
	"errors"
	"reflect"
	"testing"

	"qubist/core/internal/backupprofile"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]backupprofile.Profile{
		"destination_vm: dom0\ndestination_path: /var/tmp\ninclude: ['personal', '@tag:work']\nexclude: []\ncompression: true\npassphrase_text: secret\n": {
			DestinationVM: "dom0", DestinationPath: "/var/tmp", Include: []string{"personal", "@tag:work"}, Exclude: []string{}, Compression: "true", PassphraseText: "secret"},
		"# daily\ndestination_vm: sys-usb # stick\ndestination_path: \"/a \\\"b\\\"\"\ninclude: null\nexclude:\n- a\n  - 'it''s'\ncompression: pkzip\npassphrase_vm: vault": {
			DestinationVM: "sys-usb", DestinationPath: `/a "b"`, Exclude: []string{"a", "it's"}, Compression: "pkzip", PassphraseVM: "vault"},
		"destination_vm: a\ndestination_path: b\npassphrase_text: '#1: x'\ncompression: off\ninclude: [a, b , 'c,d']": {
			DestinationVM: "a", DestinationPath: "b", Include: []string{"a", "b", "c,d"}, PassphraseText: "#1: x"},
	} {
		if got, err := backupprofile.Parse([]byte(in)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v (%v)\nwant %+v", in, got, err, want)
		}
	}
	const whole = "destination_vm: a\ndestination_path: b\npassphrase_text: c\n"
	for _, in := range []string{
		"", "destination_vm: a\n", whole + "bogus: 1", whole + "passphrase_vm: x", whole + "include: a", whole + "exclude: [a", whole + "exclude: ['a]",
		whole + "destination_vm: [a]", whole + "- a", whole + "include: &x [a]", whole + "compression: {a: b}", whole + " indented: x", whole + "passphrase_text: d",
		whole + "include: [a] b", whole + "compression: a: b", whole + "compression: \"\\n\"", "x\x00: y", whole + "include:\n- @tag:x",
	} {
		if got, err := backupprofile.Parse([]byte(in)); !errors.Is(err, backupprofile.ErrSyntax) {
			t.Errorf("%q is accepted as %+v (%v)", in, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("destination_vm: a\ndestination_path: b\npassphrase_text: c\ninclude: [a, 'b']\nexclude:\n- x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := backupprofile.Parse(b)
		if err == nil && (p.DestinationVM == "" || p.DestinationPath == "") {
			t.Fatal("a profile without a destination")
		}
	})
}
