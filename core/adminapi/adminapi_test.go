package adminapi_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"qubist/core/adminapi"
)

func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     adminapi.Request
		err      error
	}{
		{"plain", "admin.vm.List dom0 name dom0\x00", adminapi.Request{Method: "admin.vm.List", Src: "dom0", Dest: "dom0"}, nil},
		{"plus", "m+a+b s name d\x00p\x00q", adminapi.Request{Method: "m", Arg: "a+b", Src: "s", Dest: "d", Payload: []byte("p\x00q")}, nil},
		{"keyword", "m s keyword adminvm\x00", adminapi.Request{Method: "m", Src: "s", Dest: "dom0"}, nil},
		{"rest in dest", "m s name d x\x00", adminapi.Request{Method: "m", Src: "s", Dest: "d x"}, nil},
		{"other keyword", "m s keyword default\x00", adminapi.Request{}, adminapi.ErrFraming},
		{"no NUL", "m s name d", adminapi.Request{}, adminapi.ErrFraming},
		{"double space", "m  s name d\x00", adminapi.Request{}, adminapi.ErrFraming},
		{"not ascii", "m\xff s name d\x00", adminapi.Request{}, adminapi.ErrFraming},
		{"largest", "m s name d\x00" + strings.Repeat("x", adminapi.MaxRequest-11), adminapi.Request{Method: "m", Src: "s", Dest: "d", Payload: bytes.Repeat([]byte("x"), adminapi.MaxRequest-11)}, nil},
		{"too long", "m s name d\x00" + strings.Repeat("x", adminapi.MaxRequest-10), adminapi.Request{}, adminapi.ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := adminapi.ReadRequest(strings.NewReader(c.in))
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if got.Method != c.want.Method || got.Arg != c.want.Arg || got.Src != c.want.Src || got.Dest != c.want.Dest || !bytes.Equal(got.Payload, c.want.Payload) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	if d, err := adminapi.ParseResponse(adminapi.AppendOK(nil, []byte("x"))); err != nil || string(d) != "x" {
		t.Errorf("ok: %q %v", d, err)
	}
	if _, err := adminapi.ParseResponse(nil); !errors.Is(err, adminapi.ErrRefused) {
		t.Errorf("empty: %v", err)
	}
	in := adminapi.Errorf(adminapi.ValueError, "50%% of %s", "a%sb")
	_, err := adminapi.ParseResponse(in.Append(nil))
	if !reflect.DeepEqual(err, error(in)) {
		t.Errorf("got %#v want %#v", err, in)
	}
	if !errors.Is(err, &adminapi.Error{Kind: adminapi.ValueError}) || adminapi.KindOf(err) != adminapi.ValueError {
		t.Error("kind is not comparable")
	}
	for _, bad := range []string{"3\x00", "2\x00Kind\x00", "2\x00K d\x00\x00m\x00", "2\x00\x00\x00m\x00", "0"} {
		if _, err := adminapi.ParseResponse([]byte(bad)); !errors.Is(err, adminapi.ErrFraming) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestEvents(t *testing.T) {
	evs := []adminapi.Event{
		{Name: adminapi.Connected},
		{Subject: "work", Name: "domain-start", Args: []adminapi.Arg{{Key: "start_guid", Value: "True"}, {Key: "empty", Value: ""}}},
	}
	var b []byte
	for _, e := range evs {
		var err error
		if b, err = e.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	b = adminapi.Errorf(adminapi.VMNotRunning, "no").Append(b)
	er := adminapi.NewEventReader(bytes.NewReader(b))
	for _, want := range evs {
		if got, err := er.Next(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v %v", got, err)
		}
	}
	if _, err := er.Next(); adminapi.KindOf(err) != adminapi.VMNotRunning {
		t.Errorf("exception frame: %v", err)
	}
	if _, err := er.Next(); err != io.EOF {
		t.Errorf("end: %v", err)
	}
	if _, err := adminapi.NewEventReader(strings.NewReader("1\x00a\x00b")).Next(); !errors.Is(err, adminapi.ErrFraming) {
		t.Errorf("cut: %v", err)
	}
	long := "1\x00a\x00b\x00" + strings.Repeat("y", adminapi.MaxEvent)
	if _, err := adminapi.NewEventReader(strings.NewReader(long)).Next(); !errors.Is(err, adminapi.ErrTooLong) {
		t.Errorf("long: %v", err)
	}
	many := "1\x00a\x00b\x00" + strings.Repeat("k\x00v\x00", adminapi.MaxEventArgs+1) + "\x00"
	if _, err := adminapi.NewEventReader(strings.NewReader(many)).Next(); !errors.Is(err, adminapi.ErrTooLong) {
		t.Errorf("many: %v", err)
	}
}

func TestProperties(t *testing.T) {
	p := adminapi.Property{Value: "a\\nb\nc", Type: "str", Default: true}
	got, err := adminapi.ParseProperties(p.AppendNamed(nil, "kernelopts"))
	if err != nil || got["kernelopts"] != p {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := adminapi.ParseProperty("default=Maybe type=str x"); err == nil {
		t.Error("bad default accepted")
	}
	if _, err := adminapi.ParseProperty("default=True type=float x"); err == nil {
		t.Error("bad type accepted")
	}
}

func TestVMList(t *testing.T) {
	l := adminapi.VMLine{Name: "work", Class: "AppVM", State: "Halted", UUID: "u"}
	got, err := adminapi.ParseVMList(l.Append([]byte("old class=AppVM state=Halted\n")))
	if err != nil || len(got) != 2 || got[1] != l || got[0].UUID != "" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := adminapi.ParseVMList([]byte("x class=AppVM\n")); err == nil {
		t.Error("line without state accepted")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("admin.vm.List+a dom0 name work\x00pay"))
	f.Add([]byte("m s keyword adminvm\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := adminapi.ParseRequest(b)
		if err != nil {
			if !reflect.DeepEqual(r, adminapi.Request{}) {
				t.Fatal("value beside an error")
			}
			return
		}
		enc, err := r.Append(nil)
		if errors.Is(err, adminapi.ErrTooLong) {
			return // the '+' we add may pass the limit
		}
		if err != nil {
			t.Fatalf("%q does not encode: %v", b, err)
		}
		again, err := adminapi.ParseRequest(enc)
		if err != nil || again.Method != r.Method || again.Arg != r.Arg || again.Src != r.Src || again.Dest != r.Dest || !bytes.Equal(again.Payload, r.Payload) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("0\x00x"))
	f.Add([]byte("2\x00QubesException\x00\x00text\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := adminapi.ParseResponse(b)
		if err != nil && d != nil {
			t.Fatal("value beside an error")
		}
		_, _ = adminapi.ParseProperties(d)
		_, _ = adminapi.ParseVMList(d)
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("1\x00work\x00domain-start\x00k\x00v\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		er := adminapi.NewEventReader(bytes.NewReader(b))
		var out []byte
		for {
			e, err := er.Next()
			if err != nil {
				break
			}
			if out, err = e.Append(out); err != nil {
				t.Fatalf("%+v does not encode: %v", e, err)
			}
		}
		if !bytes.HasPrefix(b, out) {
			t.Fatalf("%q became %q", b, out)
		}
	})
}
