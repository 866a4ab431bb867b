package libconfig

import (
	"errors"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Group // nil: an error
	}{
		{"", Group{}},
		{"a = 1;", Group{"a": int64(1)}},
		{"a : true\nb=FALSE;", Group{"a": true, "b": false}},
		{"# x\n// y\n/* z\n*/ a = -5, b = 0x1F; c = 12L; d = 1.5e3;", Group{"a": int64(-5), "b": int64(31), "c": int64(12), "d": 1500.0}},
		{`global: { s = "a" /* and */ "b\n\"\x41"; inner = { x = 1 } };`, Group{"global": Group{"s": "ab\n\"A", "inner": Group{"x": int64(1)}}}},
		{`l = ( 1, "a", [2, 3], { x = (); } ); n = [];`, Group{"l": List{}, "n": List{}}},
		{"syntax error {", nil}, {"a", nil}, {"a =", nil}, {"a = {", nil}, {"a = }", nil}, {`a = "x`, nil}, {`a = "\q"`, nil},
		{"a = 1; a = 2;", nil}, {"/* x", nil}, {"a = (1", nil}, {"a = 0x", nil}, {"a = maybe", nil}, {"a = nan;", nil}, {"1a = 1", nil},
	} {
		got, err := Parse(tt.text)
		if (err == nil) != (tt.want != nil) || err != nil && !errors.Is(err, ErrSyntax) || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`global: { secure_copy_sequence = "Ctrl-Shift-c"; n = 0x10; };`, "a=(((((", "a=[1,{b=2}]", "/*/ a=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := Parse(s)
		if err != nil && (g != nil || !errors.Is(err, ErrSyntax)) {
			t.Errorf("%v, %v", g, err)
		}
	})
}
