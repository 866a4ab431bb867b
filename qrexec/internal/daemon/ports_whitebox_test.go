package daemon

import (
	"testing"

	"qubist/qrexec/wire"
)

func TestPortRule(t *testing.T) {
	for _, c := range []struct {
		peer uint32
		want []uint32
	}{
		{0, []uint32{513, 514, 515}}, {41, []uint32{513, 515, 517}}, {43, []uint32{514, 516, 518}},
	} {
		pt := portTable{own: 42}
		for _, want := range c.want {
			if got, ok := pt.alloc(c.peer, 1, nil); !ok || got != want {
				t.Errorf("peer %d: %d, %v, want %d", c.peer, got, ok, want)
			}
		}
	}
}

func TestPortsOfAnEarlierAgent(t *testing.T) {
	pt := portTable{own: 42}
	over := 0
	for range wire.NumPorts {
		if _, ok := pt.alloc(0, 1, func() { over++ }); !ok {
			t.Fatal("no port")
		}
	}
	if p, ok := pt.alloc(0, 1, nil); ok {
		t.Fatalf("port %d given out twice", p)
	}
	pt.release(wire.Exec{Domain: 7, Port: 600})
	if over != 0 {
		t.Error("another domain's report freed a port")
	}
	pt.release(wire.Exec{Domain: 0, Port: 600})
	pt.release(wire.Exec{Domain: 0, Port: 600})
	if over != 1 {
		t.Errorf("told %d times", over)
	}
	pt.orphan()
	// The agent came back: free ones first, then those nobody will report any more.
	if p, ok := pt.alloc(0, 2, nil); !ok || p != 600 {
		t.Errorf("got %d, %v", p, ok)
	}
	if p, ok := pt.alloc(0, 2, nil); !ok || p != 513 {
		t.Errorf("got %d, %v", p, ok)
	}
}
