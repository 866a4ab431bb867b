package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"qubist/core/vchan/wire"
)

func TestRequestBytes(t *testing.T) {
	r := wire.Request{Op: wire.OpDial, Server: 3, Client: 0x102, Port: 513}
	got := hex.EncodeToString(r.Append(nil))
	if want := "01000000" + "03000000" + "02010000" + "01020000"; got != want {
		t.Errorf("request %s, want %s", got, want)
	}
}

func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		name string
		r    wire.Request
		ok   bool
	}{
		{"dial", wire.Request{Op: 1, Server: 0, Client: 5, Port: 512}, true},
		{"grant", wire.Request{Op: 2, Server: 3, Client: 5, Port: 1<<32 - 1}, true},
		{"largest domains", wire.Request{Op: 1, Server: 0x7FEF, Client: 0x7FEE}, true},
		{"operation 0", wire.Request{Op: 0, Server: 0, Client: 5}, false},
		{"operation 3", wire.Request{Op: 3, Server: 0, Client: 5}, false},
		{"server too large", wire.Request{Op: 1, Server: 0x7FF0, Client: 5}, false},
		{"client too large", wire.Request{Op: 1, Server: 5, Client: 1 << 31}, false},
		{"itself", wire.Request{Op: 1, Server: 5, Client: 5}, false},
	} {
		r, err := wire.ParseRequest([wire.RequestSize]byte(c.r.Append(nil)))
		if c.ok && (err != nil || r != c.r) {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
		if !c.ok && (!errors.Is(err, wire.ErrRequest) || r != wire.Request{}) {
			t.Errorf("%s: %+v, %v; want ErrRequest", c.name, r, err)
		}
	}
	for b := range 256 {
		if _, err := wire.ParseAnswer(byte(b)); (err == nil) != (b <= 2) {
			t.Errorf("answer %d: %v", b, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(wire.Request{Op: 1, Server: 0, Client: 5, Port: 512}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != wire.RequestSize {
			return
		}
		r, err := wire.ParseRequest([wire.RequestSize]byte(b))
		if err == nil && !bytes.Equal(r.Append(nil), b) {
			t.Errorf("%x parses to %+v, which is %x", b, r, r.Append(nil))
		}
	})
}

var (
	epochA = wire.Epoch{1, 2, 3}
	epochB = wire.Epoch{0xF5, 0xF5}
	syn    = wire.Frame{Kind: wire.SYN, Own: epochA}
	ack    = wire.Frame{Kind: wire.ACK, Own: epochA, Peer: epochB}
)

func TestScan(t *testing.T) {
	join := bytes.Join
	s, a := syn.Append(nil), ack.Append(nil)
	if len(s) != wire.FrameSize || wire.FrameSize != 41 {
		t.Fatalf("frame of %d bytes, FrameSize %d, want 41", len(s), wire.FrameSize)
	}
	badKind, synWithPeer, noEpoch := bytes.Clone(s), bytes.Clone(a), wire.Frame{Kind: wire.SYN}.Append(nil)
	badKind[8], synWithPeer[8] = 3, 1
	for _, c := range []struct {
		name string
		in   []byte
		want []wire.Frame
		rest int // bytes kept at the end
	}{
		{"nothing", nil, nil, 0},
		{"SYN", s, []wire.Frame{syn}, 0},
		{"both", join([][]byte{s, a}, nil), []wire.Frame{syn, ack}, 0},
		{"garbage around", join([][]byte{{0xF5, 0xF5, 'q'}, s, {9, 9}, a, {0}}, nil), []wire.Frame{syn, ack}, 0},
		{"flush before", join([][]byte{wire.Flush(), s}, nil), []wire.Frame{syn}, 0},
		{"half", s[:40], nil, 40},
		{"magic only", append([]byte("xyz"), s[:8]...), nil, 8},
		{"first byte of magic", []byte{1, 2, 0xF5}, nil, 1},
		{"wrong kind", badKind, nil, 0},
		{"SYN that names a peer", synWithPeer, nil, 0},
		{"no epoch", noEpoch, nil, 0},
		{"frame cut off by a restart", join([][]byte{s[:9], wire.Flush(), s}, nil), []wire.Frame{syn}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, got := c.in, []wire.Frame(nil)
			for {
				f, used, ok := wire.Scan(in)
				in = in[used:]
				if !ok {
					break
				}
				got = append(got, f)
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d frames, want %d", len(got), len(c.want))
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("frame %d: %+v, want %+v", i, got[i], c.want[i])
				}
			}
			// What is kept may end in bytes that look like a beginning.
			if len(in) != c.rest && !(c.rest == 0 && len(in) < wire.FrameSize && len(in) > 0 && in[0] == 0xF5) {
				t.Errorf("%d bytes kept, want %d", len(in), c.rest)
			}
		})
	}
}

// FuzzScan: a frame is found after arbitrary bytes, however the stream is cut, as long as
// those bytes do not hold a frame's beginning that swallows it.
func FuzzScan(f *testing.F) {
	f.Add([]byte("garbage"), uint(3))
	f.Add(syn.Append(nil)[:20], uint(1))
	f.Add([]byte{0xF5, 0xF5, 0xF5}, uint(7))
	f.Fuzz(func(t *testing.T, noise []byte, step uint) {
		step = step%50 + 1
		in := ack.Append(bytes.Clone(noise))
		var buf []byte
		found := 0
		for len(in) > 0 || len(buf) > 0 {
			n := min(int(step), len(in))
			buf = append(buf, in[:n]...)
			in = in[n:]
			for {
				fr, used, ok := wire.Scan(buf)
				if used > len(buf) || used < 0 {
					t.Fatalf("used %d of %d", used, len(buf))
				}
				buf = buf[used:]
				if !ok {
					break
				}
				if fr.Own == (wire.Epoch{}) || fr.Kind != wire.SYN && fr.Kind != wire.ACK {
					t.Fatalf("impossible frame %+v", fr)
				}
				if fr == ack {
					found++
				}
			}
			if len(buf) >= wire.FrameSize {
				t.Fatalf("%d bytes kept, a frame has %d", len(buf), wire.FrameSize)
			}
			if len(in) == 0 {
				break
			}
		}
		if found == 0 && !bytes.Contains(noise, ack.Append(nil)[:8]) {
			t.Errorf("frame lost behind %x", noise)
		}
	})
}

// TestFlushEndsAnyFrame: wherever a stale session's frame was cut off, the flush makes the
// receiver see an invalid header before it is used up.
func TestFlushEndsAnyFrame(t *testing.T) {
	header := []byte{0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0} // stream 3, of a client
	for _, payload := range []int{0, 1, 100, 0xFF, 0xFF00, wire.MaxPayload - 1, wire.MaxPayload} {
		header[9], header[10], header[11] = byte(payload>>16), byte(payload>>8), byte(payload)
		for _, cut := range []int{0, 1, 2, 4, 7, 8, 9, 10, 11, 12, 13, 12 + payload/2, 11 + payload} {
			if cut > 12+payload {
				continue
			}
			old := append(bytes.Clone(header), make([]byte, payload)...)
			in := append(old[:cut:cut], wire.Flush()...)
			for {
				if len(in) < wire.HeaderSize {
					t.Fatalf("payload %d cut at %d: flush used up without an error", payload, cut)
				}
				n, err := wire.CheckHeader([wire.HeaderSize]byte(in), true)
				if err != nil {
					break
				}
				in = in[min(len(in), wire.HeaderSize+n):]
			}
		}
	}
}

func TestCheckHeader(t *testing.T) {
	for _, c := range []struct {
		name       string
		h          string
		fromClient bool
		payload    int
		ok         bool
	}{
		{"data", "00 00 0000 00000001 00000005", true, 5, true},
		{"largest", "00 00 0000 00000001 00010000", true, 65536, true},
		{"too long", "00 00 0000 00000001 00010001", true, 0, false},
		{"huge", "00 00 0000 00000001 ffffffff", true, 0, false},
		{"window", "00 01 0002 00000001 ffffffff", true, 0, true},
		{"client opens odd", "00 01 0001 00000001 00000000", true, 0, true},
		{"client opens even", "00 01 0001 00000002 00000000", true, 0, false},
		{"server opens even", "00 01 0001 00000002 00000000", false, 0, true},
		{"server opens odd", "00 00 0001 00000003 00000000", false, 0, false},
		{"ping", "00 02 0001 00000000 00000001", true, 0, false},
		{"go away", "00 03 0000 00000000 00000000", true, 0, false},
		{"version", "01 00 0000 00000001 00000000", true, 0, false},
		{"flags", "00 00 0010 00000001 00000000", true, 0, false},
		{"stream 0", "00 00 0000 00000000 00000000", true, 0, false},
	} {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.h), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := wire.CheckHeader([wire.HeaderSize]byte(b), c.fromClient)
		if (err == nil) != c.ok || n != c.payload {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
		if err != nil && !errors.Is(err, wire.ErrHeader) {
			t.Errorf("%s: %v is not ErrHeader", c.name, err)
		}
	}
}
