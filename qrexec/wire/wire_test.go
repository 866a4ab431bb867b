package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"qubist/qrexec/wire"
)

func pad(s string, n int) []byte {
	b := make([]byte, n)
	copy(b, s)
	return b
}

func trigger4(source, target, ident, service string) []byte {
	b := append(pad(source, 64), pad(target, 64)...)
	return append(append(b, pad(ident, 32)...), service...)
}

func TestHeaderLengthsOfAgentMessages(t *testing.T) {
	// Lengths around every bound, and those that overflow where a size is added up.
	for _, c := range []struct {
		t       wire.Type
		version uint32
		good    []uint32
		bad     []uint32
	}{
		{wire.TriggerService, 2, []uint32{128}, []uint32{0, 127, 129, 1 << 31, 1<<32 - 1}},
		{wire.TriggerService, 3, nil, []uint32{128}},
		{wire.TriggerService3, 2, nil, []uint32{98}},
		{wire.TriggerService3, 3, []uint32{97, 98, 96 + 65000}, []uint32{0, 95, 96, 96 + 65001, 1 << 31, 1<<32 - 1}},
		{wire.TriggerService3, 4, []uint32{98}, nil},
		{wire.TriggerService4, 3, nil, []uint32{162}},
		{wire.TriggerService4, 4, []uint32{161, 160 + 65000}, []uint32{0, 159, 160, 160 + 65001, 1 << 31, 1<<32 - 1}},
		{wire.ConnectionTerminated, 4, []uint32{8}, []uint32{0, 4, 9, 1<<32 - 1}},
		{wire.Hello, 4, nil, []uint32{4}},
		{wire.ExecCmdline, 4, nil, []uint32{9}},
		{wire.DataStdin, 4, nil, []uint32{0, 1}},
	} {
		for _, n := range c.good {
			if err := wire.CheckAgent(wire.Header{Type: c.t, Len: n}, c.version); err != nil {
				t.Errorf("%v of %d under %d: %v", c.t, n, c.version, err)
			}
		}
		for _, n := range c.bad {
			if err := wire.CheckAgent(wire.Header{Type: c.t, Len: n}, c.version); !errors.Is(err, wire.ErrFatal) {
				t.Errorf("%v of %d under %d: %v, want a protocol violation", c.t, n, c.version, err)
			}
		}
	}
}

func TestParseTrigger(t *testing.T) {
	full := strings.Repeat("t", 64)
	for _, c := range []struct {
		name string
		body []byte
		want wire.Trigger // Ident aside
		ok   bool
	}{
		{"plain", trigger4("", "vm", "SOCKET7", "a.B+c\x00"), wire.Trigger{Target: "vm", Service: "a.B+c"}, true},
		{"empty ident", trigger4("", "vm", "", "a\x00"), wire.Trigger{Target: "vm", Service: "a"}, true},
		{"sanitised", trigger4("s\xffc@:", "a b@x:y/$", "S", "q.S$(x)+a/\n\x00"),
			wire.Trigger{Source: "s_c@:", Target: "a_b@x:y__", Service: "q.S__x_+a__"}, true},
		{"unterminated target", trigger4(full, full, "S", "a\x00"),
			wire.Trigger{Source: full[:63], Target: full[:63], Service: "a"}, true},
		{"empty name", trigger4("", "vm", "S", "\x00"), wire.Trigger{}, false},
		{"argument only", trigger4("", "vm", "S", "+a\x00"), wire.Trigger{}, false},
		{"no NUL", trigger4("", "vm", "S", "abc"), wire.Trigger{}, false},
		{"inner NUL", trigger4("", "vm", "S", "a\x00b\x00"), wire.Trigger{}, false},
		{"two NULs", trigger4("", "vm", "S", "a\x00\x00"), wire.Trigger{}, false},
		{"ident byte", trigger4("", "vm", "S/7", "a\x00"), wire.Trigger{}, false},
		{"ident after NUL", trigger4("", "vm", "a\x00b", "a\x00"), wire.Trigger{}, false},
		{"ident full", trigger4("", "vm", strings.Repeat("i", 32), "a\x00"), wire.Trigger{}, false},
	} {
		got, err := wire.ParseTrigger(wire.TriggerService4, c.body)
		if (err == nil) != c.ok {
			t.Errorf("%s: error %v", c.name, err)
		}
		if err != nil && !errors.Is(err, wire.ErrRequest) {
			t.Errorf("%s: %v does not refuse the request alone", c.name, err)
		}
		if string(got.Ident[:]) != string(c.body[128:160]) {
			t.Errorf("%s: ident %q is not the one received", c.name, got.Ident)
		}
		got.Ident = wire.Ident{}
		if got != c.want {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

func TestTriggerRoundTrip(t *testing.T) {
	id, err := wire.MakeIdent("SOCKET12")
	if err != nil {
		t.Fatal(err)
	}
	for version := uint32(2); version <= 4; version++ {
		want := wire.Trigger{Ident: id, Target: "@dispvm:x", Service: "a.B+c"}
		if version >= 4 {
			want.Source = "relay"
		}
		b, err := wire.AppendTrigger(nil, version, want)
		if err != nil {
			t.Fatal(err)
		}
		h := wire.ParseHeader([8]byte(b))
		if err := wire.CheckAgent(h, version); err != nil {
			t.Error(err)
		}
		got, err := wire.ParseTrigger(h.Type, b[wire.HeaderLen:])
		if err != nil || got != want {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
		// What a program sends its agent comes out the same for every version of dom0.
		full, err := wire.AppendTrigger(nil, 4, want)
		if err != nil {
			t.Fatal(err)
		}
		local, err := wire.ParseLocalTrigger(full[wire.HeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		if same, err := local.AppendFor(nil, version, id); err != nil || !bytes.Equal(same, b) {
			t.Errorf("version %d: passing on gives %q, %v", version, same, err)
		}
	}
	if _, err := wire.AppendTrigger(nil, 2, wire.Trigger{Target: strings.Repeat("t", 32), Service: "a"}); err == nil {
		t.Error("a target of 32 bytes fitted version 2")
	}
	if _, err := wire.AppendTrigger(nil, 4, wire.Trigger{Service: strings.Repeat("s", 65000)}); err == nil {
		t.Error("a service name of 65000 bytes fitted")
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"command", wire.AppendExec(nil, wire.ExecCmdline, wire.Exec{Command: "user:x"}), true},
		{"own port", wire.AppendExec(nil, wire.JustExec, wire.Exec{Port: 768, Command: "user:x"}), true},
		{"port too low", wire.AppendExec(nil, wire.JustExec, wire.Exec{Port: 512, Command: "user:x"}), false},
		{"port too high", wire.AppendExec(nil, wire.JustExec, wire.Exec{Port: 769, Command: "user:x"}), false},
		{"no NUL", wire.Append(nil, wire.ExecCmdline, []byte("\x00\x00\x00\x00\x00\x00\x00\x00user:x")), false},
		{"no command", wire.Append(nil, wire.ExecCmdline, make([]byte, 8)), false},
		{"too long", wire.AppendExec(nil, wire.ExecCmdline, wire.Exec{Command: strings.Repeat("x", 65535)}), false},
		{"longest", wire.AppendExec(nil, wire.ExecCmdline, wire.Exec{Command: strings.Repeat("x", 65535-9)}), true},
	} {
		h := wire.ParseHeader([8]byte(c.b))
		err := wire.CheckRequest(h)
		if err == nil {
			_, err = wire.ParseRequest(c.b[wire.HeaderLen:])
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if e, err := wire.ParseExec([]byte("\x2a\x00\x00\x00\x01\x02\x00\x00user:a\x00b!")); err != nil || e != (wire.Exec{Domain: 42, Port: 513, Command: "user:a"}) {
		t.Errorf("command with NULs: %+v, %v", e, err)
	}
}

func TestExitCode(t *testing.T) {
	for in, want := range map[string]int{"": 255, "\x01\x00\x00": 255, "\x07\x00\x00\x00": 7, "\x07\x00\x00\x00\x01\x01": 7, "\xff\xff\xff\xff": -1} {
		if got := wire.ExitCode([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	const allow = "user=u\nresult=allow\ntarget=vm2\nautostart=True\nrequested_target=vm2"
	for in, ok := range map[string]bool{
		"result=deny": true, "result=deny\n": true, "result=deny\nfuture=1\n": true, allow: true, allow + "\n": true,
		allow + "\ntarget_uuid=uuid:11111111-2222-3333-4444-555555555555":         true,
		allow + "\ntarget_uuid=@dispvm:uuid:11111111-2222-3333-4444-555555555555": true,
		"result=deny\nservice=x": true,
		"":                       false, "\n": false, "result=deny\n\n": false, "result=deny\nresult=deny": false,
		"result=deny\nuser=x": false, "result=deny\nxyz": false, "result=maybe": false, "result=allow\nuser=u\ntarget=dom0": false,
		"result=deny\x00": false, allow + "\ntarget_uuid=x": false, allow + "\ntarget_uuid=uuid:../../etc/passwd/x/x/x/x/x/x/x/x": false,
		strings.Replace(allow, "True", "true", 1): false,
	} {
		a, err := wire.ParseAnswer([]byte(in))
		if (err == nil) != ok || err != nil && a != (wire.Answer{}) {
			t.Errorf("%q: %+v, %v", in, a, err)
		}
		if a.Allow && !strings.Contains(in, "result=allow") {
			t.Errorf("%q allowed", in)
		}
	}
}

func FuzzAgentMessage(f *testing.F) {
	f.Add(uint32(4), wire.Append(nil, wire.TriggerService4, trigger4("s", "t", "SOCKET1", "a+b\x00")))
	f.Add(uint32(3), wire.Append(nil, wire.TriggerService3, trigger4("", "t", "SOCKET1", "a\x00")[64:]))
	f.Add(uint32(2), wire.Append(nil, wire.TriggerService, make([]byte, 128)))
	f.Fuzz(func(t *testing.T, version uint32, b []byte) {
		if len(b) < wire.HeaderLen {
			return
		}
		h := wire.ParseHeader([8]byte(b))
		body := b[wire.HeaderLen:]
		if wire.CheckAgent(h, version) != nil || h.Type == wire.ConnectionTerminated || int(h.Len) != len(body) {
			return
		}
		tr, err := wire.ParseTrigger(h.Type, body)
		if err != nil {
			if tr != (wire.Trigger{Ident: tr.Ident}) {
				t.Fatalf("error %v with values %+v", err, tr)
			}
			return
		}
		const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
		if strings.Trim(tr.Service, plain+"+") != "" || strings.Trim(tr.Target+tr.Source, plain+"@:") != "" || tr.Service == "" || tr.Service[0] == '+' {
			t.Fatalf("let through: %+v", tr)
		}
		// What was let through says the same when it is said again.
		same := map[wire.Type]uint32{wire.TriggerService: 2, wire.TriggerService3: 3, wire.TriggerService4: 4}[h.Type]
		again, err := wire.AppendTrigger(nil, same, tr)
		if err != nil {
			t.Fatal(err)
		}
		if tr2, err := wire.ParseTrigger(h.Type, again[wire.HeaderLen:]); err != nil || tr2 != tr {
			t.Fatalf("%+v became %+v, %v", tr, tr2, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x01\x02\x00\x00user:x\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := wire.ParseRequest(body)
		if err != nil {
			return
		}
		b := wire.AppendExec(nil, wire.ExecCmdline, e)
		if e2, err := wire.ParseRequest(b[wire.HeaderLen:]); err != nil || e2 != e {
			t.Fatalf("%+v became %+v, %v", e, e2, err)
		}
		if !bytes.HasPrefix(body, b[wire.HeaderLen:len(b)-1]) || binary.LittleEndian.Uint32(b[4:]) != uint32(len(b)-8) {
			t.Fatalf("%q re-encoded as %q", body, b)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("result=deny\n"))
	f.Add([]byte("user=u\nresult=allow\ntarget=vm2\nautostart=True\nrequested_target=vm2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := wire.ParseAnswer(b)
		if err != nil && a != (wire.Answer{}) || !a.Allow && a != (wire.Answer{}) {
			t.Fatalf("%+v, %v", a, err)
		}
	})
}
