package wire_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"qubist/core/prompt/wire"
)

const body = `{"source":"work","service":"x.Y","argument":"+","targets":["vault"],"default_target":"","icons":{"work":"appvm-blue"}}`

func TestParseRequest(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		ok         bool
	}{
		{"plain", "policy.Ask dom0\x00" + body, true},
		{"null default", "policy.Ask dom0\x00" + strings.Replace(body, `:""`, `:null`, 1), true},
		{"unknown key", "policy.Ask dom0\x00" + strings.Replace(body, `{"source"`, `{"x":[1],"source"`, 1), true},
		{"key in other case", "policy.Ask dom0\x00" + strings.Replace(body, `"service"`, `"Service"`, 1), false},
		{"null source", "policy.Ask dom0\x00" + strings.Replace(body, `"work",`, `null,`, 1), false},
		{"null target", "policy.Ask dom0\x00" + strings.Replace(body, `["vault"]`, `[null]`, 1), false},
		{"null targets", "policy.Ask dom0\x00" + strings.Replace(body, `["vault"]`, `null`, 1), false},
		{"long argument", "policy.Ask dom0\x00" + strings.Replace(body, `"+"`, `"+`+strings.Repeat("a", wire.MaxArgument)+`"`, 1), false},
		{"long header", "policy.Ask " + strings.Repeat("a", wire.MaxHeader) + "\x00" + body, false},
		{"notify", "policy.Notify dom0\x00" + `{"resolution":"deny","service":"a","argument":"+","source":"b","target":""}`, true},
		{"notify null", "policy.Notify dom0\x00" + `{"resolution":null,"service":"a","argument":"+","source":"b","target":""}`, false},
		{"null body", "policy.Ask dom0\x00null", false},
		{"empty", "", false},
		{"too long", strings.Repeat("a", wire.MaxRequest+1), false},
	} {
		r, err := wire.ParseRequest([]byte(tc.data))
		if (err == nil) != tc.ok || err != nil && (!errors.Is(err, wire.ErrMalformed) || r != wire.Request{}) {
			t.Errorf("%s: got %+v, %v", tc.name, r, err)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	for text, want := range map[string]wire.Answer{"deny": {}, "allow:vault": {Allow: true, Target: "vault"}} {
		if got, err := wire.ParseAnswer([]byte(text)); err != nil || got != want || string(got.Bytes()) != text {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "allow", "allow:", "Allow:vault", "deny\n", " deny", "yes", "allow:" + strings.Repeat("a", wire.MaxAnswer)} {
		if got, err := wire.ParseAnswer([]byte(text)); !errors.Is(err, wire.ErrMalformed) || got.Allow {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	if _, err := wire.ParseAnswer([]byte("allow:v\xc3\xa4")); !errors.Is(err, wire.ErrAnswerEncoding) {
		t.Errorf("not ASCII: %v", err)
	}
	if b := (wire.Answer{Allow: true, Target: "vä"}).Bytes(); len(b) != 0 {
		t.Errorf("encoded a target that is not ASCII: %q", b)
	}
}

func TestLines(t *testing.T) {
	u := wire.Update{Waiting: 2, Question: &wire.Question{ID: 1, Source: wire.Party{Name: "wörk 😀"}, Argument: "+", Targets: []wire.Party{{Name: "vault", Label: "red", Color: 0xcc0000}}}}
	line, err := wire.Encode(u)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.ParseUpdate(line[:len(line)-1])
	if err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{``, `null x`, `{"waiting":-1}`, `{"waiting":1,"extra":1}`, `{"waiting":1}{}`, `{"waiting":1,"question":{}}`} {
		if got, err := wire.ParseUpdate([]byte(bad)); err == nil {
			t.Errorf("update %q: got %+v", bad, got)
		}
	}
	for _, bad := range []string{`{}`, `null`, `{"id":1,"allow":true}`, `{"id":1,"target":"x"}`, `{"id":0,"allow":true,"target":"x"}`, `{"id":1,"allow":true,"target":"x","y":1}`, `{"id":1,"allow":"yes","target":"x"}`, `[1]`} {
		if got, err := wire.ParseReply([]byte(bad)); err == nil {
			t.Errorf("reply %q: got %+v", bad, got)
		}
	}
	for _, bad := range []string{`{}`, `{"role":"root"}`, `null`, `{"role":"watch"} x`} {
		if got, err := wire.ParseHello([]byte(bad)); err == nil {
			t.Errorf("hello %q: got %+v", bad, got)
		}
	}
}

// FuzzParse: every parser gives a value or an error, and what parses is encoded and parsed
// to the same value again.
func FuzzParse(f *testing.F) {
	f.Add([]byte("policy.Ask dom0 name dom0\x00" + body))
	f.Add([]byte("policy.Notify dom0\x00" + `{"resolution":"deny","service":"a","argument":"+","source":"\u00f6","target":""}`))
	f.Add([]byte("allow:vault"))
	f.Add([]byte(`{"waiting":1,"question":{"id":3,"source":{"name":"a"},"targets":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := wire.ParseRequest(data); err == nil && r.Ask != nil {
			again, err := r.Ask.JSON()
			if err != nil {
				t.Fatal(err)
			}
			// Escaping can make a request longer than its limit; that is then an error.
			if r2, err := wire.ParseRequest(append(wire.Header(wire.AskService), again...)); err == nil && !reflect.DeepEqual(r, r2) {
				t.Fatalf("%+v became %+v", r.Ask, r2.Ask)
			}
		}
		if a, err := wire.ParseAnswer(data); err == nil && string(a.Bytes()) != string(data) {
			t.Fatalf("answer %q became %q", data, a.Bytes())
		}
		if u, err := wire.ParseUpdate(data); err == nil {
			if line, err := wire.Encode(u); err == nil {
				if u2, err := wire.ParseUpdate(line[:len(line)-1]); err != nil || u2.Waiting != u.Waiting {
					t.Fatalf("update %+v became %+v, %v", u, u2, err)
				}
			}
		}
		if r, err := wire.ParseReply(data); err == nil && r.Allow && r.Target == "" {
			t.Fatalf("allowing reply without target: %q", data)
		}
		wire.ParseHello(data)
	})
}
